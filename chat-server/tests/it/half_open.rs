//! Connections that never come to a request: silent ones, ones that drip, heads without end, peers that don't read.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Server, Socket, soon, start, start_with};

/// Half-open connections in all, in waves; the attacker holds two of them open, whatever the server does.
const WAVES: u64 = 12;
const WAVE: u64 = 250;
/// What the server has room for.
const GUESTS: u64 = 100;
const CONNECTIONS: u64 = 200;
/// Guests that may be on their way to a shard, and not yet be counted: one turn's.
const ARRIVING: u64 = 130;

/// A connection from one of several addresses of this host.
async fn stranger(server: &Server, number: u64) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    let from = Ipv4Addr::new(127, 0, 0, 2 + (number % 5) as u8);
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    soon(socket.connect(server.address)).await.unwrap()
}

/// What half-open connections say, each another thing. The server may be gone already.
async fn say(stream: &mut TcpStream, number: u64) {
    let said: &[u8] = match number % 4 {
        0 => b"",
        1 => b"G",
        2 => b"GET /connect HTTP/1.1\r\nhost: x\r\nx-drip: ",
        _ => b"GET /stats HTTP/1.1\r\nhost: x\r\n\r\n",
    };
    let _ = soon(stream.write_all(said)).await;
}

/// One more byte from each that drips.
async fn drip(held: &mut VecDeque<TcpStream>) {
    for stream in held.iter_mut().skip(1).step_by(4) {
        let _ = soon(stream.write_all(b"E")).await;
    }
}

/// A newcomer, who connects, watches and sends; everybody gets it.
async fn come_and_speak(server: &Server, wave: u64, users: &mut Vec<Socket>) {
    let name = format!("user-{wave}");
    let user = server.connect(&name).await;
    server.watch(&name, &user, "livestream/room").await;
    users.push(user);
    server.send(&name, "livestream/room", &format!("m-{wave}"), "hello").await.good();
    for user in users {
        assert_eq!(user.event_of("message.new").await["message"]["id"], json!(format!("m-{wave}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_come_and_talk_amid_thousands_of_half_open_connections() {
    let server = start_with(|config| {
        config.connections_max = CONNECTIONS as usize;
        config.guests_max = GUESTS as usize;
        config.guest_patience = Duration::ZERO;
    })
    .await;
    let mut users = Vec::new();
    let mut held = VecDeque::new();
    for wave in 0..WAVES {
        for number in 0..WAVE {
            let mut stream = stranger(&server, number).await;
            say(&mut stream, number).await;
            held.push_back(stream);
        }
        drip(&mut held).await;
        held.drain(..held.len().saturating_sub(2 * WAVE as usize));
        come_and_speak(&server, wave, &mut users).await;
        let stats = server.stats().await;
        let sockets: u64 =
            stats["shard_sockets"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).sum();
        assert!(stats["guests"].as_u64().unwrap() <= GUESTS + ARRIVING, "{stats}");
        assert!(sockets <= CONNECTIONS, "{stats}");
        assert_eq!(stats["connections"], json!(wave + 1), "{stats}");
    }
    let stats = server.stats().await;
    assert_eq!(stats["refused"], json!(0), "room was made for everybody: {stats}");
    assert!(stats["sent_away"].as_u64().unwrap() >= WAVES * WAVE - CONNECTIONS - 2 * WAVE, "{stats}");
    // It is over: only the users are left, and the caller of these figures.
    drop(held);
    server.until("guests", 0).await;
    assert_eq!(server.stats().await["connections"], json!(WAVES));
    drop(users);
    server.until("connections", 0).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_full_of_guests_makes_room_for_users() {
    let server = start_with(|config| config.connections_max = 20).await;
    let mut held = Vec::new();
    for number in 0..40 {
        held.push(stranger(&server, number).await);
    }
    let mut users = Vec::new();
    for n in 0..10 {
        come_and_speak(&server, n, &mut users).await;
    }
    let stats = server.stats().await;
    assert_eq!((&stats["connections"], &stats["refused"]), (&json!(10), &json!(0)), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_drips_or_does_not_read_is_closed_in_time() {
    let server = start_with(|config| config.request_timeout = Duration::from_millis(300)).await;
    let mut user = server.connect("ann").await;

    let drips = async {
        let mut stream = stranger(&server, 0).await;
        for byte in b"GET /stats HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'x')) {
            // Every byte is news, and none of them a new deadline.
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let deaf = async {
        let mut stream = stranger(&server, 1).await;
        // Asks, and asks, and never reads: at some point the server stops reading, too.
        while stream.write_all(&b"GET /stats HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64)).await.is_ok() {}
    };
    let silent = async {
        let mut nothing = Vec::new();
        let _ = stranger(&server, 2).await.read_to_end(&mut nothing).await;
        assert!(nothing.is_empty());
    };
    soon(async { tokio::join!(drips, deaf, silent) }).await;
    server.until("guests", 0).await;

    user.say(r#"[{"type":"health.check"}]"#).await;
    assert_eq!(user.event().await["type"], "health.check", "whoever has connected may be silent for longer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_refused_when_it_is_too_long() {
    let server = start().await;
    let mut stream = stranger(&server, 0).await;
    let mut head = b"GET /connect HTTP/1.1\r\n".to_vec();
    while head.len() < 40_000 {
        head.extend_from_slice(b"x-more: and more of it\r\n");
    }
    // Cut off in the middle, perhaps.
    let _ = soon(stream.write_all(&head)).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    server.until("guests", 0).await;
}
