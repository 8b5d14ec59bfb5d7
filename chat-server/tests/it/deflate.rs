//! Compressed events: clients that can read them and others side by side, all of whom get the same.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::deflate::{Deflater, Direction, Inflater};
use wire::frame::{Decoder, Opcode, Received, Role, put_client_frame, put_client_frame_deflated};

use crate::support::{KEY, Server, soon, start, token};

/// A client that offers compression.
struct Compressed {
    stream: TcpStream,
    decoder: Decoder,
    inflater: Inflater,
    /// Events that came, and how many of them were compressed.
    events: Vec<Value>,
    compressed: usize,
    bytes: usize,
    answered: String,
}

impl Compressed {
    async fn connect(server: &Server, user: &str, offer: &str) -> Self {
        let mut stream = soon(TcpStream::connect(server.address)).await.unwrap();
        let url = server.url(user, &token(user), KEY);
        let path = url.split_once("/connect").unwrap().1;
        let request = format!(
            "GET /connect{path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-extensions: {offer}\r\n\r\n"
        );
        soon(stream.write_all(request.as_bytes())).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let answered = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        let answered = answered.unwrap_or_default().to_owned();
        let decoder = Decoder::new(Role::Client, 1 << 20).deflated(!answered.is_empty());
        let inflater = Inflater::new(Direction::FULL);
        let mut client = Self { stream, decoder, inflater, events: Vec::new(), compressed: 0, bytes: 0, answered };
        client.read_until(|events| !events.is_empty()).await;
        client
    }

    /// Watches the channel.
    async fn watch(&self, server: &Server, user: &str, channel: &str) {
        let id = self.events[0]["connection_id"].as_str().unwrap();
        let path = format!("/channels/{channel}/query?connection_id={id}");
        server.post(user, &path, json!({"watch": true})).await.good();
    }

