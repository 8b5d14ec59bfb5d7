//! The client against a fake chat server with faults.
#![allow(clippy::unwrap_used, reason = "a test that can't go on ends here")]

#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the worker")]
mod fake;
mod pool;

use std::time::Duration;

use client::{Client, ConnectError, Endpoint, Notice, Notices, Settings};
use fake::{Fake, Out};
use tokio::time::timeout;
use wire::api::OutgoingMessage;

const SOON: Duration = Duration::from_secs(10);
const CID: &str = "messaging:den";

async fn settings(fake: &Fake) -> Settings {
    Settings::new(Endpoint::parse(&fake.url()).unwrap().resolved().await.unwrap(), "key", "ann", "a.b.c")
}

async fn next(notices: &mut Notices) -> Notice {
    timeout(SOON, notices.recv()).await.expect("a notice in time").expect("the connection lives")
}

/// The `seq` of the next event.
async fn next_event(notices: &mut Notices) -> (u64, bool) {
    loop {
        let notice = next(notices).await;
        if let (Notice::Event { recovered, .. }, Some(seq)) = (&notice, notice.head().and_then(|h| h.seq)) {
            return (seq, *recovered);
        }
    }
}

fn say(text: &str) -> OutgoingMessage {
    OutgoingMessage { text: text.to_owned(), ..OutgoingMessage::default() }
}

#[tokio::test]
async fn what_is_sent_comes_back() {
    let fake = Fake::start().await;
    let (client, mut notices) = Client::connect(settings(&fake).await).await.unwrap();
    assert!(client.timings().tls.is_none() && client.timings().upgrade > Duration::ZERO);
    assert_eq!(client.watch(CID).await.unwrap().seq, 0);
    let mut sent_at = None;
    let answer = client.send(CID, |at| {
        sent_at = Some(at);
        say("hello")
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.value.message.text, "hello");
    assert!(sent_at == Some(answer.sent) && answer.answered > answer.sent);
    assert_eq!(next_event(&mut notices).await, (1, false));
    client.close().await;
    timeout(SOON, async {
        while fake.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_was_missed_is_recovered_once_after_a_reconnect() {
    let fake = Fake::start().await;
    let (client, mut notices) = Client::connect(settings(&fake).await).await.unwrap();
    client.watch(CID).await.unwrap();
    client.send(CID, |_| say("one")).await.unwrap();
    assert_eq!(next_event(&mut notices).await, (1, false));
    fake.end_all(&Out::Close(4008, "slow reader"));
    assert!(matches!(next(&mut notices).await, Notice::Lost { closed, .. } if closed.kind() == "4008 slow reader"));
    for text in ["two", "three"] {
        fake.publish(CID, &serde_json::json!({"text": text}));
    }
    let mut got = vec![next_event(&mut notices).await, next_event(&mut notices).await];
    timeout(SOON, async {
        while fake.watchers(CID) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    client.send(CID, |_| say("four")).await.unwrap();
    got.push(next_event(&mut notices).await);
    assert_eq!(got, [(2, true), (3, true), (4, false)]);
}

#[tokio::test]
async fn whose_node_is_gone_goes_to_the_next_and_asks_there() {
    let (gone, next_one) = (Fake::start().await, Fake::start().await);
    let mut settings = settings(&gone).await;
    settings.others = vec![Endpoint::parse(&next_one.url()).unwrap()];
    let (client, mut notices) = Client::connect(settings).await.unwrap();
    client.watch(CID).await.unwrap();
    client.send(CID, |_| say("one")).await.unwrap();
    assert_eq!((next_event(&mut notices).await, next_one.seq(CID)), ((1, false), 0));
    // Both are nodes of one service.
    for text in ["one", "two"] {
        next_one.publish(CID, &serde_json::json!({"text": text}));
    }
    gone.end_all(&Out::Cut);
    assert!(matches!(next(&mut notices).await, Notice::Lost { .. }));
    assert!(matches!(next(&mut notices).await, Notice::Reconnected { .. }));
    let notice = next(&mut notices).await;
    let seq = notice.head().and_then(|head| head.seq);
    assert!(seq == Some(2) && matches!(notice, Notice::Event { recovered: true, .. }), "{notice:?}");
    client.send(CID, |_| say("three")).await.unwrap();
    assert_eq!(next_event(&mut notices).await, (3, false));
    assert_eq!((gone.seq(CID), next_one.seq(CID), next_one.watchers(CID)), (1, 3, 1));
    // And back, since nobody else is left.
    next_one.end_all(&Out::Cut);
    assert!(matches!(next(&mut notices).await, Notice::Lost { .. }));
    assert!(matches!(next(&mut notices).await, Notice::Reconnected { .. }));
    assert_eq!((gone.connections(), next_one.connections()), (1, 0));
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let fake = Fake::start().await;
    fake.faults.lock().unwrap().reject = true;
    let error = Client::connect(settings(&fake).await).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Rejected(e) if e.message == "go away"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn closing_with_1000_is_the_end() {
    let fake = Fake::start().await;
    let (_client, mut notices) = Client::connect(settings(&fake).await).await.unwrap();
    fake.end_all(&Out::Close(1000, "bye"));
    assert!(matches!(next(&mut notices).await, Notice::Gone { why, .. } if why.contains("bye")));
    assert!(timeout(SOON, notices.recv()).await.expect("the end in time").is_none());
}

#[tokio::test]
async fn errors_are_told_apart() {
    let fake = Fake::start().await;
    let (client, _notices) = Client::connect(settings(&fake).await).await.unwrap();
    fake.faults.lock().unwrap().rate_limit = true;
    assert_eq!(client.send(CID, |_| say("x")).await.unwrap_err().kind(), "429 rate limited");
    let nobody = Endpoint::parse("ws://127.0.0.1:1").unwrap();
    let error = Client::connect(Settings::new(nobody, "key", "ann", "t")).await.unwrap_err();
    assert_eq!(error.kind(), "connection refused");
    // A service without TLS, and one that is no chat service.
    let tls = Endpoint::parse(&fake.url().replace("ws:", "wss:")).unwrap();
    let error = Client::connect(Settings::new(tls, "key", "ann", "t")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_) | ConnectError::Io { .. }), "{error}");
    let elsewhere = Endpoint::parse(&format!("{}/elsewhere", fake.url())).unwrap();
    let error = Client::connect(Settings::new(elsewhere, "key", "ann", "t")).await.unwrap_err();
    assert_eq!(error.kind(), "HTTP 404");
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let fake = Fake::start().await;
    let (client, _notices) = Client::connect(settings(&fake).await).await.unwrap();
    for _ in 0..20 {
        client.api().app(client.caller()).await.unwrap();
    }
    assert!(format!("{:?}", settings(&fake).await).contains("ann"));
    assert!(!format!("{:?}", settings(&fake).await).contains("a.b.c"), "secrets are not shown");
    let outgoing = client::http::Outgoing {
        method: http::Method::POST,
        path: "/channels?authorization=a.b.c".into(),
        token: "a.b.c".into(),
        body: b"a.b.c".to_vec(),
    };
    assert_eq!(format!("{outgoing:?}"), "POST /channels");
}
