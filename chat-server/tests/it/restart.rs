//! What the data directory keeps.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Server, start_with};

async fn start_in(directory: &std::path::Path) -> Server {
    let directory = directory.to_owned();
    start_with(|config| {
        config.data_dir = Some(directory);
        config.window_messages = 20;
        config.log_events = 30;
    })
    .await
}

/// The channel's whole state, without what changes by itself.
async fn state(server: &Server) -> Value {
    let body = json!({"state": true, "messages": {"limit": 300}});
    let mut state = server.post("ann", "/channels/messaging/a/query", body).await.good();
    for field in ["duration", "watcher_count"] {
        state[field] = Value::Null;
    }
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let server = start_in(directory.path()).await;
    let body = json!({"data": {"members": ["ann", "bob"], "color": "red"}});
    server.post("ann", "/channels/messaging/a/query", body).await.good();
    server.post("ann", "/users", json!({"users": {"ann": {"name": "Ann"}}})).await.good();
    let mut bob = server.connect("bob").await;
    server.watch("bob", &bob, "messaging/a").await;
    let sends = (0..50).map(|i| {
        let server = &server;
        async move { server.send("ann", "messaging/a", &format!("m-{i}"), &format!("message {i}")).await.good() }
    });
    futures_util::future::join_all(sends).await;
    for seq in 1..=50 {
        assert_eq!(bob.event_of("message.new").await["seq"], json!(seq), "in order, through the store");
    }
    let newest =
        state(&server).await["messages"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    server.post("bob", &format!("/messages/{newest}/reaction"), json!({"reaction": {"type": "like"}})).await.good();
    server
        .post("bob", "/channels/messaging/a", json!({"add_members": ["eve"], "remove_members": ["ann"]}))
        .await
        .good();
    server.post("bob", "/channels/messaging/a/read", json!({})).await.good();
    let before = state(&server).await;
    assert_eq!(
        (&before["seq"], before["messages"].as_array().unwrap().len()),
        (&json!(53), 50),
        "older pages come from the store"
    );
    drop(bob);
    server.until("connections", 0).await;
    let before = state(&server).await;
    server.stop().await.unwrap();

    let server = start_in(directory.path()).await;
    assert_eq!(state(&server).await, before);
    let again = server.send("ann", "messaging/a", &newest, "again").await.good();
    assert_eq!(again["message"]["id"], json!(newest));
    assert_ne!(again["message"]["text"], "again", "a repeat is the same message, also after a restart");
    assert_eq!(server.send("ann", "messaging/a", "m-new", "next").await.good()["message"]["id"], "m-new");
    let missed = json!({"channel_cids": ["messaging:a"], "last_seq": {"messaging:a": 50}});
    let missed = server.post("ann", "/sync", missed).await.good();
    let kinds: Vec<&Value> = missed["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["reaction.new", "member.added", "member.removed", "message.new"]);
    assert_eq!(missed["seq"]["messaging:a"], 54);
    let path = format!("/messages/{newest}/reaction/like");
    let taken_back = server.call("bob", Method::DELETE, &path, Value::Null).await.good();
    assert_eq!(taken_back["message"]["reaction_counts"], json!({}));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_left_memory_are_still_there() {
    let directory = tempfile::tempdir().unwrap();
    let server = start_in(directory.path()).await;
    server.create("ann", "messaging/a").await;
    for i in 0..40 {
        server.send("ann", "messaging/a", &format!("m-{i:02}"), &format!("message {i}")).await.good();
    }
    let page = async |page: Value| {
        let body = json!({"state": true, "messages": page});
        let state = server.post("ann", "/channels/messaging/a/query", body).await.good();
        let ids =
            state["messages"].as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page(json!({"limit": 2, "id_lt": "m-10"})).await, "m-08 m-09");
    assert_eq!(page(json!({"limit": 3, "id_lt": "m-21"})).await, "m-18 m-19 m-20", "half of it from the store");
    assert_eq!(page(json!({"limit": 3, "id_gte": "m-18"})).await, "m-18 m-19 m-20");
    assert_eq!(page(json!({"limit": 2, "id_gt": "m-03", "id_lte": "m-04"})).await, "m-04");
    assert_eq!(server.get("ann", "/messages/m-03").await.good()["message"]["text"], "message 3");
    assert_eq!(server.get("ann", "/messages/m-03/replies").await.good()["messages"], json!([]));
    let again = server.send("ann", "messaging/a", "m-03", "again").await.good();
    assert_eq!(again["message"]["text"], "message 3", "a repeat of an old message");
    server.send("bob", "messaging/a", "m-03", "mine").await.bad(400, 4);
    server.get("ann", "/messages/nothing").await.bad(404, 16);
    server.post("bob", "/channels/messaging/a/read", json!({"message_id": "m-03"})).await.good();
    let change = json!({"message": {"text": "changed"}});
    server.post("ann", "/messages/m-03", change).await.bad(403, 17);
    server.create("ann", "messaging/b").await;
    server.send("ann", "messaging/b", "m-03", "elsewhere").await.bad(400, 4);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_in_use_or_unusable_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let server = start_in(directory.path()).await;
    let bind = |data_dir: std::path::PathBuf| {
        let secret = chat_server::Secret::new("s");
        let mut config = chat_server::Config::new(([127, 0, 0, 1], 0).into(), "k", secret);
        config.data_dir = Some(data_dir);
        chat_server::ChatServer::bind(config)
    };
    let error = format!("{:#}", bind(directory.path().to_owned()).await.unwrap_err());
    assert!(error.contains("another chat server"), "{error}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = format!("{:#}", bind(file).await.unwrap_err());
    assert!(error.contains("data directory"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_can_be_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = start_in(directory.path()).await;
    let user = |details: Value| json!({"users": {"ann": details}});
    server.post("ann", "/users", user(json!({"name": 5}))).await.bad(400, 4);
    server.post("ann", "/users", user(json!({"name": "x".repeat(256)}))).await.bad(400, 4);
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    server.post("ann", "/users", user(json!({"name": "Ann", "a": nested(33)}))).await.bad(400, 4);
    let shown = server.post("ann", "/users", user(json!({"name": null, "a": nested(32)}))).await.good();
    assert_eq!(shown["users"]["ann"]["name"], Value::Null, "what was refused has changed nothing");
    server.post("ann", "/channels/messaging/a/query", json!({"data": {"a": nested(32)}})).await.good();
    server.post("ann", "/channels/messaging/a/query", json!({"data": {"a": nested(33)}})).await.good();
    server.post("ann", "/channels/messaging/b/query", json!({"data": {"a": nested(33)}})).await.bad(400, 4);
    let message = |levels| json!({"message": {"id": "m-1", "text": "hello", "a": nested(levels)}});
    server.post("ann", "/channels/messaging/a/message", message(33)).await.bad(400, 4);
    server.post("ann", "/channels/messaging/a/message", message(32)).await.good();
    server.connect("eve").await;
    server.until("connections", 0).await;
    server.stop().await.unwrap();

    let server = start_in(directory.path()).await;
    assert_eq!(server.get("ann", "/messages/m-1").await.good()["message"]["user"]["a"], nested(32));
    let payload = crate::support::escape(r#"{"filter_conditions": {"id": {"$in": ["ann", "eve", "bob"]}}}"#);
    let users = server.get("ann", &format!("/users?payload={payload}")).await.good();
    assert_eq!(users["users"].as_array().unwrap().len(), 2, "who was connected is known: {users}");
    server.stop().await.unwrap();
}
