//! throng's own client where WebSockets don't get through: a proxy that refuses upgrades stands in front of the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client::{Client, Endpoint, Notice, Notices, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wire::api::OutgoingMessage;

use crate::support::{KEY, Server, soon, start, token};

const CID: &str = "messaging:den";

/// A proxy: what it refused, and a way to cut all that goes through it.
struct Proxy {
    address: SocketAddr,
    refused: Arc<AtomicUsize>,
    cut: watch::Sender<u32>,
}

impl Proxy {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cut, _) = watch::channel(0);
        let proxy = Self { address: listener.local_addr().unwrap(), refused: Arc::default(), cut };
        let (refused, cut) = (Arc::clone(&proxy.refused), proxy.cut.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (refused, mut cut) = (Arc::clone(&refused), cut.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(near, to, &refused) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        proxy
    }
}

async fn pass(mut near: TcpStream, to: SocketAddr, refused: &AtomicUsize) {
    let mut head = vec![0; 4_096];
    let length = near.read(&mut head).await.unwrap_or(0);
    if head.starts_with(b"GET /connect") {
        refused.fetch_add(1, Ordering::Relaxed);
        let _ =
            near.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\nConnection: close\r\n\r\nno ws!!\n").await;
        return;
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    if far.write_all(&head[..length]).await.is_ok() {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}

async fn connect(address: SocketAddr, user: &str) -> (Client, Notices) {
    let endpoint = Endpoint::parse(&format!("ws://{address}")).unwrap().resolved().await.unwrap();
    Client::connect(Settings::new(endpoint, KEY, user, &token(user))).await.unwrap()
}

/// The numbers of the messages that come until so many were there.
async fn numbers(notices: &mut Notices, until: u64) -> (Vec<u64>, usize) {
    let (mut numbers, mut recovered) = (Vec::new(), 0);
    while numbers.iter().max() < Some(&until) || (numbers.len() as u64) < until {
        let notice = soon(notices.recv()).await.expect("the connection lives");
        if let (Notice::Event { recovered: late, .. }, Some(seq)) = (&notice, notice.head().and_then(|head| head.seq)) {
            numbers.push(seq);
            recovered += usize::from(*late);
        }
    }
    (numbers, recovered)
}

async fn say(client: &Client, text: String) {
    let message = OutgoingMessage { text, ..OutgoingMessage::default() };
    soon(client.send(CID, |_| message)).await.unwrap();
}

async fn both(server: &Server) -> (Proxy, (Client, Notices), (Client, Notices)) {
    let proxy = Proxy::start(server.address).await;
    let speaker = connect(server.address, "ann").await;
    let listener = connect(proxy.address, "bob").await;
    soon(speaker.0.watch(CID)).await.unwrap();
    soon(listener.0.watch(CID)).await.unwrap();
    (proxy, speaker, listener)
}

#[tokio::test]
async fn a_client_behind_a_proxy_without_websockets_gets_the_same_events_in_order() {
    let server = start().await;
    let (proxy, (speaker, mut spoken), (listener, mut heard)) = both(&server).await;
    assert_eq!(proxy.refused.load(Ordering::Relaxed), 1, "a WebSocket was tried first");
    for n in 0..60 {
        say(&speaker, format!("message {n}")).await;
    }
    let (over_socket, _) = numbers(&mut spoken, 60).await;
    let (by_polling, recovered) = numbers(&mut heard, 60).await;
    assert_eq!(by_polling, (1..=60).collect::<Vec<_>>());
    assert_eq!((over_socket, recovered), (by_polling, 0));
    say(&listener, "and back".into()).await;
    assert_eq!(numbers(&mut spoken, 1).await.0, [61]);
    listener.close().await;
    speaker.close().await;
}

#[tokio::test]
async fn a_poll_that_is_abandoned_loses_nothing() {
    let server = start().await;
    let (proxy, (speaker, _spoken), (_listener, mut heard)) = both(&server).await;
    say(&speaker, "before".into()).await;
    let mut all = numbers(&mut heard, 1).await.0;
    // The poll that waits now, or the call that it becomes, is cut half-way.
    proxy.cut.send_modify(|n| *n += 1);
    for n in 0..20 {
        say(&speaker, format!("meanwhile {n}")).await;
    }
    while (all.len() as u64) < 21 {
        let notice = soon(heard.recv()).await.expect("the connection comes back");
        if let (Notice::Event { .. }, Some(seq)) = (&notice, notice.head().and_then(|head| head.seq))
            && !all.contains(&seq)
        {
            all.push(seq);
        }
        assert!(!matches!(notice, Notice::Gap { .. } | Notice::Gone { .. }), "{notice:?}");
    }
    all.sort_unstable();
    assert_eq!(all, (1..=21).collect::<Vec<_>>());
}
