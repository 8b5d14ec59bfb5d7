//! Who may connect, and how connections end.

use std::time::Duration;

use futures_util::SinkExt as _;
use http::Method;
use measure::SplitMix64;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use wire::token::{Claims, TokenKey};

use crate::support::{KEY, SECRET, server_token, soon, start, start_with, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_names_the_connection_and_keep_alives_are_answered() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    assert!(ann.id.len() <= 36);
    ann.say(r#"[{"type":"health.check","client_id":"c-1"}]"#).await;
    let answer = ann.event().await;
    assert_eq!((&answer["type"], &answer["connection_id"]), (&json!("health.check"), &json!(ann.id)));
    ann.stream.send(Message::Ping("hi".into())).await.unwrap();
    assert_eq!(ann.message().await, Message::Pong("hi".into()));
    ann.stream.close(None).await.unwrap();
    server.until("connections", 0).await;
    let user =
        server.get("ann", "/users?payload=%7B%22filter_conditions%22%3A%7B%22id%22%3A%22ann%22%7D%7D").await.good();
    assert_eq!(user["users"][0]["name"], "ANN");
    assert_eq!(user["users"][0]["online"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_over_the_socket_and_are_final() {
    let server = start().await;
    let expired = TokenKey::new(SECRET).sign(&Claims { exp: Some(1), ..Claims::user("ann") });
    let early = TokenKey::new(SECRET).sign(&Claims { iat: Some(i64::MAX), ..Claims::user("ann") });
    let forged = TokenKey::new("wrong").sign(&Claims::user("ann"));
    let good = token("ann");
    let cases = [
        (server.url("ann", &forged, KEY), 43, 401),
        (server.url("ann", &expired, KEY), 40, 401),
        (server.url("ann", &early, KEY), 41, 401),
        (server.url("ann", "rubbish", KEY), 5, 401),
        (server.url("ann", "", KEY), 5, 401),
        (server.url("bob", &good, KEY), 5, 401),
        (server.url("ann", &good, "wrong-key"), 2, 401),
        (format!("ws://{}/connect?json=%7Bbroken&api_key={KEY}&authorization={good}", server.address), 4, 400),
        (format!("ws://{}/connect?api_key={KEY}&authorization={good}", server.address), 4, 400),
        (format!("ws://{}/connect", server.address), 2, 401),
    ];
    for (url, code, status) in cases {
        let mut socket = server.socket(&url).await;
        let event = socket.event().await;
        assert_eq!(event["type"], "connection.error", "{url}");
        assert_eq!((&event["error"]["code"], &event["error"]["StatusCode"]), (&json!(code), &json!(status)), "{url}");
        assert_eq!(socket.close_code().await, 1000, "{url}");
    }
    assert_eq!(server.stats().await["connections"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_gets_a_json_error() {
    let server = start().await;
    let path = format!("/connect?api_key={KEY}&authorization={}", token("ann"));
    server.raw(Method::GET, &path, None, "").await.bad(400, 4);
    server.raw(Method::POST, &path, None, "").await.bad(405, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_token_may_connect_anybody() {
    let server = start().await;
    let mut socket = server.socket(&server.url("zoë", &server_token(), KEY)).await;
    assert_eq!(socket.event().await["me"]["id"], "zoë");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_close_with_their_code_and_others_go_on() {
    let server = start().await;
    let mut bob = server.connect("bob").await;

    let mut ann = server.connect("ann").await;
    ann.stream.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(ann.close_code().await, 1003);

    let mut ann = server.connect("ann").await;
    ann.say(r#"{"type":"health.check"}"#).await;
    let error = ann.event().await;
    assert_eq!((&error["type"], &error["error"]["code"]), (&json!("error"), &json!(4)));
    assert_eq!(ann.close_code().await, wire::close::MALFORMED);

    let mut ann = server.connect("ann").await;
    ann.stream.send(Message::text("x".repeat(100_000))).await.unwrap();
    assert_eq!(ann.close_code().await, 1009);

    bob.say(r#"[{"type":"health.check"}]"#).await;
    assert_eq!(bob.event().await["type"], "health.check");
    assert_eq!(server.stats().await["closed_protocol"], 3);
}

/// Bytes of a seed; every other time they begin like a masked frame.
fn garbage(seed: u64) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut bytes: Vec<u8> = (0..random.next_u64() % 2_000).map(|_| random.next_u64() as u8).collect();
    if seed.is_multiple_of(2) && bytes.len() > 2 {
        bytes[0] = 0x80 | (random.next_u64() % 11) as u8;
        bytes[1] |= 0x80;
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_hurts_nobody_else() {
    let server = start().await;
    let mut bob = server.connect("bob").await;
    for seed in 0..60 {
        let mut socket = server.connect("ann").await;
        let raw = socket.stream.get_mut();
        soon(raw.write_all(&garbage(seed))).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let mut stranger = tokio::net::TcpStream::connect(server.address).await.unwrap();
        soon(stranger.write_all(&garbage(seed))).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        bob.say(r#"[{"type":"health.check"}]"#).await;
        assert_eq!(bob.event().await["type"], "health.check", "seed {seed}");
    }
    server.until("connections", 1).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_closed() {
    let server = start_with(|config| config.silence_max = Duration::from_millis(300)).await;
    let mut ann = server.connect("ann").await;
    assert_eq!(ann.close_code().await, wire::close::SILENT);
    server.until("connections", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_says_going_away_and_ends() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    let _deaf = server.connect("bob").await;
    let mut unfinished = tokio::net::TcpStream::connect(server.address).await.unwrap();
    unfinished.write_all(b"POST /sync HTTP/1.1\r\nhost: x\r\ncontent-le").await.unwrap();
    server.until("accepted", 4).await;
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(ann.close_code().await, 1001);
    soon(stopping).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
