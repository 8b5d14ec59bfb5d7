//! One connection on its shard: its socket, and what waits because the socket is full.
//!
//! A frame goes straight to the socket if nothing waits before it. Only what doesn't fit waits here, shared by
//! reference count and bounded in bytes; while a line is idle it owns no memory beside itself.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use measure::Timestamp;
use smallvec::SmallVec;
use wire::close;
use wire::frame::Decoder;

use super::Shard;
use crate::accept::Permit;
use crate::connection::Connection;
use crate::outbox::Push;
use crate::session::{End, Farewell};
use crate::stats::{add, take};

/// Frames in one vectored write.
const SLICES: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) connection: Arc<Connection>,
    /// `None`: the connection polls, or is over.
    socket: Option<Socket>,
    /// A message that was cut; while none is, all lines share one decoder.
    pub(crate) decoder: Option<Box<Decoder>>,
    /// When the client was heard last.
    pub(crate) heard_at: Timestamp,
    /// Nothing more is read: its end is on its way.
    pub(crate) is_deaf: bool,
    /// Nothing more is written: it was too slow, or its socket is broken.
    is_over: bool,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    backlog: Option<Box<Backlog>>,
    permit: Permit,
}

/// What waits; the first frame may be written in part.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the first frame is begun.
    begun: bool,
}

impl Backlog {
    /// Frames that must still be written before the close frame: all of them, or only what is begun.
    pub(crate) fn rest(mut self, all: bool) -> VecDeque<Bytes> {
        if !all {
            self.frames.truncate(usize::from(self.begun));
        }
        self.frames
    }
}

impl Line {
    pub(super) fn socket(stream: TcpStream, connection: Arc<Connection>, permit: Permit, now: Timestamp) -> Self {
        let socket = Socket { stream, backlog: None, permit };
        Self { connection, socket: Some(socket), decoder: None, heard_at: now, is_deaf: false, is_over: false }
    }

    pub(super) fn polled(connection: Arc<Connection>) -> Self {
        Self { connection, socket: None, decoder: None, heard_at: Timestamp::default(), is_deaf: true, is_over: false }
    }

    /// Its socket, unless it is over.
    pub(super) fn stream(&self) -> Option<&TcpStream> {
        self.socket.as_ref().map(|socket| &socket.stream)
    }

    /// Whether anybody may still read what it is sent.
    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some() || self.connection.polled.is_some()
    }

    /// When its client was heard last.
    pub(super) fn heard_at(&self) -> Timestamp {
        // Thousands are asked in a row, so whoever has a socket is not looked up.
        match &self.socket {
            Some(_) => self.heard_at,
            None => self.connection.polled.as_ref().map_or(self.heard_at, |polled| polled.heard_at()),
        }
    }

    /// Sends frames: written at once if nothing waits before them, else behind what waits.
    ///
    /// # Errors
    /// How the connection ends when it can't take them.
    pub(crate) fn send(&mut self, frames: &mut dyn Iterator<Item = &Bytes>, shard: &Shard) -> Result<(), End> {
        let Some(socket) = &mut self.socket else {
            self.keep_for_poll(frames, shard);
            return Ok(());
        };
        if self.is_over {
            return Ok(());
        }
        let sent = match &socket.backlog {
            None => socket.write(frames, shard).and_then(|all| if all { Ok(()) } else { socket.wait(frames, shard) }),
            Some(_) => socket.wait(frames, shard),
        };
        self.is_over = sent.is_err();
        sent
    }

    fn keep_for_poll(&self, frames: &mut dyn Iterator<Item = &Bytes>, shard: &Shard) {
        let Some(polled) = &self.connection.polled else { return };
        for frame in frames {
            if polled.outbox.push(frame) == Push::Overflowed {
                add(&shard.app.stats.closed_slow, 1);
            }
        }
    }

    /// Writes what waits, now that the socket takes something again.
    pub(super) fn flush(&mut self, shard: &Shard) -> Result<(), End> {
        match &mut self.socket {
            Some(socket) if !self.is_over => {
                let flushed = socket.flush(shard);
                self.is_over = flushed.is_err();
                flushed
            }
            _ => Ok(()),
        }
    }

    /// Takes out what is needed to say farewell; `None` if it is over already.
    pub(super) fn end(&mut self, shard: &Shard) -> Option<Farewell> {
        let Socket { stream, backlog, permit } = self.socket.take()?;
        self.decoder = None;
        let backlog = backlog.map(|backlog| *backlog).unwrap_or_default();
        take(&shard.handle.stats.outbox_bytes, backlog.bytes as u64);
        Some(Farewell { stream, backlog, permit })
    }
}

