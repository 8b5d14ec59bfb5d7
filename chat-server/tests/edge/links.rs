//! What crosses links, and what happens when they break.

use serde_json::{Value, json};

use crate::nodes::{Proxy, attached, edge, origin};
use crate::support::{Server, Socket};

/// Numbers and message ids of the next `n` messages.
async fn messages(socket: &mut Socket, n: usize) -> Vec<(u64, String)> {
    let mut got = Vec::new();
    for _ in 0..n {
        let event = socket.event_of("message.new").await;
        got.push((event["seq"].as_u64().unwrap(), event["message"]["id"].as_str().unwrap().to_owned()));
    }
    got
}

async fn send_many(server: &Server, user: &str, channel: &str, ids: std::ops::Range<usize>) {
    for id in ids {
        server.send(user, channel, &format!("m-{id}"), "hello").await.good();
    }
}

fn expected(ids: std::ops::Range<usize>) -> Vec<(u64, String)> {
    ids.map(|id| (id as u64, format!("m-{id}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_spans_origin_and_edges_and_each_event_crosses_a_link_once() {
    let origin = origin(None, |_| {}).await;
    let (left, right) = (edge(origin.link.unwrap(), |_| {}).await, edge(origin.link.unwrap(), |_| {}).await);
    let mut sockets = Vec::new();
    for (nth, server) in [&origin, &left, &right, &left, &right, &left].into_iter().enumerate() {
        let user = format!("user-{nth}");
        let socket = server.connect(&user).await;
        let state = server.watch(&user, &socket, "livestream/room").await;
        assert_eq!(state["seq"], json!(0));
        sockets.push(socket);
    }
    origin.until_watchers("livestream/room", 6).await;
    send_many(&left, "user-1", "livestream/room", 1..11).await;
    send_many(&right, "user-2", "livestream/room", 11..21).await;
    send_many(&origin, "user-0", "livestream/room", 21..31).await;
    for socket in &mut sockets {
        assert_eq!(messages(socket, 30).await, expected(1..31));
    }
    // The origin itself passed on as many events as an edge with three watchers, not three times as many.
    let passed_on = |stats: &Value| stats["published"].as_u64().unwrap();
    let (at_origin, at_left) = (passed_on(&origin.stats().await), passed_on(&left.stats().await));
    assert!(at_left <= at_origin && at_left >= 30, "{at_left} of {at_origin}");
    let state = right.post("user-2", "/channels/livestream/room/query", json!({"state": true})).await.good();
    assert_eq!((&state["watcher_count"], state["messages"].as_array().unwrap().len()), (&json!(6), 25));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_types_hears_nothing_of_it_on_any_edge() {
    let origin = origin(None, |_| {}).await;
    let (left, right) = (edge(origin.link.unwrap(), |_| {}).await, edge(origin.link.unwrap(), |_| {}).await);
    let (mut ann, mut bob) = (left.connect("ann").await, right.connect("bob").await);
    left.watch("ann", &ann, "messaging/a").await;
    right.watch("bob", &bob, "messaging/a").await;
    assert_eq!(ann.event_of("user.watching.start").await["user"]["id"], "bob", "across edges");
    let typing = json!({"event": {"type": "typing.start"}});
    left.post("ann", &format!("/channels/messaging/a/event?connection_id={}", ann.id), typing).await.good();
    assert_eq!(bob.event_of("typing.start").await["user"]["id"], "ann");
    left.send("ann", "messaging/a", "m-1", "hello").await.good();
    let next = ann.event().await;
    assert_eq!(next["type"], "message.new", "{next}");
    drop(bob);
    let stop = ann.event_of("user.watching.stop").await;
    assert_eq!((&stop["user"]["id"], &stop["watcher_count"]), (&json!("bob"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_comes_back_and_nobody_notices() {
    let origin = origin(None, |_| {}).await;
    let proxy = Proxy::start(origin.link.unwrap()).await;
    let edge = edge(proxy.address, |_| {}).await;
    let mut ann = edge.connect("ann").await;
    edge.watch("ann", &ann, "livestream/room").await;
    for round in 0..5 {
        let ids = round * 20 + 1..round * 20 + 21;
        send_many(&origin, "bob", "livestream/room", ids.start..ids.start + 10).await;
        proxy.cut();
        send_many(&origin, "bob", "livestream/room", ids.start + 10..ids.end).await;
        assert_eq!(messages(&mut ann, 20).await, expected(ids));
        attached(&edge, round as u64 + 2).await;
    }
    // Calls wait for the link.
    proxy.cut();
    send_many(&edge, "ann", "livestream/room", 101..104).await;
    assert_eq!(messages(&mut ann, 3).await, expected(101..104));
    let stop = format!("/channels/livestream/room/stop-watching?connection_id={}", ann.id);
    assert_eq!(edge.post("ann", &stop, json!({})).await.good()["seq"], json!(103));
    assert_eq!(edge.stats().await["link"]["resyncs"], json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_stay_while_the_origin_is_away_and_calls_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let first = origin(Some(directory.path()), |_| {}).await;
    let proxy = Proxy::start(first.link.unwrap()).await;
    let edge = edge(proxy.address, |config| config.link_patience = std::time::Duration::from_millis(300)).await;
    let mut ann = edge.connect("ann").await;
    edge.watch("ann", &ann, "livestream/room").await;
    send_many(&edge, "ann", "livestream/room", 1..6).await;
    first.stop().await.unwrap();
    edge.get("ann", "/messages/m-1").await.bad(503, -1);
    edge.try_watch("ann", &ann, "livestream/other").await.bad(503, -1);
    ann.say(r#"[{"type":"health.check"}]"#).await;
    assert_eq!(messages(&mut ann, 5).await, expected(1..6));
    assert_eq!(ann.event().await["type"], "health.check");

    let second = origin(Some(directory.path()), |_| {}).await;
    send_many(&second, "bob", "livestream/room", 6..9).await;
    proxy.lead_to(second.link.unwrap());
    attached(&edge, 2).await;
    send_many(&edge, "ann", "livestream/room", 9..12).await;
    assert_eq!(messages(&mut ann, 6).await, expected(6..12), "it goes on where it was");
    assert_eq!(edge.stats().await["link"]["resyncs"], json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_replayed_closes_the_watchers() {
    let first = origin(None, |_| {}).await;
    let proxy = Proxy::start(first.link.unwrap()).await;
    let edge = edge(proxy.address, |_| {}).await;
    let mut ann = edge.connect("ann").await;
    edge.watch("ann", &ann, "livestream/room").await;
    send_many(&edge, "ann", "livestream/room", 1..6).await;
    assert_eq!(messages(&mut ann, 5).await, expected(1..6));
    first.stop().await.unwrap();

    // It keeps nothing: its channel of that name is another, which soon has as many events as the old one.
    let second = origin(None, |_| {}).await;
    second.create("bob", "livestream/room").await;
    send_many(&second, "bob", "livestream/room", 1..9).await;
    proxy.lead_to(second.link.unwrap());
    assert_eq!(ann.close_code().await, 4009);
    let mut ann = edge.connect("ann").await;
    assert_eq!(edge.watch("ann", &ann, "livestream/room").await["seq"], json!(8));
    send_many(&edge, "ann", "livestream/room", 9..10).await;
    assert_eq!(messages(&mut ann, 1).await, expected(9..10));
    let sync = json!({"channel_cids": ["livestream:room"], "last_seq": {"livestream:room": 5}});
    assert_eq!(edge.post("ann", "/sync", sync).await.good()["events"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_goes_to_the_other_edge_and_misses_nothing() {
    let origin = origin(None, |_| {}).await;
    let (left, right) = (edge(origin.link.unwrap(), |_| {}).await, edge(origin.link.unwrap(), |_| {}).await);
    let mut ann = left.connect("ann").await;
    left.watch("ann", &ann, "livestream/room").await;
    send_many(&right, "bob", "livestream/room", 1..6).await;
    assert_eq!(messages(&mut ann, 5).await, expected(1..6));
    left.stop().await.unwrap();
    assert_eq!(ann.close_code().await, 1001);
    send_many(&right, "bob", "livestream/room", 6..11).await;
    let mut ann = right.connect("ann").await;
    let seq = right.watch("ann", &ann, "livestream/room").await["seq"].as_u64().unwrap();
    assert_eq!(seq, 10);
    let sync = json!({"channel_cids": ["livestream:room"], "last_seq": {"livestream:room": 5}});
    let missed = right.post("ann", "/sync", sync).await.good();
    let missed = missed["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap());
    assert_eq!(missed.collect::<Vec<_>>(), [6, 7, 8, 9, 10]);
    send_many(&right, "bob", "livestream/room", 11..12).await;
    assert_eq!(messages(&mut ann, 1).await, expected(11..12));
    origin.until_watchers("livestream/room", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_with_another_secret_is_not_let_in() {
    let origin = origin(None, |_| {}).await;
    let stranger = edge(origin.link.unwrap(), |config| {
        config.api_secret = chat_server::Secret::new("another");
        config.link_patience = std::time::Duration::from_millis(300);
    })
    .await;
    stranger.raw(http::Method::GET, "/stats", None, "").await;
    assert_eq!(stranger.stats().await["link"]["is_up"], json!(false));
    assert_eq!(origin.stats().await["edges"], json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_joins_without_asking_the_origin_for_each() {
    const CROWD: usize = 60;
    let origin = origin(None, |_| {}).await;
    let edge = edge(origin.link.unwrap(), |_| {}).await;
    edge.create("user-0", "livestream/room").await;
    let calls = edge.stats().await["link"]["calls"].as_u64().unwrap();
    let joins = (0..CROWD).map(|nth| {
        let edge = &edge;
        async move {
            let user = format!("user-{nth}");
            let socket = edge.connect(&user).await;
            let path = format!("/channels/livestream/room/query?connection_id={}", socket.id);
            let state = edge.post(&user, &path, json!({"watch": true, "state": false})).await.good();
            assert_eq!((&state["channel"]["cid"], &state["seq"]), (&json!("livestream:room"), &json!(0)));
            socket
        }
    });
    let sockets = futures_util::future::join_all(joins).await;
    let calls = edge.stats().await["link"]["calls"].as_u64().unwrap() - calls;
    assert!(calls < CROWD as u64 / 4, "{calls} calls for {CROWD} who join");
    assert_eq!(sockets.len(), CROWD);
    origin.until_watchers("livestream/room", CROWD as u64).await;
    // And the one who counted.
    origin.until("users", CROWD as u64 + 1).await;
}
