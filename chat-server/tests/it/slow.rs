//! Slow readers cost themselves only.

use std::time::Duration;

use serde_json::json;

use crate::support::{Server, Socket, start_with};

const SENT: u64 = 60;

/// A server with small outboxes, on which `slow` watches but doesn't read.
async fn with_a_slow_reader() -> (Server, Socket, Socket) {
    let server = start_with(|config| {
        config.outbox_bytes_max = 64 * 1024;
        config.close_timeout = Duration::from_secs(15);
    })
    .await;
    let slow = server.connect("slow").await;
    socket2::SockRef::from(slow.stream.get_ref()).set_recv_buffer_size(256 * 1024).unwrap();
    server.watch("slow", &slow, "livestream/room").await;
    let fast = server.connect("fast").await;
    server.watch("fast", &fast, "livestream/room").await;
    (server, slow, fast)
}

/// Sends until the slow reader's outbox overflows, while the fast one reads everything in order.
async fn overflow(server: &Server, fast: &mut Socket) -> u64 {
    let text = "x".repeat(5_000);
    let mut seq = 0;
    while seq < SENT || server.stats().await["closed_slow"] == json!(0) {
        seq += 1;
        server.send("fast", "livestream/room", &format!("m-{seq}"), &text).await.good();
        assert_eq!(fast.event_of("message.new").await["seq"], json!(seq));
        assert!(seq < 20_000, "nothing overflows");
    }
    seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_closed_with_its_code_and_catches_up() {
    let (server, mut slow, mut fast) = with_a_slow_reader().await;
    let newest = overflow(&server, &mut fast).await;

    // What the kernel still holds comes first, in order; then the code.
    let mut seen = 0;
    loop {
        match slow.message().await {
            tokio_tungstenite::tungstenite::Message::Text(text) => {
                let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                if event["type"] == "message.new" {
                    seen += 1;
                    assert_eq!(event["seq"], json!(seen));
                }
            }
            tokio_tungstenite::tungstenite::Message::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), wire::close::SLOW_READER);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(seen < newest);

    let again = server.connect("slow").await;
    let state = server.watch("slow", &again, "livestream/room").await;
    assert_eq!(state["seq"], json!(newest));
    let body = json!({"channel_cids": ["livestream:room"], "last_seq": {"livestream:room": seen}});
    let missed = server.post("slow", "/sync", body).await.good();
    let numbers: Vec<u64> =
        missed["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (seen + 1..=newest).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_never_reads_again_is_let_go() {
    let server = start_with(|config| {
        config.outbox_bytes_max = 64 * 1024;
        config.close_timeout = Duration::from_millis(200);
    })
    .await;
    let deaf = server.connect("deaf").await;
    server.watch("deaf", &deaf, "livestream/room").await;
    let mut fast = server.connect("fast").await;
    server.watch("fast", &fast, "livestream/room").await;
    overflow(&server, &mut fast).await;
    server.until("connections", 1).await;
    server.until("outbox_bytes", 0).await;
    server.stop().await.unwrap();
}
