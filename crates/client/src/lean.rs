//! A WebSocket without buffers of its own, on `wire`'s codec: for load generators, which have thousands of idle ones.
//!
//! Opening one is asynchronous; an open one is a socket, a decoder's state and nothing else. Whoever owns it waits for
//! its file to be readable, and lends it a buffer to read into. What can't be written at once is kept, and bounded.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::{Buf as _, BytesMut};
use wire::close;
use wire::deflate::Agreement;
use wire::frame::{Decoder, FrameError, Opcode, Received, close_payload, put_client_frame, put_client_frame_deflated};

use crate::error::{Closed, IoError};

mod opening;

pub use opening::{Opening, Options};

/// The largest server event: a page of messages never comes this way.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// While more bytes than these wait to be written nothing more is taken: the connection counts as stuck.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// Reads of one TLS connection before others get their turn.
const READS_IN_A_ROW: usize = 8;

/// An open WebSocket. Its file is non-blocking.
#[derive(Debug)]
pub struct LeanSocket {
    stream: Stream,
    decoder: Decoder,
    /// What the kernel has not taken yet.
    waiting: Option<Box<BytesMut>>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    /// Boxed: most connections are plain, and none should have the room that only this one needs.
    Tls(Box<Tls>),
}

#[derive(Debug)]
struct Tls {
    tcp: TcpStream,
    session: rustls::ClientConnection,
}

/// A message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// As it was sent.
    Plain(Opcode, &'a [u8]),
    /// Compressed: for the inflater of whoever owns the connection.
    Deflated(Opcode, &'a [u8]),
}

impl AsFd for LeanSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Plain(tcp) => tcp.as_fd(),
            Stream::Tls(tls) => tls.tcp.as_fd(),
        }
    }
}

