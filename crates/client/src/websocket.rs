//! The only file that knows tokio-tungstenite: a WebSocket with buffers of a few kilobytes instead of its 128 KiB.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use measure::Clock;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use wire::event::{EventHead, kind};

use crate::endpoint::Endpoint;
use crate::error::{Closed, ConnectError};
use crate::transport::{self, Transport};

/// What a log filter has to hold, however much is asked for: the WebSocket library traces whole requests, tokens included.
pub const LOG_FILTER: &str = "tungstenite::handshake=info";

/// Bytes that one read asks the kernel for; allocated with the connection, so it bounds its memory.
const READ_BYTES: usize = 2 << 10;
/// Bytes that may wait to be written before the connection counts as stuck: keep-alives and pongs only.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// The largest server event: a page of messages never comes this way.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// How much of a refusing answer is quoted.
pub(crate) const QUOTE_CHARS: usize = 200;

/// How long the parts of connecting took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The TCP handshake.
    pub tcp: Duration,
    /// The TLS handshake, if there was one.
    pub tls: Option<Duration>,
    /// From the upgrade request to the 101.
    pub upgrade: Duration,
    /// From the 101 to the first event.
    pub first_event: Duration,
}

/// The first event of a connection.
#[derive(Clone, Debug)]
pub struct FirstEvent {
    /// Names the connection in API calls.
    pub connection_id: String,
    /// The event as it came.
    pub frame: Bytes,
}

/// An open WebSocket to a chat service.
#[derive(Debug)]
pub struct Socket(WebSocketStream<Transport>);

impl Socket {
    /// Opens a WebSocket at `path` (with query) and waits for the first event.
    ///
    /// # Errors
    /// As [`ConnectError`] says; `connection.error` is [`ConnectError::Rejected`].
    pub async fn connect(
        endpoint: &Endpoint,
        path: &str,
        clock: &Clock,
        within: Duration,
    ) -> Result<(Self, FirstEvent, Timings), ConnectError> {
        let deadline = Instant::now() + within;
        let (transport, opened) = transport::open(endpoint, clock, deadline).await?;
        let start = clock.now();
        let mut socket = Self::upgrade(transport, endpoint, path, deadline).await?;
        let upgraded = clock.now();
        let first = timeout_at(deadline, socket.next()).await;
        let first = first.map_err(|_| ConnectError::Timeout { step: "first event" })?.map_err(ConnectError::Closed)?;
        let timings = Timings {
            tcp: opened.tcp,
            tls: opened.tls,
            upgrade: upgraded.since(start),
            first_event: clock.now().since(upgraded),
        };
        let connection_id = read_first(&first)?;
        Ok((socket, FirstEvent { connection_id, frame: first }, timings))
    }

    async fn upgrade(
        transport: Transport,
        endpoint: &Endpoint,
        path: &str,
        deadline: Instant,
    ) -> Result<Self, ConnectError> {
        let scheme = if endpoint.tls() { "wss" } else { "ws" };
        let request = format!("{scheme}://{}{}", endpoint.authority(), endpoint.path(path));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BYTES_MAX)
            .max_message_size(Some(EVENT_BYTES_MAX))
            .max_frame_size(Some(EVENT_BYTES_MAX));
        // Boxed: the handshake's future is large, and lives only for an instant of the connection's life.
        let handshake = Box::pin(client_async_with_config(request, transport, Some(config)));
        let opened = timeout_at(deadline, handshake).await.map_err(|_| ConnectError::Timeout { step: "upgrade" })?;
        opened.map(|(stream, _)| Self(stream)).map_err(refusal)
    }

    /// The next event's bytes. Pings are answered on the way. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection has ended; it gives nothing more then.
    pub async fn next(&mut self) -> Result<Bytes, Closed> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.into()),
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(Message::Close(frame))) => return Err(self.closed(frame).await),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(Closed::broken("connection ended")),
            }
        }
    }

    /// Finishes the closing handshake that the other end began.
    async fn closed(&mut self, frame: Option<CloseFrame>) -> Closed {
        // The answer was queued by the library; if it can't be sent, the connection is over all the same.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.flush()).await;
        match frame {
            Some(frame) => Closed { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() },
            None => Closed { code: Some(1005), reason: String::new() },
        }
    }

    /// Sends one text frame.
    ///
    /// # Errors
    /// When the connection has ended, or so much waits to be written that it must be stuck.
    pub async fn send(&mut self, text: String) -> Result<(), Closed> {
        self.0.send(Message::text(text)).await.map_err(broken)
    }

    /// Says goodbye with this close code, and waits until the other end did so too, at most `within`.
    pub async fn close(mut self, code: u16, within: Duration) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        let goodbye = async {
            // Failing to say goodbye to who is gone already is no failure.
            let _ = self.0.close(Some(frame)).await;
            while let Some(Ok(_)) = self.0.next().await {}
        };
        let _ = tokio::time::timeout(within, goodbye).await;
    }
}

/// What a first event says: the connection's id.
///
/// # Errors
/// When it refuses the user, or is none.
pub fn read_first(frame: &[u8]) -> Result<String, ConnectError> {
    let head =
        EventHead::parse(frame).map_err(|e| ConnectError::Protocol(format!("its first frame is no event: {e}")))?;
    match (&*head.kind, head.connection_id, head.error) {
        (kind::HEALTH_CHECK, Some(id), _) => Ok(id.into_owned()),
        (kind::CONNECTION_ERROR, _, error) => Err(ConnectError::Rejected(error.unwrap_or_default())),
        (other, ..) => Err(ConnectError::Protocol(format!("its first event is {other:?} without a connection_id"))),
    }
}

fn refusal(error: Error) -> ConnectError {
    match error {
        Error::Io(e) => ConnectError::Io { step: "upgrade", error: e.into() },
        Error::Http(answer) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body).trim().chars().take(QUOTE_CHARS).collect();
            ConnectError::Upgrade { status: answer.status().as_u16(), text }
        }
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            ConnectError::Io { step: "upgrade", error: std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into() }
        }
        other => ConnectError::Protocol(other.to_string()),
    }
}

fn broken(error: Error) -> Closed {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Closed::broken("connection ended"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::broken("connection reset"),
        Error::Io(e) => Closed::broken(crate::error::IoError::from(e).kind()),
        Error::Capacity(_) => Closed::broken("event too large"),
        Error::WriteBufferFull(_) => Closed::broken("connection stuck"),
        Error::Utf8(_) => Closed::broken("event is not UTF-8"),
        Error::Protocol(_) => Closed::broken("broken WebSocket frame"),
        other => Closed::broken(other.to_string()),
    }
}
