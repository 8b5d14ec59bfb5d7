//! Compressed messages (RFC 7692, permessage-deflate) without I/O.
//!
//! A [`Deflater`] belongs to no connection: what it makes of a message may be sent to everybody whose [`Inflater`] has
//! seen all that it made since its last [`Deflater::reset`]. Messages that are sent uncompressed don't touch either.
//! Both are large (a deflater 300 KiB, an inflater 40 KiB), so none is made before it is needed.

mod agreement;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::frame::{FrameError, Opcode, server_frame_deflated};

pub use agreement::{Agreement, Direction, NAME, NotAgreed};

/// What ends every flush; it is not sent (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty message (RFC 7692, section 7.2.3.6).
const EMPTY: u8 = 0;
/// The smallest window that zlib compresses with.
const WINDOW_BITS_MIN: u8 = 9;

/// Compresses messages, each against those before it.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
    direction: Direction,
    fresh: bool,
}

impl Deflater {
    /// A deflater for one direction; `level` is zlib's, 1 (fast) to 9. `None` when the window is smaller than zlib's
    /// smallest, 512 bytes: then messages are sent as they are, which is always allowed.
    pub fn new(direction: Direction, level: u32) -> Option<Self> {
        let bits = direction.window_bits.min(Direction::WINDOW_BITS_MAX);
        let level = Compression::new(level.clamp(1, 9));
        (bits >= WINDOW_BITS_MIN).then(|| Self {
            compress: Compress::new_with_window_bits(level, false, bits),
            direction,
            fresh: true,
        })
    }

    /// Appends a message's compressed payload to `out`. In a direction without context it can be read by everybody.
    pub fn message(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if payload.is_empty() {
            return out.push(EMPTY);
        }
        let (start, before) = (out.len(), self.compress.total_in());
        loop {
            // Room for the end of a flush at once: asked again for it, zlib would write it twice.
            out.reserve(payload.len() / 2 + 32);
            let done = (self.compress.total_in() - before) as usize;
            let status = self.compress.compress_vec(&payload[done..], out, FlushCompress::Sync);
            status.expect("a deflater that is never finished takes all input");
            let done = (self.compress.total_in() - before) as usize;
            if done == payload.len() && out.len() < out.capacity() {
                break;
            }
        }
        debug_assert!(out.ends_with(&TAIL), "a flush ends with an empty block");
        out.truncate((out.len() - TAIL.len()).max(start));
        self.fresh = false;
        if !self.direction.context_takeover {
            self.reset();
        }
    }

    /// A message as a server's frame, compressed.
    pub fn server_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(payload.len() / 2 + 32);
        self.message(payload, &mut out);
        server_frame_deflated(opcode, &out)
    }

    /// Forgets what was compressed: the next message can be read by everybody, whatever they have seen before.
    pub fn reset(&mut self) {
        if !self.fresh {
            self.compress.reset();
            self.fresh = true;
        }
    }

    /// Whether the next message can be read by everybody.
    pub const fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// Reads compressed messages. Owns no memory before the first.
#[derive(Debug)]
pub struct Inflater {
    direction: Direction,
    decompress: Option<Box<Decompress>>,
}

impl Inflater {
    /// An inflater for one direction. One without context may read the messages of any number of connections.
    pub const fn new(direction: Direction) -> Self {
        Self { direction, decompress: None }
    }

    /// An inflater that has read messages which said this; only as much of its end as the window is large counts.
    pub fn after(direction: Direction, history: &[u8]) -> Self {
        let mut inflater = Self::new(direction);
        let start = history.len().saturating_sub(1 << Direction::WINDOW_BITS_MAX);
        let mut out = Vec::new();
        for part in history[start..].chunks(1 << 14) {
            // A stored block (RFC 1951, section 3.2.4): not the last, its length, and its length's complement.
            let length = (part.len() as u16).to_le_bytes();
            let block = [&[0, length[0], length[1], !length[0], !length[1]], part, &[EMPTY]].concat();
            out.clear();
            inflater.message(&block, part.len(), &mut out).expect("a stored block says itself");
        }
        inflater
    }

    /// Appends to `out` what a message's payload says: at most `limit` bytes, however little of it was sent.
    ///
    /// # Errors
    /// When it is no DEFLATE data, or says more. The connection is over then, and so is this inflater.
    pub fn message(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let bits = self.direction.window_bits.clamp(WINDOW_BITS_MIN, Direction::WINDOW_BITS_MAX);
        let make = || Box::new(Decompress::new_with_window_bits(false, bits));
        let decompress = self.decompress.get_or_insert_with(make);
        let end = out.len().saturating_add(limit);
        for input in [payload, &TAIL] {
            inflate(decompress, input, limit, end, out)?;
        }
        if !self.direction.context_takeover {
            decompress.reset(false);
        }
        Ok(())
    }
}

/// Inflates all of `input`; `out` may have `end` bytes after it.
fn inflate(
    decompress: &mut Decompress,
    mut input: &[u8],
    limit: usize,
    end: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    loop {
        if out.len() == out.capacity() {
            // Text shrinks to a quarter or so; never much more than what may come, whatever the input promises.
            let guess = (input.len() * 4).max(128);
            out.reserve_exact(guess.min(end - out.len() + 1));
        }
        let (consumed, produced) = (decompress.total_in(), out.len());
        let status = decompress.decompress_vec(input, out, FlushDecompress::Sync);
        let status = status.map_err(|_| FrameError::NotDeflate)?;
        if out.len() > end {
            return Err(FrameError::TooBig { limit });
        }
        let taken = (decompress.total_in() - consumed) as usize;
        input = &input[taken..];
        match status {
            // RFC 7692, section 7.2.3.4: a block may be marked as the last, and others may follow it.
            Status::StreamEnd => decompress.reset(false),
            Status::Ok | Status::BufError if input.is_empty() && out.len() < out.capacity() => return Ok(()),
            Status::Ok | Status::BufError if taken == 0 && out.len() == produced && out.len() < out.capacity() => {
                return Err(FrameError::NotDeflate);
            }
            Status::Ok | Status::BufError => {}
        }
        if input.is_empty() && status == Status::StreamEnd {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
