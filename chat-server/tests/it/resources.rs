//! Channels by filter, members, users, search, the app, and polling.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{KEY, Server, escape, server_token, start, start_with, token};

/// Cids that a filter finds.
async fn find(server: &Server, body: Value) -> Vec<String> {
    let answer = server.post("ann", "/channels", body).await.good();
    let channels = answer["channels"].as_array().unwrap().iter();
    channels.map(|state| state["channel"]["cid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_found_by_filter() {
    let server = start().await;
    for (id, members) in [("a", json!(["ann", "bob"])), ("b", json!(["bob"])), ("c", json!([]))] {
        let body = json!({"data": {"members": members, "color": "red"}});
        let state = server.post("ann", &format!("/channels/messaging/{id}/query"), body).await.good();
        assert_eq!(state["channel"]["color"], "red");
    }
    server.create("eve", "livestream/a").await;
    server.send("ann", "messaging/b", "m-1", "newest").await.good();
    let by = |filter: Value| find(&server, json!({"filter_conditions": filter, "sort": [{"field": "cid"}]}));
    assert_eq!(by(json!({"type": "messaging"})).await, ["messaging:a", "messaging:b", "messaging:c"]);
    assert_eq!(by(json!({"id": {"$eq": "a"}})).await, ["livestream:a", "messaging:a"]);
    assert_eq!(by(json!({"members": {"$in": ["bob"]}, "type": "messaging"})).await, ["messaging:a", "messaging:b"]);
    assert_eq!(
        by(json!({"$or": [{"cid": "messaging:c"}, {"members": {"$in": ["ann"]}}]})).await,
        ["messaging:a", "messaging:c"]
    );
    assert_eq!(
        by(json!({"cid": {"$in": ["messaging:c", "livestream:a", "none"]}})).await,
        ["livestream:a", "messaging:c"]
    );
    assert_eq!(by(json!({"created_by_id": "eve"})).await, ["livestream:a"]);
    assert_eq!(find(&server, json!({"limit": 1})).await, ["messaging:b"], "the newest message first");
    let sorted = json!({"sort": [{"field": "member_count", "direction": -1}, {"field": "cid", "direction": -1}], "limit": 3, "offset": 1});
    assert_eq!(find(&server, sorted).await, ["messaging:b", "messaging:c", "livestream:a"]);
    for bad in [
        json!({"limit": 31}),
        json!({"filter_conditions": {"color": "red"}}),
        json!({"filter_conditions": {"id": {"$gt": "a"}}}),
        json!({"sort": [{"field": "color"}]}),
    ] {
        server.post("ann", "/channels", bad).await.bad(400, 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_watches_what_it_finds() {
    let server = start().await;
    server.create("ann", "messaging/a").await;
    let mut bob = server.connect("bob").await;
    let path = format!("/channels?connection_id={}", bob.id);
    let found =
        server.post("bob", &path, json!({"watch": true, "filter_conditions": {"type": "messaging"}})).await.good();
    assert_eq!((&found["channels"][0]["seq"], &found["channels"][0]["watcher_count"]), (&json!(0), &json!(1)));
    server.send("ann", "messaging/a", "m-1", "hello").await.good();
    assert_eq!(bob.event_of("message.new").await["message"]["id"], "m-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go() {
    let server = start().await;
    let mut ann = server.connect("ann").await;
    server.watch("ann", &ann, "messaging/a").await;
    let path = "/channels/messaging/a";
    server.post("ann", path, json!({"add_members": ["bob", "eve", "bob"]})).await.good();
    server.post("zed", path, json!({"add_members": ["yan"]})).await.bad(403, 17);
    server.post("zed", path, json!({"add_members": ["zed"]})).await.good();
    let state = server.post("bob", path, json!({"remove_members": ["eve", "nobody"]})).await.good();
    assert_eq!(state["channel"]["member_count"], 2);
    for (kind, user, seq) in [
        ("member.added", "bob", 1),
        ("member.added", "eve", 2),
        ("member.added", "zed", 3),
        ("member.removed", "eve", 4),
    ] {
        let event = ann.event_of(kind).await;
        assert_eq!((&event["member"]["id"], &event["seq"]), (&json!(user), &json!(seq)));
    }
    let members = server.get("ann", "/members?type=messaging&id=a&limit=1&user_id_gt=bob").await.good();
    assert_eq!((members["members"].as_array().unwrap().len(), &members["members"][0]["user_id"]), (1, &json!("zed")));
    let payload = escape(&json!({"type": "messaging", "id": "a", "filter_conditions": {}}).to_string());
    let members = server.get("ann", &format!("/members?payload={payload}")).await.good();
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
    server.get("ann", "/members").await.bad(400, 4);
    server.post("ann", "/channels/messaging/none", json!({"add_members": ["bob"]})).await.bad(404, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_search_and_app() {
    let server = start().await;
    server.post("ann", "/users", json!({"users": {"ann": {"name": "Ann", "mood": "fine"}}})).await.good();
    server.post("ann", "/users", json!({"users": {"bob": {"name": "Bob"}}})).await.bad(403, 17);
    let large = json!({"users": {"ann": {"bio": "x".repeat(6_000)}}});
    server.post("ann", "/users", large).await.bad(413, 22);
    let path = format!("/users?api_key={KEY}");
    let body = json!({"users": {"bob": {"name": "Bob"}, "eve": {}}}).to_string();
    server.raw(Method::POST, &path, Some(&server_token()), body).await.good();
    let users = server.get("ann", "/users?limit=2").await.good();
    assert_eq!((&users["users"][0]["mood"], &users["users"][1]["name"]), (&json!("fine"), &json!("Bob")));

    server.create("ann", "messaging/a").await;
    server.send("ann", "messaging/a", "m-1", "Hello World").await.good();
    server.send("ann", "messaging/a", "m-2", "goodbye").await.good();
    let hits = server.get("ann", "/search?query=world").await.good();
    assert_eq!((hits["results"].as_array().unwrap().len(), &hits["results"][0]["message"]["id"]), (1, &json!("m-1")));
    let payload =
        escape(&json!({"query": "o", "filter_conditions": {"cid": {"$in": ["messaging:a"]}}, "limit": 1}).to_string());
    let hits = server.get("ann", &format!("/search?payload={payload}")).await.good();
    assert_eq!(hits["results"][0]["message"]["id"], "m-2");
    server.create("eve", "team/b").await;
    server.send("eve", "team/b", "m-3", "oh").await.good();
    let by = |query: Value| format!("/search?payload={}", escape(&query.to_string()));
    let hits = server.get("ann", &by(json!({"query": "o", "filter_conditions": {"type": "team"}}))).await.good();
    assert_eq!((hits["results"].as_array().unwrap().len(), &hits["results"][0]["message"]["id"]), (1, &json!("m-3")));
    server.get("ann", &by(json!({"query": "o", "filter_conditions": {"color": "red"}}))).await.bad(400, 4);
    let payload = escape(r#"{"filter_conditions": {"name": "Ann"}}"#);
    server.get("ann", &format!("/users?payload={payload}")).await.bad(400, 4);
    server.get("ann", "/search").await.bad(400, 4);
    assert_eq!(server.get("ann", "/app").await.good()["app"]["name"], "throng");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_gets_the_same_events() {
    let server = start_with(|config| config.longpoll_wait = Duration::from_millis(100)).await;
    let auth = format!("api_key={KEY}&authorization={}", token("ann"));
    let poll = |more: String| {
        let path = format!("/longpoll?{auth}&{more}");
        let server = &server;
        async move { server.raw(Method::GET, &path, None, "").await }
    };
    let first = poll(format!("json={}", escape(r#"{"user_id":"ann"}"#))).await;
    assert!(first.body["duration"].is_string());
    assert_eq!(first.body["event"]["type"], "health.check");
    let id = first.body["event"]["connection_id"].as_str().unwrap().to_owned();
    server.post("ann", &format!("/channels/messaging/a/query?connection_id={id}"), json!({"watch": true})).await.good();
    let events = poll(format!("connection_id={id}")).await;
    assert_eq!(events.body["events"][0]["type"], "channel.created");
    assert_eq!(poll(format!("connection_id={id}")).await.body["events"], json!([]), "nothing happened");
    for i in 1..=3 {
        server.send("bob", "messaging/a", &format!("m-{i}"), "hello").await.good();
    }
    let events = poll(format!("connection_id={id}")).await.good();
    let numbers: Vec<&Value> = events["events"].as_array().unwrap().iter().map(|event| &event["seq"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(2), &json!(3)]);
    poll("json=%7B".to_owned()).await.bad(400, 4);
    assert!(poll(format!("connection_id={id}&close=true")).await.status.is_success());
    poll(format!("connection_id={id}")).await.bad(400, 46);
    assert_eq!(server.stats().await["connections"], 0);
}
