//! Limits, and requests that are wrong.

use std::time::Duration;

use chat_server::Rates;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::token::{Claims, TokenKey};

use crate::support::{KEY, SECRET, escape, server_token, soon, start, start_with, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_what_is_left_and_429_says_when_to_come_back() {
    let rates = Rates { window: Duration::from_secs(3_600), per_app: 1_000, per_user: Some(3) };
    let server = start_with(|config| config.rates = rates).await;
    for remaining in ["2", "1", "0"] {
        let answer = server.get("ann", "/app").await;
        assert_eq!(answer.headers["x-ratelimit-limit"], "3");
        assert_eq!(answer.headers["x-ratelimit-remaining"], remaining);
        assert!(answer.headers["x-ratelimit-reset"].to_str().unwrap().parse::<u64>().unwrap() > 1_000_000_000);
        answer.good();
    }
    let over = server.get("ann", "/app").await;
    assert_eq!(over.headers["x-ratelimit-remaining"], "0");
    over.bad(429, 9);
    server.get("bob", "/app").await.good();
    for answer in [
        server.raw(Method::GET, "/nowhere", None, "").await,
        server.raw(Method::GET, "/app", None, "").await,
        server.raw(Method::PUT, "/app", None, "").await,
    ] {
        assert!(answer.headers.contains_key("x-ratelimit-limit"), "{answer:?}");
    }
    let counted_at = server.origin.as_deref().unwrap_or(&server);
    assert_eq!(counted_at.stats().await["rate_limited"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_mode_makes_users_wait() {
    let server = start_with(|config| config.slow_mode = Some(Duration::from_secs(60))).await;
    server.create("ann", "messaging/a").await;
    server.send("ann", "messaging/a", "m-1", "hello").await.good();
    server.send("ann", "messaging/a", "m-2", "hello").await.bad(403, 60);
    server.send("ann", "messaging/a", "m-1", "hello").await.good();
    server.send("bob", "messaging/a", "m-3", "hello").await.good();
    server.get("ann", "/messages/m-2").await.bad(404, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_must_show_it() {
    let server = start().await;
    let path = format!("/app?api_key={KEY}");
    let expired = TokenKey::new(SECRET).sign(&Claims { exp: Some(1), ..Claims::user("ann") });
    let forged = TokenKey::new("wrong").sign(&Claims::user("ann"));
    server.raw(Method::GET, &path, None, "").await.bad(401, 5);
    server.raw(Method::GET, &path, Some("rubbish"), "").await.bad(401, 5);
    server.raw(Method::GET, &path, Some(&expired), "").await.bad(401, 40);
    server.raw(Method::GET, &path, Some(&forged), "").await.bad(401, 43);
    server.raw(Method::GET, "/app?api_key=other", Some(&token("ann")), "").await.bad(401, 2);
    server.raw(Method::GET, &path, Some(&server_token()), "").await.good();
    let send = format!("/channels/messaging/a/message?api_key={KEY}");
    server.create("ann", "messaging/a").await;
    let message = json!({"message": {"text": "from a backend"}}).to_string();
    server.raw(Method::POST, &send, Some(&server_token()), message.clone()).await.bad(400, 4);
    let sent = server.raw(Method::POST, &format!("{send}&user_id=bot"), Some(&server_token()), message).await.good();
    assert_eq!(sent["message"]["user"]["id"], "bot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_told_what_is_wrong() {
    let server = start().await;
    server.create("ann", "messaging/a").await;
    let send = format!("/channels/messaging/a/message?api_key={KEY}");
    let raw = async |body: Vec<u8>| server.raw(Method::POST, &send, Some(&token("ann")), body).await;

    server.raw(Method::GET, "/nowhere", None, "").await.bad(404, 16);
    server.get("ann", "/channels/messaging/a/message").await.bad(405, 16);
    let message = raw(b"{\"message\":\n {\"text\": oops}}".to_vec()).await.bad(400, 4);
    assert!(message.contains("line 2 column 11"), "{message}");
    raw(b"[]".to_vec()).await.bad(400, 4);
    raw(b"\xff\xfe".to_vec()).await.bad(400, 4);
    raw(Vec::new()).await.bad(400, 4);
    raw(vec![b' '; 100_000]).await.bad(413, 22);
    raw(vec![b'x'; 3_000_000]).await.bad(413, 22);
    server.send("ann", "messaging/a", "m-1", &"x".repeat(5_121)).await.bad(413, 22);
    server.send("ann", "messaging/a", "m-1", &"x".repeat(5_120)).await.good();
    server.send("ann", "messaging/a", "bad\nid", "hello").await.bad(400, 4);
    let custom = json!({"message": {"text": "hello", "custom": "x".repeat(6_000)}});
    server.post("ann", "/channels/messaging/a/message", custom).await.bad(413, 22);
    server.send("ann", "messaging/none", "m-2", "hello").await.bad(404, 16);
    server.send("ann", "messaging/a%20b", "m-2", "hello").await.bad(400, 4);
    server.send("ann", &format!("messaging/{}", "x".repeat(65)), "m-2", "hello").await.bad(400, 4);
    let forged = json!({"event": {"type": "message.new"}});
    server.post("ann", "/channels/messaging/a/event", forged).await.bad(400, 4);
    server.post("ann", "/channels/messaging/a/stop-watching?connection_id=x-1", json!({})).await.bad(400, 46);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_end_are_cut_off() {
    let server = start_with(|config| config.request_timeout = Duration::from_millis(200)).await;
    let body = format!(
        "POST /sync?api_key={KEY} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: 10\r\n\r\n{{",
        token("ann")
    );
    for (said, expected) in [("", ""), ("GET /app HT", ""), (body.as_str(), "HTTP/1.1 408")] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Closed, politely or not: what counts is that it ends.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert!(String::from_utf8_lossy(&answer).starts_with(expected), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_leave_room_for_what_they_ask() {
    let server = start_with(|config| config.users_max = 1).await;
    let ann = server.connect("ann").await;
    let bob = server.url("bob", &token("bob"), KEY);
    let refused =
        tokio_tungstenite::client_async(&bob, tokio::net::TcpStream::connect(server.address).await.unwrap()).await;
    match refused.map(drop) {
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 503),
        other => panic!("one user too many: {other:?}"),
    }
    let polled = server.get("bob", &format!("/longpoll?json={}", escape(r#"{"user_id":"bob"}"#))).await;
    assert!(polled.bad(503, -1).contains("try again elsewhere or later"));
    server.create("ann", "messaging/den").await;
    server.send("bob", "messaging/den", "m", "there is room for what is asked").await.good();
    assert!(server.stats().await["refused"].as_u64() >= Some(2));
    drop(ann);
    server.until("connections", 0).await;
    server.connect("bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_for_so_many_connections_only() {
    let server = start_with(|config| config.connections_max = 2).await;
    let bodies = [server.connect("ann").await, server.connect("bob").await];
    let mut third = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    soon(third.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    drop(bodies);
    soon(async {
        while server.stats_or_refused().await != Some(http::StatusCode::OK) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(server.stats().await["refused"].as_u64() >= Some(1));
}
