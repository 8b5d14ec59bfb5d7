//! A server on a free port, and clients for it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chat_server::{ChatServer, Config, Secret};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use wire::token::{Claims, TokenKey};

pub(crate) const KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret";
/// Nothing that a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits with a deadline.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// A user's token.
pub(crate) fn token(user: &str) -> String {
    TokenKey::new(SECRET).sign(&Claims::user(user))
}

/// A server's token.
pub(crate) fn server_token() -> String {
    TokenKey::new(SECRET).sign(&Claims::server())
}

/// Percent-encodes a query parameter.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
    http: Client<HttpConnector, Full<Bytes>>,
    /// Where edges attach.
    pub(crate) link: Option<SocketAddr>,
    /// The origin behind it.
    pub(crate) origin: Option<Box<Server>>,
}

/// Starts a server with the defaults.
pub(crate) async fn start() -> Server {
    start_with(|_| {}).await
}

/// Starts a server with changed settings.
pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), KEY, Secret::new(SECRET));
    change(&mut config);
    if !crate::THROUGH_EDGE || config.origin.is_some() || config.link_listen.is_some() {
        return serve(config).await;
    }
    let edge = Config { data_dir: None, ..config.clone() };
    config.link_listen = Some(([127, 0, 0, 1], 0).into());
    let origin = serve(config).await;
    let mut edge = serve(Config { origin: origin.link.map(|link| link.to_string()), ..edge }).await;
    edge.origin = Some(Box::new(origin));
    edge
}

/// Starts one node.
async fn serve(config: Config) -> Server {
    let server = ChatServer::bind(config).await.unwrap();
    let address = server.local_addr();
    let link = server.link_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.serve(async { drop(stopped.await) }));
    let http = Client::builder(TokioExecutor::new()).build_http();
    Server { address, stop: Some(stop), task, http, link, origin: None }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a call that must have succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        assert!(self.body["duration"].as_str().is_some_and(|text| text.ends_with("ms")), "{self:?}");
        self.body
    }

    /// Checks status and code of a call that must have failed.
    #[track_caller]
    pub(crate) fn bad(self, status: u16, code: i64) -> String {
        assert_eq!((self.status.as_u16(), self.body["code"].as_i64()), (status, Some(code)), "{self:?}");
        assert_eq!(self.body["StatusCode"], json!(status));
        self.body["message"].as_str().unwrap().to_owned()
    }
}

impl Server {
    /// A raw request; `path` with its query.
    pub(crate) async fn raw(&self, method: Method, path: &str, token: Option<&str>, body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("authorization", token).header("stream-auth-type", "jwt");
        }
        let answer = soon(self.http.request(request.body(Full::new(body.into())).unwrap())).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A call by a user; the API key is added.
    pub(crate) async fn call(&self, user: &str, method: Method, path: &str, body: Value) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}api_key={KEY}");
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        self.raw(method, &path, Some(&token(user)), body).await
    }

    /// A `POST` by a user.
    pub(crate) async fn post(&self, user: &str, path: &str, body: Value) -> Answer {
        self.call(user, Method::POST, path, body).await
    }

    /// A `GET` by a user.
    pub(crate) async fn get(&self, user: &str, path: &str) -> Answer {
        self.call(user, Method::GET, path, Value::Null).await
    }

    /// Creates a channel.
    pub(crate) async fn create(&self, user: &str, channel: &str) {
        self.post(user, &format!("/channels/{channel}/query"), json!({})).await.good();
    }

    /// Sends a message.
    pub(crate) async fn send(&self, user: &str, channel: &str, id: &str, text: &str) -> Answer {
        let body = json!({"message": {"id": id, "text": text}});
        self.post(user, &format!("/channels/{channel}/message"), body).await
    }

    /// What the server counts.
    pub(crate) async fn stats(&self) -> Value {
        self.raw(Method::GET, "/stats", None, "").await.body
    }

    /// The same, unless the connection is refused.
    pub(crate) async fn stats_or_refused(&self) -> Option<StatusCode> {
        let request = Request::builder().uri(format!("http://{}/stats", self.address));
        let answer = soon(self.http.request(request.body(Full::default()).unwrap())).await;
        answer.ok().map(|answer| answer.status())
    }

    /// Waits until a counter has a value.
    pub(crate) async fn until(&self, counter: &str, value: u64) {
        soon(async {
            while self.stats().await[counter] != json!(value) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// The WebSocket's URL.
    pub(crate) fn url(&self, user: &str, token: &str, key: &str) -> String {
        let payload = json!({"user_id": user, "user_details": {"id": user, "name": user.to_uppercase()}}).to_string();
        format!(
            "ws://{}/connect?json={}&api_key={key}&authorization={token}&stream-auth-type=jwt",
            self.address,
            escape(&payload)
        )
    }

    /// A WebSocket, whatever its first frame is.
    pub(crate) async fn socket(&self, url: &str) -> Socket {
        let stream = soon(TcpStream::connect(self.address)).await.unwrap();
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.unwrap();
        Socket { stream, id: String::new() }
    }

    /// A connected user.
    pub(crate) async fn connect(&self, user: &str) -> Socket {
        let stream = soon(TcpStream::connect(self.address)).await.unwrap();
        self.connect_over(stream, user).await
    }

    /// A user, connected over a stream of the test's own.
    pub(crate) async fn connect_over(&self, stream: TcpStream, user: &str) -> Socket {
        let url = self.url(user, &token(user), KEY);
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.unwrap();
        let mut socket = Socket { stream, id: String::new() };
        let first = socket.event().await;
        assert_eq!(first["type"], "health.check");
        assert_eq!(first["me"]["id"], json!(user));
        first["connection_id"].as_str().unwrap().clone_into(&mut socket.id);
        socket
    }

    /// Makes a connected user watch; answers the channel's state.
    pub(crate) async fn watch(&self, user: &str, socket: &Socket, channel: &str) -> Value {
        let path = format!("/channels/{channel}/query?connection_id={}", socket.id);
        self.post(user, &path, json!({"watch": true, "state": true})).await.good()
    }

    /// Drains it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        soon(&mut self.task).await.unwrap()?;
        match self.origin.take() {
            Some(mut origin) => {
                drop(origin.stop.take());
                soon(&mut origin.task).await.unwrap()
            }
            None => Ok(()),
        }
    }
}

/// A client's end of a WebSocket.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
    /// The `connection_id`.
    pub(crate) id: String,
}

impl Socket {
    /// The next message.
    pub(crate) async fn message(&mut self) -> Message {
        soon(self.stream.next()).await.expect("the stream has ended").expect("the connection is broken")
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not an event: {other:?}"),
        }
    }

    /// The next event of a type; others are skipped.
    pub(crate) async fn event_of(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The code with which the server closes; events before it are skipped.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.map_or(1005, |frame| frame.code.into());
            }
        }
    }

    /// Sends text.
    pub(crate) async fn say(&mut self, text: &str) {
        soon(self.stream.send(Message::text(text))).await.unwrap();
    }
}