    async fn read_until(&mut self, enough: impl Fn(&[Value]) -> bool) {
        let mut buffer = vec![0; 4_096];
        while !enough(&self.events) {
            let length = soon(self.stream.read(&mut buffer)).await.unwrap();
            assert!(length > 0, "closed after {:?}", self.events.last());
            self.bytes += length;
            let mut input = &mut buffer[..length];
            while let Some(received) = self.decoder.next(&mut input).unwrap() {
                match received {
                    Received::Text(text) => self.events.push(serde_json::from_str(text).unwrap()),
                    Received::Deflated(Opcode::Text, payload) => {
                        let mut text = Vec::new();
                        self.inflater.message(payload, 1 << 20, &mut text).unwrap();
                        self.events.push(serde_json::from_slice(&text).unwrap());
                        self.compressed += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Numbers of the channel's events that came.
    fn numbers(&self, cid: &str) -> Vec<u64> {
        self.events.iter().filter(|event| event["cid"] == cid).filter_map(|event| event["seq"].as_u64()).collect()
    }

    /// Asks for an answer, compressed or in two frames, and waits for it: everything before it has come then.
    async fn settle(&mut self, compressed: bool) {
        const ASK: &[u8] = br#"[{"type":"health.check"}]"#;
        let answers = |events: &[Value]| events.iter().filter(|event| event["type"] == "health.check").count();
        let (before, mut out) = (answers(&self.events), BytesMut::new());
        if compressed {
            let mut payload = Vec::new();
            Deflater::new(Direction::ALONE, 6).unwrap().message(ASK, &mut payload);
            put_client_frame_deflated(&mut out, Opcode::Text, &payload, [1, 2, 3, 4]);
        } else {
            put_client_frame(&mut out, Opcode::Text, ASK, [1, 2, 3, 4]);
        }
        // In pieces, so that the server has to keep a part of it.
        for piece in out.chunks(7) {
            soon(self.stream.write_all(piece)).await.unwrap();
            soon(self.stream.flush()).await.unwrap();
            tokio::task::yield_now().await;
        }
        self.read_until(|events| answers(events) > before).await;
    }
}

const OFFER: &str = "permessage-deflate; client_max_window_bits";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_read_compressed_events_gets_them_and_all_get_the_same() {
    let server = start().await;
    server.create("ann", "livestream/room").await;
    let mut clients = Vec::new();
    for n in 0..6 {
        let user = format!("user-{n}");
        let client = Compressed::connect(&server, &user, OFFER).await;
        assert!(client.answered.contains("permessage-deflate; client_no_context_takeover"), "{}", client.answered);
        client.watch(&server, &user, "livestream/room").await;
        clients.push(client);
    }
    let mut plain = server.connect("plain").await;
    server.watch("plain", &plain, "livestream/room").await;
    let small = Compressed::connect(&server, "small", "permessage-deflate; server_no_context_takeover").await;
    assert!(small.answered.contains("server_no_context_takeover"), "{}", small.answered);
    small.watch(&server, "small", "livestream/room").await;
    clients.push(small);
    for n in 0..30 {
        server.send("ann", "livestream/room", &format!("m-{n}"), "goal, and what a goal it was").await.good();
    }
    let late = Compressed::connect(&server, "late", OFFER).await;
    late.watch(&server, "late", "livestream/room").await;
    clients.push(late);
    for n in 30..40 {
        server.send("ann", "livestream/room", &format!("m-{n}"), "goal, and what a goal it was").await.good();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.settle(n % 2 == 0).await;
        let from = if n == 7 { 31 } else { 1 };
        assert_eq!(client.numbers("livestream:room"), (from..=40).collect::<Vec<_>>());
    }
    for n in 0..40 {
        assert_eq!(plain.event_of("message.new").await["message"]["id"], format!("m-{n}"));
    }
    assert!(clients[..6].iter().all(|client| client.compressed >= 40));
    assert_eq!(clients[6].compressed, 0, "who wants no context can't share the channel's");
    assert!(clients[0].bytes * 2 < clients[6].bytes, "{} and {} bytes", clients[0].bytes, clients[6].bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_many_channels_reads_one_compressed_and_the_others_plain() {
    let server = start().await;
    let channels = ["livestream/a", "livestream/b", "livestream/c"];
    let mut clients = Vec::new();
    for n in 0..5 {
        let user = format!("user-{n}");
        let client = Compressed::connect(&server, &user, OFFER).await;
        for channel in channels {
            client.watch(&server, &user, channel).await;
        }
        clients.push(client);
    }
    for n in 0..60 {
        let channel = channels[n % 7 % 3];
        server.send("user-0", channel, &format!("m-{n}"), "hello, all of you").await.good();
    }
    let stop = |client: &Compressed| {
        let id = client.events[0]["connection_id"].as_str().unwrap();
        format!("/channels/livestream/a/stop-watching?connection_id={id}")
    };
    server.post("user-0", &stop(&clients[0]), json!({})).await.good();
    for n in 60..90 {
        server.send("user-0", channels[n % 3], &format!("m-{n}"), "hello, all of you").await.good();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.settle(true).await;
        for channel in channels {
            let numbers = client.numbers(&channel.replace('/', ":"));
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "client {n}, {channel}");
        }
        let expected = if n == 0 { 60 } else { 90 };
        assert!(client.events.iter().filter(|event| event["seq"].is_u64()).count() >= expected);
        assert!(client.compressed > 0, "client {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_agreement_is_closed_with_its_code() {
    let server = start().await;
    for (offer, payload, code) in [("", &b"\x00"[..], 1002), (OFFER, &[0xff; 20], 1007)] {
        let mut client = Compressed::connect(&server, "ann", offer).await;
        assert_eq!(client.answered.is_empty(), offer.is_empty());
        let mut out = BytesMut::new();
        put_client_frame_deflated(&mut out, Opcode::Text, payload, [1, 2, 3, 4]);
        soon(client.stream.write_all(&out)).await.unwrap();
        let mut rest = Vec::new();
        soon(client.stream.read_to_end(&mut rest)).await.unwrap();
        let close = Bytes::from(rest);
        assert_eq!(close[..2], [0x88, close[1]]);
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), code);
    }
}
