//! Watching, fan-out, and the order of events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{Server, Socket, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_every_message_once_and_in_order() {
    const WATCHERS: usize = 50;
    const SENDERS: usize = 4;
    const EACH: usize = 15;
    let server = start().await;
    let mut sockets = Vec::new();
    for i in 0..WATCHERS {
        let user = format!("user-{i}");
        let socket = server.connect(&user).await;
        let state = server.watch(&user, &socket, "livestream/room").await;
        assert_eq!((&state["seq"], &state["watcher_count"]), (&json!(0), &json!(i + 1)));
        sockets.push(socket);
    }
    let sends = (0..SENDERS).map(|sender| {
        let server = &server;
        async move {
            for i in 0..EACH {
                let id = format!("m-{sender}-{i}");
                server.send(&format!("user-{sender}"), "livestream/room", &id, "hello").await.good();
            }
        }
    });
    futures_util::future::join_all(sends).await;
    let mut first: Option<Vec<String>> = None;
    for socket in &mut sockets {
        let ids = collect(socket, SENDERS * EACH).await;
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), SENDERS * EACH);
        assert_eq!(first.get_or_insert_with(|| ids.clone()), &ids, "all see the same order");
    }
    let stats = server.stats().await;
    assert!(stats["fanned_out"].as_u64().unwrap() >= (WATCHERS * SENDERS * EACH) as u64);
}

/// Ids of the next `n` messages, whose numbers must be 1, 2, 3, …
async fn collect(socket: &mut Socket, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for seq in 1..=n {
        let event = socket.event_of("message.new").await;
        assert_eq!(event["seq"], json!(seq));
        ids.push(event["message"]["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_begins_and_ends_at_a_number() {
    let server = start().await;
    server.create("ann", "messaging/a").await;
    server.send("ann", "messaging/a", "m-1", "before").await.good();
    let mut ann = server.connect("ann").await;
    let state = server.watch("ann", &ann, "messaging/a").await;
    assert_eq!((&state["seq"], &state["messages"][0]["id"]), (&json!(1), &json!("m-1")));
    server.send("ann", "messaging/a", "m-2", "while").await.good();
    let stop = format!("/channels/messaging/a/stop-watching?connection_id={}", ann.id);
    assert_eq!(server.post("ann", &stop, json!({})).await.good()["seq"], json!(2));
    server.send("ann", "messaging/a", "m-3", "after").await.good();
    assert_eq!(ann.event_of("message.new").await["message"]["id"], "m-2");
    ann.say(r#"[{"type":"health.check"}]"#).await;
    assert_eq!(ann.event().await["type"], "health.check", "nothing came after the end of watching");
}

/// Watches and stops again while others send; checks that exactly the events between the two numbers came.
async fn come_and_go(server: &Server, user: &str, rounds: usize) {
    for round in 0..rounds {
        let mut socket = server.connect(user).await;
        let from = server.watch(user, &socket, "livestream/room").await["seq"].as_u64().unwrap();
        for _ in 0..round % 4 {
            socket.event_of("message.new").await;
        }
        let stop = format!("/channels/livestream/room/stop-watching?connection_id={}", socket.id);
        let to = server.post(user, &stop, json!({})).await.good()["seq"].as_u64().unwrap();
        socket.say(r#"[{"type":"health.check"}]"#).await;
        let mut numbers: Vec<u64> = (from + 1..=from + (round % 4) as u64).collect();
        loop {
            let event = socket.event().await;
            numbers.extend(event["seq"].as_u64());
            if event["type"] == "health.check" {
                break;
            }
        }
        assert_eq!(numbers, (from + 1..=to).collect::<Vec<_>>(), "{user}, round {round}");
    }
}

/// Sends until told to stop.
async fn chatter(server: &Server, user: &str, stop: &AtomicBool) {
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        server.send(user, "livestream/room", &format!("{user}-{i}"), "hello").await.good();
    }
}

async fn watchers_come_and_go(data_dir: Option<PathBuf>) {
    let server = start_with(|config| config.data_dir = data_dir).await;
    server.create("ann", "livestream/room").await;
    let stop = AtomicBool::new(false);
    let watchers = async {
        let names: Vec<String> = (0..8).map(|i| format!("watcher-{i}")).collect();
        futures_util::future::join_all(names.iter().map(|name| come_and_go(&server, name, 8))).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(watchers, chatter(&server, "ann", &stop), chatter(&server, "bob", &stop));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_and_goes_gets_exactly_what_was_told_in_between() {
    watchers_come_and_go(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_through_the_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    watchers_come_and_go(Some(directory.path().to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_events_are_told_until_there_are_many_watchers() {
    let server = start_with(|config| {
        config.throttle_watchers = Some(2);
        config.watcher_count_every = std::time::Duration::from_millis(50);
    })
    .await;
    let typing = json!({"event": {"type": "typing.start"}});
    let mut ann = server.connect("ann").await;
    server.watch("ann", &ann, "livestream/a").await;
    assert_eq!(ann.event().await["type"], "channel.created");
    let mut bob = server.connect("bob").await;
    server.watch("bob", &bob, "livestream/a").await;
    let start = ann.event().await;
    assert_eq!(
        (&start["type"], &start["user"]["id"], &start["watcher_count"]),
        (&json!("user.watching.start"), &json!("bob"), &json!(2))
    );
    server.post("bob", "/channels/livestream/a/event", typing.clone()).await.good();
    assert_eq!(ann.event().await["type"], "typing.start");
    server.post("bob", "/channels/livestream/a/read", json!({})).await.good();
    assert_eq!(ann.event().await["type"], "message.read");

    let eve = server.connect("eve").await;
    server.watch("eve", &eve, "livestream/a").await;
    let count = ann.event().await;
    assert_eq!(
        (&count["type"], &count["watcher_count"], &count["user"]),
        (&json!("user.watching.start"), &json!(3), &Value::Null)
    );
    server.post("bob", "/channels/livestream/a/event", typing).await.good();
    server.post("bob", "/channels/livestream/a/event", json!({"event": {"type": "wave", "hand": "left"}})).await.good();
    let wave = ann.event().await;
    assert_eq!(
        (&wave["type"], &wave["hand"]),
        (&json!("wave"), &json!("left")),
        "typing was not told, custom events are"
    );
    assert_eq!(bob.event_of("wave").await["user"]["id"], "bob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_stops_watching() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    let bob = server.connect("bob").await;
    server.watch("ann", &ann, "livestream/a").await;
    server.watch("bob", &bob, "livestream/a").await;
    drop(bob);
    let stop = ann.event_of("user.watching.stop").await;
    assert_eq!((&stop["user"]["id"], &stop["watcher_count"]), (&json!("bob"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_needs_a_connection_of_ones_own() {
    let server = start().await;
    let ann = server.connect("ann").await;
    let query = |id: &str| format!("/channels/livestream/a/query?connection_id={id}");
    let watch = json!({"watch": true});
    server.post("ann", &query("nobody"), watch.clone()).await.bad(400, 46);
    server.post("bob", &query(&ann.id), watch.clone()).await.bad(400, 46);
    server.post("ann", "/channels/livestream/a/query", watch).await.bad(400, 4);
}
