//! A target in its own task, and a client of a few lines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use truth::{Config, Ledger, TestTarget};
use wire::frame::{Decoder, Opcode, Received, Role, put_client_frame};

/// Longer than anything takes here.
const SOON: Duration = Duration::from_secs(20);
/// `{"user_id":"tester"}`, as the middle of a token.
const TOKEN: &str = "head.eyJ1c2VyX2lkIjoidGVzdGVyIn0.tail";

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A running target.
pub(crate) struct Target {
    address: SocketAddr,
    pub(crate) ledger: Arc<Ledger>,
    _end: DropGuard,
}

impl Target {
    pub(crate) async fn start(config: Config) -> Self {
        let bound = TestTarget::bind(config).await.unwrap();
        let (address, ledger, end) = (bound.local_addr(), bound.ledger(), CancellationToken::new());
        tokio::spawn(bound.serve(end.clone().cancelled_owned()));
        Self { address, ledger, _end: end.drop_guard() }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(&format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (body, head) = (body.to_string(), "Host: t\r\nConnection: close");
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\n{head}\r\nAuthorization: {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.call(&request).await
    }

    async fn call(&self, request: &str) -> (u16, Value) {
        let call = async {
            let mut tcp = TcpStream::connect(self.address).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            (status, serde_json::from_str(body).unwrap_or_default())
        };
        timeout(SOON, call).await.unwrap()
    }

    /// A WebSocket of this user.
    pub(crate) async fn connect(&self, user: &str) -> Socket {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        let json = format!("%7B%22user_id%22:%22{user}%22%7D");
        let request = format!(
            "GET /connect?json={json} HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(SOON, tcp.read_u8()).await.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let decoder = Decoder::new(Role::Client, 1 << 20);
        let mut socket = Socket { tcp, decoder, id: String::new(), ready: Vec::new() };
        let hello = socket.event(SOON).await.unwrap();
        assert_eq!((&hello["type"], &hello["me"]["id"]), (&"health.check".into(), &user.into()));
        socket.id = hello["connection_id"].as_str().unwrap().to_owned();
        socket.keep_alive().await;
        socket
    }
}

/// A WebSocket.
pub(crate) struct Socket {
    tcp: TcpStream,
    decoder: Decoder,
    ready: Vec<Value>,
    pub(crate) id: String,
}

impl Socket {
    async fn keep_alive(&mut self) {
        let mut frame = BytesMut::new();
        put_client_frame(&mut frame, Opcode::Text, br#"[{"type":"health.check"}]"#, [1, 2, 3, 4]);
        self.tcp.write_all(&frame).await.unwrap();
        assert_eq!(self.event(SOON).await.unwrap()["type"], "health.check");
    }

    /// The next event; `None` if none comes in time.
    async fn event(&mut self, within: Duration) -> Option<Value> {
        let mut chunk = vec![0; 64 << 10];
        while self.ready.is_empty() {
            let n = timeout(within, self.tcp.read(&mut chunk)).await.ok()?.unwrap();
            assert_ne!(n, 0, "the target ended the connection");
            let mut rest = &mut chunk[..n];
            while let Some(received) = self.decoder.next(&mut rest).unwrap() {
                let Received::Text(text) = received else { panic!("{received:?}") };
                self.ready.push(serde_json::from_str(text).unwrap());
            }
        }
        Some(self.ready.remove(0))
    }

    /// The numbers of the next so many events.
    pub(crate) async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        for _ in 0..count {
            seqs.push(self.event(SOON).await.expect("one more")["seq"].as_u64().unwrap());
        }
        seqs
    }

    /// The numbers of all events up to the answer to a keep-alive.
    pub(crate) async fn seqs_until_silent(&mut self) -> Vec<u64> {
        let mut frame = BytesMut::new();
        put_client_frame(&mut frame, Opcode::Text, b"[]", [5, 6, 7, 8]);
        self.tcp.write_all(&frame).await.unwrap();
        let mut seqs = Vec::new();
        while let Some(event) = self.event(SOON).await {
            match event["seq"].as_u64() {
                Some(seq) => seqs.push(seq),
                None => return seqs,
            }
        }
        panic!("no answer to a keep-alive");
    }
}
