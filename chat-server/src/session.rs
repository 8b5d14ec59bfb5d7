//! What is said over one WebSocket after its handshake: what comes from the client, and how it ends.

use std::cell::RefCell;
use std::net::TcpStream;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use wire::deflate::{Direction, Inflater};
use wire::event::{Event, kind};
use wire::frame::{Decoder, FrameError, Opcode, Received, Role, server_close, server_frame};
use wire::{close, limits};

use crate::accept::Permit;
use crate::app::App;
use crate::channel::encode;
use crate::connection::Connection;
use crate::failure;
use crate::outbox::Closing;
use crate::shard::{Backlog, Line};
use crate::stats::add;

/// Bytes of a closing connection that are read, and thrown away, at once.
const WASTE: usize = 4 * 1024;

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer is gone, or its socket is broken.
    Gone,
    /// The peer sent a close frame with this code.
    ByPeer(Option<u16>),
    /// We close.
    ByUs(Closing),
}

impl End {
    /// Short for [`End::ByUs`].
    pub(crate) const fn by_us(code: u16, reason: &'static str) -> Self {
        Self::ByUs(Closing { code, reason })
    }
}

/// What is left of a line that ends.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) stream: TcpStream,
    pub(crate) backlog: Backlog,
    /// Held until it is over.
    pub(crate) permit: Permit,
}

/// What is said to a connection in answer to what it said.
#[derive(Debug)]
pub(crate) enum Answer {
    Frame(Bytes),
    End(End),
}

/// Takes what was read, and hands out the answers; after an end there are no more.
pub(crate) fn receive(app: &App, line: &mut Line, mut input: &mut [u8], mut answer: impl FnMut(Answer)) {
    line.heard_at = app.clock.now();
    // Only a line in the middle of a message has a decoder of its own.
    let mut own = line.decoder.take();
    let agreed = line.connection.deflate.agreed;
    let mut fresh = Decoder::new(Role::Server, limits::CLIENT_FRAME).deflated(agreed);
    let decoder = own.as_deref_mut().unwrap_or(&mut fresh);
    let ended = loop {
        let ended = match decoder.next(&mut input) {
            Ok(None) => break None,
            Ok(Some(Received::Text(text))) => receive_text(app, &line.connection, text, &mut answer),
            Ok(Some(Received::Ping(payload))) => {
                answer(Answer::Frame(server_frame(Opcode::Pong, payload)));
                None
            }
            Ok(Some(Received::Pong(_))) => None,
            Ok(Some(Received::Close(code, _))) => Some(End::ByPeer(code)),
            Ok(Some(Received::Deflated(Opcode::Text, payload))) => match inflate(payload) {
                Ok(text) => receive_text(app, &line.connection, &text, &mut answer),
                Err(error) => Some(breaks(error)),
            },
            Ok(Some(Received::Binary(_) | Received::Deflated(..))) => {
                Some(End::by_us(close::UNSUPPORTED, "binary messages are not supported: send JSON as text"))
            }
            Err(error) => Some(breaks(error)),
        };
        if ended.is_some() {
            break ended;
        }
    };
    match ended {
        Some(end) => {
            line.is_deaf = true;
            add(&app.stats.closed_protocol, u64::from(matches!(end, End::ByUs(_))));
            answer(Answer::End(end));
        }
        None if decoder.is_mid_message() => line.decoder = Some(own.unwrap_or_else(|| Box::new(fresh))),
        None => {}
    }
}

fn breaks(error: FrameError) -> End {
    End::by_us(error.close_code(), "the frame breaks RFC 6455 or 7692, is not UTF-8, or is too big")
}

/// How clients may compress: each message for itself, so that no connection needs a window.
pub(crate) const CLIENTS: Direction = Direction::ALONE;

thread_local! {
    static INFLATER: RefCell<Inflater> = const { RefCell::new(Inflater::new(CLIENTS)) };
}

fn inflate(payload: &[u8]) -> Result<String, FrameError> {
    INFLATER.with_borrow_mut(|inflater| {
        let mut text = Vec::new();
        if let Err(error) = inflater.message(payload, limits::CLIENT_FRAME, &mut text) {
            *inflater = Inflater::new(CLIENTS);
            return Err(error);
        }
        String::from_utf8(text).map_err(|_| FrameError::NotUtf8)
    })
}

/// What a client says: an array of events, of which only the keep-alive asks for something.
fn receive_text(app: &App, connection: &Connection, text: &str, answer: &mut impl FnMut(Answer)) -> Option<End> {
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    match serde_json::from_str::<Vec<Said<'_>>>(text) {
        Ok(events) => {
            if events.iter().any(|event| event.kind == kind::HEALTH_CHECK) {
                answer(Answer::Frame(encode(&app.health_check(connection, false))));
            }
            None
        }
        Err(error) => {
            let message = format!("a message must be a JSON array of events, each with a type: {error}");
            let event = Event {
                kind: "error".to_owned(),
                created_at: crate::time::Date::now().text,
                cid: "*".to_owned(),
                error: Some(failure::input(message)),
                ..Event::default()
            };
            answer(Answer::Frame(encode(&event)));
            Some(End::by_us(close::MALFORMED, "a message must be a JSON array of events"))
        }
    }
}

/// Tells the peer why, and lets it read that.
pub(crate) async fn finish(app: &App, farewell: Farewell, connection: &Connection, end: End) {
    let Farewell { stream, backlog, permit } = farewell;
    let frame = match end {
        End::Gone => return,
        End::ByPeer(code) => server_close(code.unwrap_or(close::NO_STATUS), ""),
        End::ByUs(closing) => {
            tracing::debug!(user = %connection.user.id, code = closing.code, "closing: {}", closing.reason);
            server_close(closing.code, closing.reason)
        }
    };
    let is_slow = matches!(end, End::ByUs(Closing { code: close::SLOW_READER, .. }));
    let farewell = async {
        let mut stream = tokio::net::TcpStream::from_std(stream)?;
        // A frame that was begun must be whole before the next; others that wait are for an orderly end only.
        for frame in backlog.rest(!is_slow) {
            stream.write_all(&frame).await?;
        }
        stream.write_all(&frame).await?;
        linger(&mut stream).await
    };
    // Whoever doesn't read its close frame in time will see a broken connection instead.
    let _ = tokio::time::timeout(app.farewell_timeout(), farewell).await;
    drop(permit);
}

/// Ends our side and waits for the peer's, so that unread data of its doesn't reset the connection before it has read
/// the close frame.
pub(crate) async fn linger(stream: &mut tokio::net::TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; WASTE]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
