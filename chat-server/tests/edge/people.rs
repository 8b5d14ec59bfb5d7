//! Events for users, and who is online.

use std::time::Duration;

use serde_json::json;

use crate::nodes::{Proxy, attached, edge, origin};
use crate::support::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_event_goes_to_the_edges_that_may_hold_him() {
    let origin = origin(None, |_| {}).await;
    let (left, right) = (edge(origin.link.unwrap(), |_| {}).await, edge(origin.link.unwrap(), |_| {}).await);
    attached(&left, 1).await;
    attached(&right, 1).await;
    let (mut ann, mut again) = (left.connect("ann").await, left.connect("ann").await);
    let mut bob = right.connect("bob").await;
    // Until an edge has said who is there, anybody may be.
    let make = json!({"data": {"members": ["ann"]}});
    for nth in 0.. {
        let before = origin.stats().await["user_events_spared"].as_u64().unwrap();
        origin.post("eve", &format!("/channels/messaging/warm-{nth}/query"), make.clone()).await.good();
        assert_eq!(ann.event_of("notification.added_to_channel").await["channel_id"], json!(format!("warm-{nth}")));
        if origin.stats().await["user_events_spared"].as_u64().unwrap() > before {
            break;
        }
    }
    origin.create("eve", "messaging/a").await;
    origin.post("eve", "/channels/messaging/a", json!({"add_members": ["ann", "bob"]})).await.good();
    for socket in [&mut ann, &mut again, &mut bob] {
        loop {
            let event = socket.event_of("notification.added_to_channel").await;
            if event["channel_id"] == "a" {
                assert_eq!(event["channel"]["cid"], "messaging:a");
                break;
            }
        }
    }
    origin.post("eve", "/channels/messaging/a", json!({"remove_members": ["bob", "nobody"]})).await.good();
    assert_eq!(bob.event_of("notification.removed_from_channel").await["member"]["id"], "bob");
    let link = &left.stats().await["link"];
    assert_eq!((&link["user_events_vain"], &link["filter_users"]), (&json!(0), &json!(1)));
}

/// A user whom no filter that holds ann alone tells from her: the same tag in the same bucket. Found by trying.
const LIKE_ANN: &str = "u2015406";

/// Adds a user to a new channel; answers how many edges need not hear of it.
async fn notify(origin: &Server, channel: &str, user: &str) -> u64 {
    let spared = async || origin.stats().await["user_events_spared"].as_u64().unwrap();
    let before = spared().await;
    let make = json!({"data": {"members": [user]}});
    origin.post("eve", &format!("/channels/messaging/{channel}/query"), make).await.good();
    spared().await - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whom_the_filter_takes_for_another_is_counted_and_nobody_is_told() {
    let origin = origin(None, |_| {}).await;
    let (left, right) = (edge(origin.link.unwrap(), |_| {}).await, edge(origin.link.unwrap(), |_| {}).await);
    attached(&left, 1).await;
    attached(&right, 1).await;
    let mut ann = left.connect("ann").await;
    // Until the edges have said who is there, anybody may be; and then ann is on one of them.
    for (user, edges) in [("nobody", 2), ("ann", 1)] {
        for nth in 0.. {
            let spared = notify(&origin, &format!("{user}-{nth}"), user).await;
            if user == "ann" {
                assert_eq!(ann.event_of("notification.added_to_channel").await["channel_id"], format!("ann-{nth}"));
            }
            if spared == edges {
                break;
            }
        }
    }
    let vain = async || left.stats().await["link"]["user_events_vain"].as_u64().unwrap();
    let before = vain().await;
    assert_eq!(notify(&origin, "other", LIKE_ANN).await, 1, "one of the edges may hold him");
    assert_eq!(notify(&origin, "hers", "ann").await, 1);
    let event = ann.event_of("notification.added_to_channel").await;
    assert_eq!(event["channel_id"], "hers", "what is for another is not for her: {event}");
    assert_eq!(vain().await, before + 1);
    // Whoever is gone is soon asked for nowhere.
    drop(ann);
    let mut nth = 0;
    while notify(&origin, &format!("gone-{nth}"), "ann").await < 2 {
        nth += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_told_across_edges_to_those_who_asked() {
    let origin = origin(None, |config| config.presence_grace = Duration::from_millis(300)).await;
    let proxy = Proxy::start(origin.link.unwrap()).await;
    let (left, right) = (edge(proxy.address, |_| {}).await, edge(origin.link.unwrap(), |_| {}).await);
    let make = json!({"data": {"members": ["ann", "bob", "eve"]}});
    origin.post("eve", "/channels/messaging/a/query", make).await.good();
    let mut ann = left.connect("ann").await;
    let path = format!("/channels/messaging/a/query?connection_id={}", ann.id);
    let asked = json!({"watch": true, "presence": true, "state": true});
    attached(&right, 1).await;
    let shown = left.post("ann", &path, asked).await.good();
    let mut deaf = right.connect("deaf").await;
    right.watch("deaf", &deaf, "messaging/a").await;

    let mut told = async |user: &str, online: bool| loop {
        let event = ann.event_of("user.presence.changed").await;
        // Ann herself, and what was shown before the filters knew, may be told too.
        if event["user"]["id"] == user && event["user"]["online"] == json!(online) {
            break;
        }
    };
    // Until an edge has said who is there, anybody may be; that is corrected.
    for (nth, user) in [(1, "bob"), (2, "eve")] {
        if shown["members"][nth]["user"]["online"] == json!(true) {
            told(user, false).await;
        }
    }
    let bob = right.connect("bob").await;
    told("bob", true).await;
    let eve = origin.connect("eve").await;
    told("eve", true).await;
    drop(eve);
    told("eve", false).await;
    proxy.cut();
    attached(&left, 2).await;
    drop(bob);
    told("bob", false).await;
    let bob = right.connect("bob").await;
    told("bob", true).await;
    // An edge takes its users along.
    drop(bob);
    right.stop().await.unwrap();
    told("bob", false).await;
    loop {
        match deaf.message().await {
            tokio_tungstenite::tungstenite::Message::Close(_) => break,
            message => assert!(!message.to_string().contains("user.presence.changed"), "nobody asked for it"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_node_whoever_reconnects_at_once_was_never_away() {
    let server = origin(None, |config| config.presence_grace = Duration::from_millis(400)).await;
    let make = json!({"data": {"members": ["ann", "bob"]}});
    server.post("ann", "/channels/messaging/a/query", make).await.good();
    let mut ann = server.connect("ann").await;
    let path = format!("/channels/messaging/a/query?connection_id={}", ann.id);
    let asked = json!({"watch": true, "presence": true, "state": true});
    let shown = server.post("ann", &path, asked).await.good();
    let online = |nth: usize| shown["members"][nth]["user"]["online"].clone();
    assert_eq!((online(0), online(1)), (json!(true), json!(false)));
    let bob = server.connect("bob").await;
    assert_eq!(ann.event_of("user.presence.changed").await["user"]["online"], json!(true));
    drop(bob);
    server.until("connections", 1).await;
    let bob = server.connect("bob").await;
    drop(bob);
    let event = ann.event_of("user.presence.changed").await;
    assert_eq!(
        (&event["user"]["id"], &event["user"]["online"]),
        (&json!("bob"), &json!(false)),
        "told once, at the end"
    );
}
