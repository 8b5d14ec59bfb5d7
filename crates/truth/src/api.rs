//! What can be called.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use wire::event::kind;
use wire::frame::server_json;
use wire::{Stamp, handshake, limits};

use crate::hub::{self, Published};
use crate::ledger::Heard;
use crate::server::Shared;
use crate::socket;

type Answer = Response<Full<Bytes>>;

/// What a call says about itself.
struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    user: String,
    body: Value,
}

impl Call {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The number of the connection that the call is about.
    fn connection(&self) -> Option<u64> {
        self.parameter("connection_id")?.strip_prefix("c-")?.parse().ok()
    }
}

/// Answers a request. The permit is for its connection, whatever becomes of that.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
    permit: Arc<OwnedSemaphorePermit>,
) -> Answer {
    shared.stall.passed().await;
    let upgrade = request.uri().path() == "/connect";
    let socket = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, limits::BODY).collect().await else {
        let why = format!("the body has more than {} bytes, or was cut short", limits::BODY);
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, 22, &why);
    };
    let call = Call {
        path: parts.uri.path().split('/').skip(1).map(decoded).collect(),
        query: url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        user: parts.headers.get(header::AUTHORIZATION).and_then(|h| user_of(h.to_str().ok()?)).unwrap_or_default(),
        body: serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
        method: parts.method,
    };
    let Some(socket) = socket else { return called(&shared, &call) };
    let Some(key) =
        parts.headers.get("sec-websocket-key").and_then(|k| k.to_str().ok()).filter(|k| handshake::is_key(k))
    else {
        return refuse(StatusCode::BAD_REQUEST, 4, "connect by a WebSocket handshake");
    };
    let user = user_who_connects(&call);
    tokio::spawn(async move {
        let Ok(upgraded) = socket.await else { return };
        if let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() {
            socket::serve(shared, parts.io.into_inner(), parts.read_buf.to_vec(), user).await;
        }
        drop(permit);
    });
    switch(key)
}

fn switch(key: &str) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(handshake::accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    answer
}

fn called(shared: &Shared, call: &Call) -> Answer {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (&call.method, path.as_slice()) {
        (&Method::GET, ["app"]) => good(&json!({"app": {"name": "throng's test target"}, "duration": "0ms"})),
        (&Method::GET, ["truth"]) => good(&shared.ledger.truth().told()),
        (&Method::POST, ["sync"]) => sync(shared, call),
        (_, ["messages", _, "reaction", ..]) => good(&json!({"message": {}, "reaction": {}, "duration": "0ms"})),
        (&Method::POST, ["channels", kind, id, what]) => channel(shared, call, &format!("{kind}:{id}"), what),
        _ => refuse(StatusCode::NOT_FOUND, 16, "a test target has no such call"),
    }
}

fn channel(shared: &Shared, call: &Call, cid: &str, what: &str) -> Answer {
    let seq = match (what, call.connection()) {
        ("message", _) => return message(shared, call, cid),
        ("query", Some(connection)) if call.body["watch"] == true => shared.hub.watch(cid, connection),
        ("query", None) if call.body["watch"] == true => None,
        ("stop-watching", Some(connection)) => Some(shared.hub.unwatch(cid, connection)),
        ("query" | "stop-watching", _) => Some(shared.hub.seq(cid)),
        ("event" | "read", _) => return good(&json!({"event": {"type": what, "cid": cid}, "duration": "0ms"})),
        _ => return refuse(StatusCode::NOT_FOUND, 16, "a test target has no such call"),
    };
    let Some(seq) = seq else { return refuse(StatusCode::BAD_REQUEST, 46, "unknown connection") };
    let (kind, id) = cid.split_once(':').unwrap_or_default();
    good(&json!({"channel": {"id": id, "type": kind, "cid": cid}, "messages": [], "members": [], "seq": seq,
        "duration": "0ms"}))
}

fn message(shared: &Shared, call: &Call, cid: &str) -> Answer {
    let came = shared.clock.now();
    shared.stall.message(came);
    let Value::Object(mut message) = call.body["message"].clone() else {
        return refuse(StatusCode::BAD_REQUEST, 4, "the body has no message");
    };
    let stamp: Option<Stamp> = message.get("throng").and_then(|s| serde_json::from_value(s.clone()).ok());
    let text = |message: &Map<String, Value>, key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
    let heard = Heard {
        id: text(&message, "id").unwrap_or_else(|| format!("unnamed-{}", came.as_nanos())),
        user: call.user.clone(),
        cid: cid.to_owned(),
        text: text(&message, "text").unwrap_or_default(),
        stamp: stamp.map(|s| (s.action, s.number, s.due)),
    };
    let date = shared.date();
    message.extend([
        ("id".to_owned(), heard.id.clone().into()),
        ("type".to_owned(), "regular".into()),
        ("user".to_owned(), json!({"id": call.user})),
        ("cid".to_owned(), cid.into()),
        ("created_at".to_owned(), date.clone().into()),
    ]);
    let (kind, id) = cid.split_once(':').unwrap_or_default();
    let event = |seq: u64| {
        let event = json!({"type": kind::MESSAGE_NEW, "created_at": date, "cid": cid, "channel_type": kind,
            "channel_id": id, "seq": seq, "user": {"id": call.user}, "message": message});
        server_json(&event).unwrap_or_default()
    };
    match shared.hub.publish(&hub::Incoming { heard, stamp, came }, event) {
        Published::New | Published::Known => {
            let mut answer = good(&json!({"message": message, "duration": "0ms"}));
            *answer.status_mut() = StatusCode::CREATED;
            answer
        }
        Published::Full => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, 9, "a million deliveries wait already: ask for less")
        }
    }
}

fn sync(shared: &Shared, call: &Call) -> Answer {
    let asked = call.body["channel_cids"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let seq: Map<String, Value> =
        asked.take(limits::SYNC_CIDS).map(|cid| (cid.to_owned(), shared.hub.seq(cid).into())).collect();
    good(&json!({"events": [], "seq": seq, "inaccessible_cids": [], "duration": "0ms"}))
}

fn good(body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn refuse(status: StatusCode, code: u32, message: &str) -> Answer {
    let mut answer = good(&json!({"code": code, "message": message, "StatusCode": status.as_u16()}));
    *answer.status_mut() = status;
    answer
}

/// One part of a path, with its escapes resolved. A plus is a plus in a path, unlike in a query.
fn decoded(part: &str) -> String {
    let escaped = part.replace('+', "%2B");
    url::form_urlencoded::parse(escaped.as_bytes()).map(|(key, _)| key.into_owned()).next().unwrap_or_default()
}

/// Whom a token names. It isn't checked: whoever measures this server wants to know how well they measure.
fn user_of(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?["user_id"].as_str().map(str::to_owned)
}

fn user_who_connects(call: &Call) -> String {
    let payload: Value = call.parameter("json").and_then(|j| serde_json::from_str(j).ok()).unwrap_or_default();
    let named = payload["user_id"].as_str().map(str::to_owned);
    named.or_else(|| user_of(call.parameter("authorization")?)).unwrap_or_default()
}
