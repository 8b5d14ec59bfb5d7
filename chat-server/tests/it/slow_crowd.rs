//! A room in which one reader in a hundred takes a byte a second: it is told to go, and the others get everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::close;
use wire::frame::{Decoder, Received, Role};

use crate::support::{Server, Socket, soon, start_with};

const READERS: u64 = 200;
const SLOW: u64 = READERS / 100;
const FAST: u64 = READERS - SLOW;
/// Bytes that may wait for each.
const OUTBOX: u64 = 64 * 1024;
/// Bytes of a message, and more than both kernels together take of them for somebody who doesn't read.
const TEXT: u64 = 5_000;
const KERNEL: u64 = 1024 * 1024;
/// Messages that may be on their way to the fast ones.
const IN_FLIGHT: u64 = 8;
/// The text that ends it.
const LAST: &str = "last";

/// A user whose kernel takes little, so that what it doesn't read waits with the server.
async fn connect_slow(server: &Server, user: &str) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let stream = soon(socket.connect(server.address)).await.unwrap();
    let socket = server.connect_over(stream, user).await;
    server.watch(user, &socket, "livestream/room").await;
    socket
}

/// Reads a byte a second until `enough`, and then the rest: the numbers of its messages and the code that it is closed
/// with.
fn read_slowly(mut socket: Socket, enough: CancellationToken) -> JoinHandle<(Vec<u64>, Option<u16>)> {
    tokio::spawn(async move {
        let (mut bytes, stream) = (Vec::new(), socket.stream.get_mut());
        loop {
            tokio::select! {
                () = enough.cancelled() => break,
                () = tokio::time::sleep(Duration::from_secs(1)) => bytes.push(soon(stream.read_u8()).await.unwrap()),
            }
        }
        soon(stream.read_to_end(&mut bytes)).await.unwrap();
        let (mut decoder, mut input) = (Decoder::new(Role::Client, 1 << 20), bytes.as_mut_slice());
        let mut seen = Vec::new();
        loop {
            match decoder.next(&mut input).unwrap() {
                Some(Received::Text(text)) => {
                    let event: Value = serde_json::from_str(text).unwrap();
                    seen.extend(event["seq"].as_u64());
                }
                Some(Received::Close(code, _)) => return (seen, code),
                other => panic!("{other:?} after {seen:?}"),
            }
        }
    })
}

/// Reads everything in order, counting, until the last message; answers its number.
fn read_all(mut socket: Socket, got: Arc<AtomicU64>) -> JoinHandle<u64> {
    tokio::spawn(async move {
        for expected in 1.. {
            let event = socket.event_of("message.new").await;
            assert_eq!(event["seq"], json!(expected));
            got.fetch_add(1, Ordering::Relaxed);
            if event["message"]["text"] == LAST {
                return expected;
            }
        }
        unreachable!("numbers don't end")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_reader_in_a_hundred_costs_itself_only() {
    let server = start_with(|config| {
        config.outbox_bytes_max = OUTBOX as usize;
        config.close_timeout = Duration::from_secs(15);
        config.throttle_watchers = Some(0);
    })
    .await;
    let (enough, got) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let (mut slow, mut fast) = (Vec::new(), Vec::new());
    for n in 0..SLOW {
        slow.push(read_slowly(connect_slow(&server, &format!("slow-{n}")).await, enough.clone()));
    }
    for n in 0..FAST {
        let user = format!("fast-{n}");
        let socket = server.connect(&user).await;
        server.watch(&user, &socket, "livestream/room").await;
        fast.push(read_all(socket, got.clone()));
    }

    let (mut sent, mut waiting_max) = (0_u64, 0);
    let text = "x".repeat(TEXT as usize);
    loop {
        let stats = server.stats().await;
        waiting_max = waiting_max.max(stats["outbox_bytes"].as_u64().unwrap());
        let all_closed = stats["closed_slow"] == json!(SLOW);
        sent += 1;
        let text = if all_closed { LAST } else { &text };
        server.send("fast-0", "livestream/room", &format!("m-{sent}"), text).await.good();
        // Whoever reads goes on, whatever the slow ones do.
        soon(async {
            while got.load(Ordering::Relaxed) < sent.saturating_sub(IN_FLIGHT) * FAST {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        if all_closed {
            break;
        }
        assert!(sent * TEXT < OUTBOX + KERNEL, "more waits than may: {stats}");
    }

    for reader in fast {
        assert_eq!(soon(reader).await.unwrap(), sent, "everything, in order");
    }
    assert!(waiting_max > OUTBOX / 2, "the slow ones' events wait with the server: {waiting_max}");
    assert!(waiting_max <= READERS * OUTBOX, "{waiting_max} bytes wait");
    enough.cancel();
    for reader in slow {
        let (seen, code) = soon(reader).await.unwrap();
        assert_eq!(code, Some(close::SLOW_READER));
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "what it got is whole, up to where it was cut");
        assert!((seen.len() as u64) < sent);
    }
    server.until("outbox_bytes", 0).await;
    let stats = server.stats().await;
    assert_eq!((&stats["closed_slow"], &stats["closed_protocol"]), (&json!(SLOW), &json!(0)));
}
