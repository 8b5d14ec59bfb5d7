//! One WebSocket connection after its handshake: reads into a buffer that all sessions of a thread share, and writes
//! what the outbox holds, many shared frames in one vectored write.
//!
//! The future is written by hand, so that an idle session is its socket, its decoder and two pointers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wire::event::{Event, kind};
use wire::frame::{Decoder, Opcode, Received, Role, server_close, server_frame};
use wire::{close, limits};

use crate::accept::Permit;
use crate::app::App;
use crate::channel::encode;
use crate::connection::Connection;
use crate::failure;
use crate::outbox::{Closing, Push, Taken};
use crate::stats::add;

/// Bytes that are read at once; also the whole read memory of a thread.
const READ_BUFFER: usize = 64 * 1024;
/// Frames in one vectored write.
const WRITE_SLICES: usize = 64;
/// Reads of one connection before others get their turn.
const READS_IN_A_ROW: usize = 8;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer is gone, or its socket is broken.
    Gone,
    /// The peer sent a close frame with this code.
    ByPeer(Option<u16>),
    /// We close.
    ByUs(Closing),
}

/// See the module.
struct Session {
    stream: TcpStream,
    decoder: Decoder,
    connection: Arc<Connection>,
    app: Arc<App>,
    /// Taken from the outbox; the first may be written in part.
    sending: VecDeque<Bytes>,
    /// Held, not read.
    _permit: Option<Permit>,
}

/// Serves a connection until it ends, in a task of its own: the handshake's larger one can go. `early` is what came
/// behind the handshake.
pub(crate) fn spawn(
    app: &Arc<App>,
    stream: TcpStream,
    early: &Bytes,
    connection: Arc<Connection>,
    permit: Option<Permit>,
) {
    let mut session = Session {
        stream,
        decoder: Decoder::new(Role::Server, limits::CLIENT_FRAME),
        connection,
        app: app.clone(),
        sending: VecDeque::new(),
        _permit: permit,
    };
    let ended = if early.is_empty() { None } else { session.receive(&mut early.to_vec()) };
    app.tasks.spawn(async move {
        let end = match ended {
            Some(end) => end,
            None => std::future::poll_fn(|cx| session.poll(cx)).await,
        };
        session.app.disconnect(&session.connection);
        // Boxed: only connections that end need the room for it.
        Box::pin(session.finish(end)).await;
    });
}

impl Session {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.poll_read(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => self.poll_write(cx),
        }
    }

    /// Reads until nothing is there any more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..READS_IN_A_ROW {
            if ready!(self.stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(End::Gone);
            }
            let end = BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
                Ok(0) => Some(End::Gone),
                Ok(length) => self.receive(&mut buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                Err(_) => Some(End::Gone),
            });
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what was read; the answers go through the outbox, behind what waits there.
    fn receive(&mut self, mut input: &mut [u8]) -> Option<End> {
        self.connection.heard(self.app.clock.now());
        loop {
            let ended = match self.decoder.next(&mut input) {
                Ok(None) => return None,
                Ok(Some(Received::Text(text))) => receive_text(&self.app, &self.connection, text),
                Ok(Some(Received::Ping(payload))) => {
                    reply(&self.app, &self.connection, &server_frame(Opcode::Pong, payload));
                    None
                }
                Ok(Some(Received::Pong(_))) => None,
                Ok(Some(Received::Close(code, _))) => Some(End::ByPeer(code)),
                Ok(Some(Received::Binary(_))) => {
                    Some(By::us(close::UNSUPPORTED, "binary messages are not supported: send JSON as text"))
                }
                Err(error) => {
                    Some(By::us(error.close_code(), "the frame breaks RFC 6455, is not UTF-8, or is too big"))
                }
            };
            if let Some(end) = ended {
                if matches!(end, End::ByUs(_)) {
                    add(&self.app.stats.closed_protocol, 1);
                }
                return Some(end);
            }
        }
    }

    /// Writes until the socket is full or nothing is left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.sending.is_empty() {
                self.sending = VecDeque::new();
                match ready!(self.connection.outbox.poll_take(cx, &mut self.sending)) {
                    Taken::Frames => {}
                    Taken::Closed(closing) => return Poll::Ready(End::ByUs(closing)),
                }
            }
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                Poll::Pending => return self.connection.outbox.poll_closing(cx).map(End::ByUs),
            }
            match self.write_some() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(End::Gone),
            }
        }
    }

    /// One vectored write.
    fn write_some(&mut self) -> std::io::Result<()> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.sending) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        let written = self.stream.try_write_vectored(&slices[..count])?;
        self.connection.outbox.written(written);
        let mut left = written;
        while let Some(frame) = self.sending.front_mut() {
            if left < frame.len() {
                frame.advance(left);
                break;
            }
            left -= frame.len();
            self.sending.pop_front();
            add(&self.app.stats.frames_written, 1);
        }
        add(&self.app.stats.writes, 1);
        Ok(())
    }

    /// Tells the peer why, and lets it read that.
    async fn finish(mut self, end: End) {
        let frame = match end {
            End::Gone => return,
            End::ByPeer(code) => server_close(code.unwrap_or(close::NO_STATUS), ""),
            End::ByUs(closing) => {
                tracing::debug!(user = %self.connection.user.id, code = closing.code, "closing: {}", closing.reason);
                server_close(closing.code, closing.reason)
            }
        };
        let deadline = self.app.farewell_timeout();
        let farewell = async {
            // A frame that was begun must be whole before the next; others that wait are for an orderly end only.
            let mut waiting = std::mem::take(&mut self.sending);
            match end {
                End::ByUs(Closing { code: close::SLOW_READER, .. }) => waiting.truncate(1),
                _ => waiting.append(&mut self.connection.outbox.take_rest()),
            }
            for frame in &waiting {
                self.stream.write_all(frame).await?;
            }
            self.stream.write_all(&frame).await?;
            linger(&mut self.stream).await
        };
        // Whoever doesn't read its close frame in time will see a broken connection instead.
        let _ = tokio::time::timeout(deadline, farewell).await;
    }
}

/// Short for [`End::ByUs`].
struct By;

impl By {
    const fn us(code: u16, reason: &'static str) -> End {
        End::ByUs(Closing { code, reason })
    }
}

/// Ends our side and waits for the peer's, so that unread data of its doesn't reset the connection before it has read
/// the close frame.
pub(crate) async fn linger(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    loop {
        stream.readable().await?;
        let read = BUFFER.with_borrow_mut(|buffer| stream.try_read(buffer));
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Queues an answer for this connection alone.
fn reply(app: &App, connection: &Connection, frame: &Bytes) {
    if connection.outbox.push(frame) == Push::Overflowed {
        add(&app.stats.closed_slow, 1);
    }
}

/// What a client says: an array of events, of which only the keep-alive asks for something.
fn receive_text(app: &App, connection: &Connection, text: &str) -> Option<End> {
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    match serde_json::from_str::<Vec<Said<'_>>>(text) {
        Ok(events) => {
            if events.iter().any(|event| event.kind == kind::HEALTH_CHECK) {
                reply(app, connection, &encode(&app.health_check(connection, false)));
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
            reply(app, connection, &encode(&event));
            if connection.outbox.close(close::MALFORMED, "a message must be a JSON array of events") {
                add(&app.stats.closed_protocol, 1);
            }
            None
        }
    }
}