impl Socket {
    /// Writes frames until none is left (`true`), or the socket is full: then the frame that it didn't take waits.
    fn write(&mut self, frames: &mut dyn Iterator<Item = &Bytes>, shard: &Shard) -> Result<bool, End> {
        loop {
            let batch: SmallVec<[&Bytes; SLICES]> = frames.take(SLICES).collect();
            let slices: SmallVec<[IoSlice<'_>; SLICES]> = batch.iter().map(|frame| IoSlice::new(frame)).collect();
            let bytes: usize = batch.iter().map(|frame| frame.len()).sum();
            if batch.is_empty() {
                return Ok(true);
            }
            let written = write_slices(&self.stream, &slices)?;
            add(&shard.handle.stats.written_bytes, written as u64);
            if written == bytes {
                add(&shard.handle.stats.writes, 1);
                add(&shard.handle.stats.frames_written, batch.len() as u64);
                continue;
            }
            let mut backlog = Box::<Backlog>::default();
            backlog.frames.extend(batch.into_iter().cloned());
            backlog.bytes = bytes;
            backlog.written(written, shard);
            add(&shard.handle.stats.outbox_bytes, backlog.bytes as u64);
            self.backlog = Some(backlog);
            return Ok(false);
        }
    }

    /// Puts frames behind what waits. The first always fits, whatever its size.
    fn wait(&mut self, frames: &mut dyn Iterator<Item = &Bytes>, shard: &Shard) -> Result<(), End> {
        let backlog = self.backlog.get_or_insert_default();
        for frame in frames {
            if backlog.bytes > 0 && backlog.bytes + frame.len() > shard.app.config.outbox_bytes_max {
                return Err(slow(shard));
            }
            backlog.bytes += frame.len();
            add(&shard.handle.stats.outbox_bytes, frame.len() as u64);
            backlog.frames.push_back(frame.clone());
        }
        // Those that could not be written at once count too.
        if backlog.frames.len() > 1 && backlog.bytes > shard.app.config.outbox_bytes_max {
            return Err(slow(shard));
        }
        Ok(())
    }

    fn flush(&mut self, shard: &Shard) -> Result<(), End> {
        while let Some(backlog) = &mut self.backlog {
            let batch = backlog.frames.iter().take(SLICES);
            let slices: SmallVec<[IoSlice<'_>; SLICES]> = batch.map(|frame| IoSlice::new(frame)).collect();
            let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
            let written = write_slices(&self.stream, &slices)?;
            drop(slices);
            add(&shard.handle.stats.written_bytes, written as u64);
            take(&shard.handle.stats.outbox_bytes, written as u64);
            backlog.written(written, shard);
            if backlog.frames.is_empty() {
                self.backlog = None;
            }
            if written < bytes {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Backlog {
    /// So many bytes at its front are written.
    fn written(&mut self, bytes: usize, shard: &Shard) {
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        let (mut left, mut whole) = (bytes, 0);
        while let Some(frame) = self.frames.front_mut() {
            if left < frame.len() {
                frame.advance(left);
                self.begun |= left > 0;
                break;
            }
            left -= frame.len();
            self.frames.pop_front();
            self.begun = false;
            whole += 1;
        }
        add(&shard.handle.stats.frames_written, whole);
        add(&shard.handle.stats.writes, 1);
    }
}

/// The end of a reader that is too slow. What waits is worth nothing to it: it must reconnect and catch up anyway.
fn slow(shard: &Shard) -> End {
    add(&shard.app.stats.closed_slow, 1);
    End::by_us(close::SLOW_READER, "reading too slowly: reconnect, then POST /sync")
}

/// One write; 0 if the socket is full.
fn write_slices(mut stream: &TcpStream, slices: &[IoSlice<'_>]) -> Result<usize, End> {
    loop {
        // The plain call is the cheaper one.
        let written = match slices {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        };
        match written {
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(End::Gone),
        }
    }
}
