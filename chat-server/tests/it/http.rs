//! What browsers and HTTP clients expect of any server, spoken in bytes.

use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{KEY, Server, escape, soon, start, token};

/// Says something over a new connection, to its end, and answers all that comes back. The request must end the
/// connection.
async fn exchange(server: &Server, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    soon(stream.write_all(said)).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap().to_lowercase()
}

fn head(method: &str, path: &str, headers: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let token = token("ann");
    format!(
        "{method} {path}{separator}api_key={KEY} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {token}\r\n{headers}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_may_call() {
    let server = start().await;
    let preflight = "OPTIONS /channels/messaging/a/message HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: http://page\r\n\
        access-control-request-method: POST\r\naccess-control-request-headers: authorization,stream-auth-type\r\n\r\n";
    let answer = exchange(&server, preflight.as_bytes()).await;
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    for header in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: get, post, delete",
        "access-control-allow-headers: authorization,stream-auth-type",
        "x-ratelimit-limit: ",
    ] {
        assert!(answer.contains(header), "{header} is not in {answer}");
    }
    for (path, status) in [("/app", "200"), ("/nowhere", "404"), ("/messages/none", "404")] {
        let answer = exchange(&server, head("GET", path, "origin: http://page\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
        assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
        assert!(answer.contains("access-control-expose-headers: x-ratelimit-limit"), "{answer}");
    }
    let answer = exchange(&server, head("GET", "/app", "").as_bytes()).await;
    assert!(!answer.contains("access-control"), "who is no browser has no use for it: {answer}");
    let answer = exchange(&server, head("OPTIONS", "/app", "").as_bytes()).await;
    assert!(answer.starts_with("http/1.1 405") && answer.contains("allow: get"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_answered_whatever_the_client_does_first() {
    let server = start().await;
    let body = vec![b'x'; 5_000_000];
    let length = format!("content-length: {}\r\n", body.len());
    let mut said = head("POST", "/sync", &length).into_bytes();
    said.extend_from_slice(&body);
    let answer = exchange(&server, &said).await;
    assert!(answer.starts_with("http/1.1 413") && answer.contains("\"code\":22"), "{answer}");
    let waits = head("POST", "/sync", &format!("{length}expect: 100-continue\r\n"));
    let answer = exchange(&server, waits.as_bytes()).await;
    assert!(answer.starts_with("http/1.1 413"), "a client that asks first is spared the sending: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_names_the_version_that_it_takes() {
    let server = start().await;
    let old = "upgrade: websocket\r\nsec-websocket-version: 8\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let said = head("GET", "/connect", old).replace("connection: close", "connection: upgrade, close");
    let answer = exchange(&server, said.as_bytes()).await;
    assert!(answer.starts_with("http/1.1 426") && answer.contains("sec-websocket-version: 13"), "{answer}");
    assert!(answer.contains("\"code\":4"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_tokens_are_read_as_clients_write_them() {
    let server = start().await;
    for (method, path) in [
        (Method::GET, "/messages/%FF"),
        (Method::GET, "/messages/%FF/replies"),
        (Method::DELETE, "/messages/m/reaction/%FF"),
        (Method::POST, "/channels/messaging/%FF/query"),
    ] {
        server.call("ann", method, path, json!({})).await.bad(400, 4);
    }
    server.create("ann", "messaging/a").await;
    let id = "a/b?c#d % \"☃\"";
    server.send("ann", "messaging/a", id, "hello").await.good();
    let got = server.get("ann", &format!("/messages/{}", escape(id))).await.good();
    assert_eq!(got["message"]["id"], id);
    let path = format!("/longpoll?api_key={KEY}&json={}", escape(r#"{"user_id":"ann"}"#));
    let polled = server.raw(Method::GET, &path, Some(&token("ann")), "").await.good();
    assert_eq!(polled["event"]["me"]["id"], "ann", "the token may stand in the header of any call");
}
