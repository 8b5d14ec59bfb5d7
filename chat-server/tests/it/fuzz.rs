//! Clients that break the protocol, each in another way: each is told its code, and nobody else notices.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use measure::SplitMix64;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use wire::close;
use wire::frame::{Opcode, put_client_frame};

use crate::support::{Server, Socket, soon, start};

const SEEDS: u64 = 150;
const NEIGHBOURS: usize = 4;

/// Panics of the server's threads since [`watch_for_panics`].
static PANICS: AtomicU64 = AtomicU64::new(0);

/// From now on a panic of a shard's thread is counted; that of a test's is its own.
fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("shard-")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panic);
        }));
    });
}

/// A client's frame with a first byte of the test's own.
fn frame(random: &mut SplitMix64, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_client_frame(&mut out, Opcode::Text, payload, (random.next_u64() as u32).to_le_bytes());
    out[0] = first;
    out.to_vec()
}

fn noise(random: &mut SplitMix64, length: u64) -> Vec<u8> {
    (0..length).map(|_| random.next_u64() as u8).collect()
}

/// What is good, and must be borne.
fn good(random: &mut SplitMix64) -> Vec<u8> {
    let short = random.next_u64() % 126;
    match random.next_u64() % 5 {
        0 => frame(random, 0x81, br#"[{"type":"health.check"}]"#),
        1 => {
            let payload = noise(random, short);
            frame(random, 0x89, &payload)
        }
        2 => {
            let payload = noise(random, short);
            frame(random, 0x8a, &payload)
        }
        3 => frame(random, 0x81, b"[]"),
        _ => [frame(random, 0x01, b"["), frame(random, 0x89, b"between"), frame(random, 0x80, b"]")].concat(),
    }
}

/// What breaks a rule, and the code that it deserves.
fn bad(random: &mut SplitMix64) -> (Vec<u8>, u16) {
    let opcode = [0, 1, 2, 8, 9, 10][random.next_u64() as usize % 6];
    let (short, long) = (random.next_u64() % 126, 126 + random.next_u64() % 4_000);
    let (few, many) = (noise(random, short), noise(random, long));
    let mut ours = frame(random, 0x80 | opcode, &few);
    match random.next_u64() % 14 {
        0 => {
            // A reserved bit, or several.
            ours[0] |= (1 + (random.next_u64() % 7) as u8) << 4;
            (ours, close::PROTOCOL)
        }
        1 => {
            let unknown = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15][random.next_u64() as usize % 10];
            (frame(random, 0x80 | unknown, &many), close::PROTOCOL)
        }
        2 => {
            // Not masked.
            ours[1] &= 0x7f;
            (ours, close::PROTOCOL)
        }
        3 => (frame(random, 0x08 | opcode & 3, &few), close::PROTOCOL),
        4 => (frame(random, 0x89, &many), close::PROTOCOL),
        5 => (frame(random, 0x80, &few), close::PROTOCOL),
        6 => ([frame(random, 0x01, b"["), frame(random, 0x81, b"[]")].concat(), close::PROTOCOL),
        7 => {
            // Bytes that no UTF-8 has, somewhere.
            let text = [&b"[\""[..], &[0xf8 | random.next_u64() as u8], b"\"]"].concat();
            (frame(random, 0x81, &text), close::INVALID_DATA)
        }
        8 => {
            let code = [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535][random.next_u64() as usize % 9];
            (frame(random, 0x88, &u16::to_be_bytes(code)), close::PROTOCOL)
        }
        9 => (frame(random, 0x88, b"\x03"), close::PROTOCOL),
        10 => (frame(random, 0x88, b"\x03\xe8\xff"), close::INVALID_DATA),
        11 => {
            // Announced and never sent.
            let length = (wire::limits::CLIENT_FRAME as u64 + 1) + random.next_u64() % (1 << 40);
            ([&[0x81, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat(), close::TOO_BIG)
        }
        12 => (frame(random, 0x82, &many), close::UNSUPPORTED),
        _ => (frame(random, 0x81, br#"{"type":"health.check"}"#), close::MALFORMED),
    }
}

/// Says something good, then something bad, in pieces of any size; checks the code.
async fn offend(server: &Server, seed: u64) {
    let mut random = SplitMix64::new(seed);
    let mut socket = server.connect(&format!("offender-{seed}")).await;
    server.watch(&format!("offender-{seed}"), &socket, "livestream/room").await;
    let mut bytes = Vec::new();
    for _ in 0..random.next_u64() % 4 {
        bytes.extend(good(&mut random));
    }
    let (offence, code) = bad(&mut random);
    bytes.extend(offence);
    // What comes behind doesn't count any more.
    bytes.extend(noise(&mut random, 32));
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.next_u64() as usize % rest.len());
        // The server may have closed after an earlier piece, and reads on until it has said why.
        soon(socket.stream.get_mut().write_all(piece)).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        rest = after;
    }
    assert_eq!(socket.close_code().await, code, "seed {seed}: {bytes:02x?}");
}

async fn neighbour(server: &Server, name: &str) -> Socket {
    let socket = server.connect(name).await;
    server.watch(name, &socket, "livestream/room").await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_offender_is_told_its_code_and_the_neighbours_miss_nothing() {
    watch_for_panics();
    let server = start().await;
    let mut neighbours = Vec::new();
    for n in 0..NEIGHBOURS {
        neighbours.push(neighbour(&server, &format!("neighbour-{n}")).await);
    }
    for seed in 0..SEEDS {
        let id = format!("m-{seed}");
        let (_, sent) = tokio::join!(offend(&server, seed), server.send("ann", "livestream/room", &id, "hello"));
        sent.good();
    }
    for neighbour in &mut neighbours {
        for seed in 0..SEEDS {
            let event = neighbour.event_of("message.new").await;
            assert_eq!(event["seq"], json!(seed + 1));
        }
    }
    server.until("connections", NEIGHBOURS as u64).await;
    let stats = server.stats().await;
    assert_eq!(stats["closed_protocol"], json!(SEEDS), "{stats}");
    assert_eq!((&stats["closed_slow"], &stats["closed_silent"]), (&json!(0), &json!(0)), "{stats}");
    server.stop().await.unwrap();
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a shard's thread has panicked");
}
