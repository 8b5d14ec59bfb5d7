//! A chat server of a few lines, with faults on demand: an independent reading of the protocol for tests.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What goes out of a connection.
#[derive(Clone)]
pub enum Out {
    Event(Arc<str>),
    Close(u16, &'static str),
    Cut,
}

#[derive(Default)]
struct Channel {
    events: Vec<Arc<str>>,
    watchers: Vec<String>,
}

/// What the server does wrong.
#[derive(Default, Clone)]
pub struct Faults {
    /// Every n-th frame to a watcher is left out; 0: none.
    pub lose_every: usize,
    /// Every n-th frame to a watcher comes twice; 0: none.
    pub double_every: usize,
    /// Refuse connections with `connection.error`.
    pub reject: bool,
    /// Answer messages with 429.
    pub rate_limit: bool,
}

#[derive(Default)]
struct State {
    channels: BTreeMap<String, Channel>,
    connections: HashMap<String, mpsc::Sender<Out>>,
    next: usize,
    frames: usize,
    keep_alives: usize,
}

/// A running fake.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    pub faults: Arc<Mutex<Faults>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), state: Arc::default(), faults: Arc::default() };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                tokio::spawn(server.clone().serve(tcp));
            }
        });
        fake
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends all connections in this way.
    pub fn end_all(&self, how: &Out) {
        for (_, out) in self.state.lock().unwrap().connections.drain() {
            let _ = out.try_send(how.clone());
        }
        for channel in self.state.lock().unwrap().channels.values_mut() {
            channel.watchers.clear();
        }
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections.len()
    }

    pub fn watchers(&self, cid: &str) -> usize {
        self.state.lock().unwrap().channels.get(cid).map_or(0, |c| c.watchers.len())
    }

    pub fn seq(&self, cid: &str) -> usize {
        self.state.lock().unwrap().channels.get(cid).map_or(0, |c| c.events.len())
    }

    /// Publishes a message as if somebody had sent it.
    pub fn publish(&self, cid: &str, message: &Value) {
        let faults = self.faults.lock().unwrap().clone();
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        let channel = state.channels.entry(cid.to_owned()).or_default();
        let event = json!({"type": "message.new", "cid": cid, "seq": channel.events.len() + 1, "message": message});
        let event: Arc<str> = event.to_string().into();
        channel.events.push(Arc::clone(&event));
        for watcher in &channel.watchers {
            let Some(out) = state.connections.get(watcher) else { continue };
            state.frames += 1;
            if faults.lose_every > 0 && state.frames.is_multiple_of(faults.lose_every) {
                continue;
            }
            let twice = faults.double_every > 0 && state.frames.is_multiple_of(faults.double_every);
            for _ in 0..1 + usize::from(twice) {
                let _ = out.try_send(Out::Event(Arc::clone(&event)));
            }
        }
    }

    async fn serve(self, tcp: TcpStream) {
        let mut start = [0; 12];
        while tcp.peek(&mut start).await.is_ok_and(|n| n > 0 && n < start.len()) {
            tokio::task::yield_now().await;
        }
        if &start == b"GET /connect" {
            return self.socket(tcp).await;
        }
        let service = service_fn(|request| {
            let fake = self.clone();
            async move { Ok::<_, std::convert::Infallible>(fake.call(request).await) }
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
    }

    async fn socket(self, tcp: TcpStream) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(tcp).await else { return };
        if self.faults.lock().unwrap().reject {
            let error = json!({"code": 5, "message": "go away", "StatusCode": 401});
            let error = json!({"type": "connection.error", "error": error});
            let _ = socket.send(Message::text(error.to_string())).await;
            let _ = socket.close(Some(CloseFrame { code: 1000.into(), reason: "".into() })).await;
            return;
        }
        let (out, mut outbox) = mpsc::channel(10_000);
        let id = {
            let mut state = self.state.lock().unwrap();
            state.next += 1;
            let id = format!("connection-{}", state.next);
            state.connections.insert(id.clone(), out);
            id
        };
        let hello = json!({"type": "health.check", "connection_id": id}).to_string();
        let _ = socket.send(Message::text(hello.clone())).await;
        loop {
            tokio::select! {
                out = outbox.recv() => match out {
                    Some(Out::Event(event)) => {
                        let _ = socket.send(Message::text(&*event)).await;
                    }
                    Some(Out::Close(code, reason)) => {
                        let _ = socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await;
                        while let Some(Ok(_)) = socket.next().await {}
                        break;
                    }
                    Some(Out::Cut) | None => break,
                },
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(_))) => {
                        self.state.lock().unwrap().keep_alives += 1;
                        let _ = socket.send(Message::text(hello.clone())).await;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                },
            }
        }
        let mut state = self.state.lock().unwrap();
        state.connections.remove(&id);
        state.channels.values_mut().for_each(|c| c.watchers.retain(|w| *w != id));
    }

    async fn call(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        let connection = query.split('&').find_map(|p| p.strip_prefix("connection_id=")).map(str::to_owned);
        let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
        match path.as_slice() {
            ["app"] => answer(200, &json!({"app": {}})),
            ["sync"] => self.sync(&body),
            ["messages", ..] => answer(201, &json!({"message": {}, "reaction": {}})),
            ["channels", kind, id, call] => self.channel(&format!("{kind}:{id}"), call, &body, connection),
            _ => answer(404, &json!({"code": 16, "message": "no such thing", "StatusCode": 404})),
        }
    }

    fn channel(&self, cid: &str, call: &str, body: &Value, connection: Option<String>) -> Response<Full<Bytes>> {
        if call == "message" {
            if self.faults.lock().unwrap().rate_limit {
                return answer(429, &json!({"code": 9, "message": "slow down", "StatusCode": 429}));
            }
            self.publish(cid, &body["message"]);
            return answer(201, &json!({"message": body["message"]}));
        }
        let mut state = self.state.lock().unwrap();
        let known = connection.filter(|id| state.connections.contains_key(id));
        let channel = state.channels.entry(cid.to_owned()).or_default();
        let seq = channel.events.len();
        match (call, known) {
            ("query", None) if body["watch"] == true => {
                return answer(400, &json!({"code": 46, "message": "unknown connection", "StatusCode": 400}));
            }
            ("query", Some(id)) if body["watch"] == true => {
                channel.watchers.retain(|w| *w != id);
                channel.watchers.push(id);
            }
            ("stop-watching", Some(id)) => channel.watchers.retain(|w| *w != id),
            _ => {}
        }
        answer(201, &json!({"channel": {"cid": cid}, "seq": seq, "duration": "0.1ms"}))
    }

    fn sync(&self, body: &Value) -> Response<Full<Bytes>> {
        let state = self.state.lock().unwrap();
        let mut events: Vec<Value> = Vec::new();
        let mut seq = serde_json::Map::new();
        for cid in body["channel_cids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let Some(channel) = state.channels.get(cid) else { continue };
            let last = body["last_seq"][cid].as_u64().unwrap_or_default() as usize;
            events.extend(channel.events.iter().skip(last).map(|e| serde_json::from_str(e).unwrap()));
            seq.insert(cid.to_owned(), channel.events.len().into());
        }
        answer(201, &json!({"events": events, "seq": seq}))
    }
}

fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
