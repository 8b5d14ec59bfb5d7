//! The pool of HTTP connections against servers that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::http::{Http, Outgoing};
use client::{CallError, Endpoint};
use futures_util::future::join_all;
use http::Method;
use measure::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Answers requests on each connection, at most `each`, each when `gate` lets it; then closes without a word.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Server {
    async fn start(each: usize, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, opened) = (Arc::clone(&accepted), Arc::clone(&gate));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(tcp, each, answer, Arc::clone(&opened)));
            }
        });
        Self { address, accepted, gate }
    }

    fn pool(&self, connections: usize, within: Duration) -> Http {
        let endpoint = Endpoint::parse(&format!("http://{}", self.address)).unwrap();
        Http::new(endpoint, connections, within, Clock::System)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn serve(mut tcp: TcpStream, each: usize, answer: &'static str, gate: Arc<Semaphore>) {
    for _ in 0..each {
        let (mut request, mut part) = (Vec::new(), [0; 1_024]);
        while !request.ends_with(b"\r\n\r\n") {
            match tcp.read(&mut part).await {
                Ok(n) if n > 0 => request.extend_from_slice(&part[..n]),
                _ => return,
            }
        }
        gate.acquire().await.unwrap().forget();
        tcp.write_all(answer.as_bytes()).await.unwrap();
    }
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn get() -> Outgoing {
    Outgoing { method: Method::GET, path: "/app".into(), token: "t".into(), body: Vec::new() }
}

#[tokio::test]
async fn connections_are_used_again_and_bounded() {
    let server = Server::start(usize::MAX, GOOD).await;
    let pool = server.pool(3, super::SOON);
    server.gate.add_permits(40);
    for answer in join_all((0..20).map(|_| pool.call(|_| get()))).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    for _ in 0..20 {
        pool.call(|_| get()).await.unwrap();
    }
    assert!(server.accepted() <= 3, "{} connections", server.accepted());
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_replaced() {
    let server = Server::start(1, GOOD).await;
    server.gate.add_permits(30);
    let pool = server.pool(1, super::SOON);
    for _ in 0..30 {
        pool.call(|_| get()).await.unwrap();
        // Sometimes the closing has been seen by the next call, sometimes not.
        tokio::task::yield_now().await;
    }
    assert_eq!(server.accepted(), 30);
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let server = Server::start(1, GOOD).await;
    let pool = server.pool(1, Duration::from_secs(1));
    // The first waits for its answer, the second for the pool.
    let (first, second) = tokio::join!(pool.call(|_| get()), pool.call(|_| get()));
    assert!(matches!(first, Err(CallError::Timeout)), "{first:?}");
    assert!(matches!(second, Err(CallError::Timeout)), "{second:?}");
    server.gate.add_permits(10);
    pool.call(|_| get()).await.expect("the pool has recovered");
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let server = Server::start(1, "hello there\r\n\r\n").await;
    server.gate.add_permits(1);
    let error = server.pool(1, super::SOON).call(|_| get()).await.unwrap_err();
    assert_eq!(error.kind(), "connection broke");
    let split = server.pool(1, super::SOON).call(|_| Outgoing { token: "a\nb".into(), ..get() }).await;
    assert!(matches!(split, Err(CallError::Request(_))), "{split:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_with_the_limit() {
    const LIMIT: usize = 16 << 20;
    let large = |body: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n");
        String::leak(head + &" ".repeat(body))
    };
    for (bytes, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer: &'static str = large(bytes);
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1_024];
            while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
                assert!(tcp.read(&mut asked).await.unwrap() > 0, "it asks");
            }
            // Whoever has seen enough hangs up.
            let _ = tcp.write_all(answer.as_bytes()).await;
        });
        let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
        let http = Http::new(endpoint, 1, Duration::from_secs(30), Clock::System);
        let request = Outgoing { method: Method::GET, path: "/".into(), token: String::new(), body: Vec::new() };
        match http.call(|_| request).await {
            Ok(answer) => assert!(fits && answer.body.len() == LIMIT),
            Err(error) => {
                assert!(!fits && matches!(error, CallError::Answer(_)), "{error}");
                assert!(error.to_string().contains("larger than 16 MiB"), "{error}");
            }
        }
    }
}