impl LeanSocket {
    /// Reads what is there into `buffer`, and gives each message to `take`. Pings are answered.
    ///
    /// Once called when the file is readable, it need not be called before it is readable again; over TLS it is to be
    /// called once after opening too.
    ///
    /// # Errors
    /// When the connection has ended, breaks the protocol, or `take` can't read what it says.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(Message<'_>) -> Result<(), FrameError>,
    ) -> Result<(), Closed> {
        if let Stream::Plain(tcp) = &mut self.stream {
            return match tcp.read(buffer) {
                Ok(0) => Err(Closed::broken("connection ended")),
                Ok(length) => self.take(&mut buffer[..length], &mut take),
                Err(error) => pass(error),
            };
        }
        for _ in 0..READS_IN_A_ROW {
            loop {
                let Stream::Tls(tls) = &mut self.stream else { return Ok(()) };
                match tls.session.reader().read(buffer) {
                    Ok(0) => return Err(Closed::broken("connection ended")),
                    Ok(length) => self.take(&mut buffer[..length], &mut take)?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return pass(error),
                }
            }
            let Stream::Tls(tls) = &mut self.stream else { return Ok(()) };
            match tls.session.read_tls(&mut tls.tcp) {
                Ok(0) => return Err(Closed::broken("connection ended")),
                Ok(_) => {
                    tls.session.process_new_packets().map_err(|e| Closed::broken(format!("TLS: {e}")))?;
                }
                Err(error) => return pass(error),
            }
        }
        Ok(())
    }

    /// Takes bytes that came; the same as [`LeanSocket::receive`] without reading.
    ///
    /// # Errors
    /// As there.
    pub fn take(
        &mut self,
        mut input: &mut [u8],
        take: &mut impl FnMut(Message<'_>) -> Result<(), FrameError>,
    ) -> Result<(), Closed> {
        loop {
            let taken = match self.decoder.next(&mut input) {
                Ok(None) => return Ok(()),
                Ok(Some(Received::Text(text))) => take(Message::Plain(Opcode::Text, text.as_bytes())),
                Ok(Some(Received::Binary(bytes))) => take(Message::Plain(Opcode::Binary, bytes)),
                Ok(Some(Received::Deflated(kind, bytes))) => take(Message::Deflated(kind, bytes)),
                Ok(Some(Received::Pong(_))) => Ok(()),
                Ok(Some(Received::Ping(payload))) => {
                    let payload = payload.to_vec();
                    self.send(Opcode::Pong, &payload)?;
                    Ok(())
                }
                Ok(Some(Received::Close(code, reason))) => {
                    let closed = Closed { code: Some(code.unwrap_or(close::NO_STATUS)), reason: reason.to_owned() };
                    self.goodbye(code.unwrap_or(close::NO_STATUS));
                    return Err(closed);
                }
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                self.goodbye(error.close_code());
                return Err(Closed::broken(words(error)));
            }
        }
    }

    /// Sends a message or control frame.
    ///
    /// # Errors
    /// When the connection has ended, or so much waits to be written that it must be stuck.
    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Closed> {
        self.put(|out| put_client_frame(out, opcode, payload, rand::random()))
    }

    /// Sends a message whose payload a deflater made.
    ///
    /// # Errors
    /// As [`LeanSocket::send`].
    pub fn send_deflated(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Closed> {
        self.put(|out| put_client_frame_deflated(out, opcode, payload, rand::random()))
    }

    /// Says goodbye, if it can be said at once; the other end's goodbye ends [`LeanSocket::receive`].
    pub fn goodbye(&mut self, code: u16) {
        // Who can't be told is gone already.
        let _ = self.send(Opcode::Close, &close_payload(code, ""));
    }

    /// Whether something waits to be written: then [`LeanSocket::flush`] when the file is writable.
    pub const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn flush(&mut self) -> Result<(), Closed> {
        match self.waiting.take() {
            None => Ok(()),
            Some(waiting) => self.write(*waiting),
        }
    }

    fn put(&mut self, put: impl FnOnce(&mut BytesMut)) -> Result<(), Closed> {
        let mut out = self.waiting.take().map(|waiting| *waiting).unwrap_or_default();
        if out.len() > WAITING_BYTES_MAX {
            return Err(Closed::broken("connection stuck"));
        }
        put(&mut out);
        self.write(out)
    }

    fn write(&mut self, mut out: BytesMut) -> Result<(), Closed> {
        let written = match &mut self.stream {
            Stream::Plain(tcp) => write_all(tcp, &mut out),
            Stream::Tls(tls) => tls.write(&mut out),
        };
        let stuck = written.map_err(|error| Closed::broken(IoError::from(error).kind()))?;
        self.waiting = stuck.then(|| Box::new(out));
        Ok(())
    }
}

impl Tls {
    /// Encrypts and writes; true when something waits.
    fn write(&mut self, out: &mut BytesMut) -> io::Result<bool> {
        loop {
            let taken = self.session.writer().write(out)?;
            out.advance(taken);
            while self.session.wants_write() {
                match self.session.write_tls(&mut self.tcp) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            if out.is_empty() {
                return Ok(false);
            }
        }
    }
}

/// Writes until the kernel takes no more; true when something is left.
fn write_all(tcp: &mut TcpStream, out: &mut BytesMut) -> io::Result<bool> {
    while !out.is_empty() {
        match tcp.write(out) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => out.advance(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// A read that has nothing is no end.
fn pass(error: io::Error) -> Result<(), Closed> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        ErrorKind::UnexpectedEof => Err(Closed::broken("connection ended")),
        _ => Err(Closed::broken(IoError::from(error).kind())),
    }
}

/// The same words as the other WebSocket of this crate has.
const fn words(error: FrameError) -> &'static str {
    match error {
        FrameError::Protocol(_) => "broken WebSocket frame",
        FrameError::NotUtf8 => "event is not UTF-8",
        FrameError::NotDeflate => "compressed event can't be read",
        FrameError::TooBig { .. } => "event too large",
    }
}
