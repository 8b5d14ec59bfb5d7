//! Messages, answers, reactions, reads, and catching up.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::{server_token, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_the_same_message() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    server.watch("ann", &ann, "messaging/a").await;
    server.create("ann", "messaging/b").await;
    let body =
        json!({"message": {"id": "m-1", "text": "hello", "throng": {"action": 1, "number": 2, "due": 3, "sent": 4}}});
    let first = server.post("ann", "/channels/messaging/a/message", body).await.good();
    let again = server.send("ann", "messaging/a", "m-1", "something else").await.good();
    assert_eq!(first["message"], again["message"]);
    assert_eq!(first["message"]["throng"]["due"], 3, "custom fields come back");
    server.send("bob", "messaging/a", "m-1", "mine").await.bad(400, 4);
    server.send("ann", "messaging/b", "m-1", "elsewhere").await.bad(400, 4);
    server.send("ann", "messaging/a", "m-2", "next").await.good();
    assert_eq!(ann.event_of("message.new").await["message"], first["message"]);
    let next = ann.event_of("message.new").await;
    assert_eq!((&next["seq"], &next["message"]["id"]), (&json!(2), &json!("m-2")), "the repeat told nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_repeats_are_one_message() {
    let server = start().await;
    server.create("ann", "messaging/a").await;
    let sends = (0..40).map(|i| {
        let server = &server;
        async move { server.send("ann", "messaging/a", &format!("m-{}", i % 4), &format!("try {i}")).await.good() }
    });
    let answers = futures_util::future::join_all(sends).await;
    let texts: BTreeSet<String> = answers.iter().map(|answer| answer["message"]["text"].to_string()).collect();
    assert_eq!(texts.len(), 4);
    let missed = json!({"channel_cids": ["messaging:a"], "last_seq": {"messaging:a": 0}});
    let missed = server.post("ann", "/sync", missed).await.good();
    assert_eq!((missed["events"].as_array().unwrap().len(), &missed["seq"]["messaging:a"]), (4, &json!(4)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_sender_or_a_server_may_change_a_message() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    server.watch("ann", &ann, "messaging/a").await;
    server.send("ann", "messaging/a", "m-1", "hello").await.good();
    let change = json!({"message": {"text": "changed"}});
    server.post("bob", "/messages/m-1", change.clone()).await.bad(403, 17);
    server.call("bob", Method::DELETE, "/messages/m-1", Value::Null).await.bad(403, 17);
    assert_eq!(server.post("ann", "/messages/m-1", change).await.good()["message"]["text"], "changed");
    assert_eq!(server.get("bob", "/messages/m-1").await.good()["message"]["text"], "changed");
    let path = format!("/messages/m-1?api_key={}", crate::support::KEY);
    let gone = server.raw(Method::DELETE, &path, Some(&server_token()), "").await.good();
    assert_eq!((&gone["message"]["type"], &gone["message"]["text"]), (&json!("deleted"), &json!("")));
    server.post("ann", "/messages/m-1", json!({"message": {"text": "again"}})).await.bad(400, 4);
    server.get("ann", "/messages/m-2").await.bad(404, 16);
    for (kind, seq) in [("message.new", 1), ("message.updated", 2), ("message.deleted", 3)] {
        assert_eq!(ann.event_of(kind).await["seq"], json!(seq));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactions_are_counted_and_can_be_unique() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    server.watch("ann", &ann, "messaging/a").await;
    server.send("ann", "messaging/a", "m-1", "hello").await.good();
    let react = |kind: &str, unique: bool| json!({"reaction": {"type": kind}, "enforce_unique": unique});
    let path = "/messages/m-1/reaction";
    server.post("ann", path, react("like", false)).await.good();
    server.post("ann", path, react("like", false)).await.good();
    server.post("bob", path, react("like", false)).await.good();
    let answer = server.post("bob", path, react("love", false)).await.good();
    assert_eq!(answer["message"]["reaction_counts"], json!({"like": 2, "love": 1}));
    assert_eq!((&answer["reaction"]["user_id"], &answer["reaction"]["score"]), (&json!("bob"), &json!(1)));
    let answer = server.post("bob", path, react("wow", true)).await.good();
    assert_eq!(answer["message"]["reaction_counts"], json!({"like": 1, "wow": 1}));
    let answer = server.call("bob", Method::DELETE, "/messages/m-1/reaction/wow", Value::Null).await.good();
    assert_eq!(answer["message"]["reaction_counts"], json!({"like": 1}));
    server.call("bob", Method::DELETE, "/messages/m-1/reaction/wow", Value::Null).await.bad(404, 16);
    server.post("bob", "/messages/m-9/reaction", react("wow", true)).await.bad(404, 16);
    server.post("bob", path, json!({"reaction": {}})).await.bad(400, 4);
    for seq in 2..=6 {
        assert_eq!(ann.event_of("reaction.new").await["seq"], json!(seq));
    }
    assert_eq!(ann.event_of("reaction.deleted").await["seq"], json!(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_answers_and_reads() {
    let server = start().await;
    server.create("ann", "messaging/a").await;
    for i in 0..10 {
        server.send("ann", "messaging/a", &format!("m-{i}"), &format!("message {i}")).await.good();
    }
    for i in 0..3 {
        let body = json!({"message": {"id": format!("r-{i}"), "text": "answer", "parent_id": "m-4"}});
        server.post("bob", "/channels/messaging/a/message", body).await.good();
    }
    let page = async |page: Value| {
        let body = json!({"state": true, "messages": page});
        let state = server.post("ann", "/channels/messaging/a/query", body).await.good();
        let ids =
            state["messages"].as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page(json!({"limit": 3})).await, "m-7 m-8 m-9");
    assert_eq!(page(json!({"limit": 2, "id_lt": "m-4"})).await, "m-2 m-3");
    assert_eq!(page(json!({"limit": 2, "id_lte": "m-4"})).await, "m-3 m-4");
    assert_eq!(page(json!({"limit": 2, "id_gt": "m-4"})).await, "m-5 m-6");
    assert_eq!(page(json!({"limit": 2, "id_gte": "m-4"})).await, "m-4 m-5");
    assert_eq!(page(json!({"id_gt": "m-4", "id_lt": "m-7"})).await, "m-5 m-6");
    assert_eq!(page(json!({"id_lt": "nothing"})).await, "");
    assert_eq!(server.get("ann", "/messages/m-4").await.good()["message"]["reply_count"], 3);
    let replies = server.get("ann", "/messages/m-4/replies?limit=2").await.good();
    assert_eq!((&replies["messages"][0]["id"], &replies["messages"][1]["id"]), (&json!("r-1"), &json!("r-2")));
    let orphan = json!({"message": {"text": "answer", "parent_id": "nothing"}});
    server.post("bob", "/channels/messaging/a/message", orphan).await.bad(404, 16);

    server.post("bob", "/channels/messaging/a/read", json!({"message_id": "m-6"})).await.good();
    let unread = async || {
        let state = server.post("ann", "/channels/messaging/a/query", json!({"state": true})).await.good();
        assert_eq!((&state["read"][0]["user"]["id"], state["read"].as_array().unwrap().len()), (&json!("bob"), 1));
        state["read"][0]["unread_messages"].as_u64().unwrap()
    };
    assert_eq!(unread().await, 3, "answers to messages don't count");
    server.send("ann", "messaging/a", "m-10", "hello").await.good();
    assert_eq!(unread().await, 4);
    server.send("bob", "messaging/a", "m-11", "hello").await.good();
    assert_eq!(unread().await, 0, "who writes has read");
    server.send("ann", "messaging/a", "m-12", "hello").await.good();
    assert_eq!(unread().await, 1);
    server.post("bob", "/channels/messaging/a/read", json!({"message_id": "nothing"})).await.bad(404, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_answers_what_was_missed_or_says_that_it_cannot() {
    let server = start_with(|config| config.log_events = 5).await;
    server.create("ann", "messaging/a").await;
    server.create("ann", "messaging/b").await;
    let mut dates = Vec::new();
    for i in 1..=8 {
        let sent = server.send("ann", "messaging/a", &format!("a-{i}"), "hello").await.good();
        dates.push(sent["message"]["created_at"].as_str().unwrap().to_owned());
    }
    server.send("ann", "messaging/b", "b-1", "hello").await.good();
    let sync = async |body: Value| server.post("bob", "/sync", body).await;
    let cids = ["messaging:a", "messaging:b", "messaging:none"];
    let answer =
        sync(json!({"channel_cids": cids, "last_seq": {"messaging:a": 6}, "last_sync_at": dates[7]})).await.good();
    let ids: Vec<&Value> = answer["events"].as_array().unwrap().iter().map(|event| &event["message"]["id"]).collect();
    assert_eq!(ids, ["a-7", "a-8", "b-1"]);
    assert_eq!(answer["seq"], json!({"messaging:a": 8, "messaging:b": 1}));
    assert_eq!(answer["inaccessible_cids"], json!(["messaging:none"]));
    let answer = sync(json!({"channel_cids": ["messaging:a"], "last_sync_at": dates[5]})).await.good();
    assert_eq!(answer["events"].as_array().unwrap().len(), 3);
    let message = sync(json!({"channel_cids": ["messaging:a"], "last_seq": {"messaging:a": 1}})).await.bad(400, 4);
    assert!(message.contains("query the channel again"), "{message}");
    sync(json!({"channel_cids": ["messaging:a"], "last_sync_at": "yesterday"})).await.bad(400, 4);
    sync(json!({"channel_cids": ["messaging:a"]})).await.bad(400, 4);
    let many: Vec<String> = (0..256).map(|i| format!("messaging:{i}")).collect();
    sync(json!({"channel_cids": many, "last_sync_at": dates[0]})).await.bad(400, 4);
}
