//! WebSocket frames (RFC 6455, section 5) without I/O.
//!
//! A server encodes an event **once**, header and payload in one [`Bytes`], and every connection shares those bytes by
//! reference count. A [`Decoder`] keeps nothing but a few bytes of state while its connection is idle: it reads out of
//! a buffer that all connections of a thread share, and allocates only for a message that is cut by the buffer's end.

mod decoder;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use crate::close;

pub use decoder::{Decoder, Received};

/// Which end of the connection we are. Clients mask their frames, servers don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We accept connections: what we receive must be masked.
    Server,
    /// We connect: what we receive must not be masked.
    Client,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further part of a message.
    Continuation = 0,
    /// UTF-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// "Are you there?"
    Ping = 9,
    /// "I am."
    Pong = 10,
}

impl Opcode {
    /// The opcode with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it may stand between the parts of a message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Why what was received can't be a WebSocket's frames. The connection is over: close it with [`FrameError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A rule of RFC 6455 is broken.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text message or close reason that isn't UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A compressed message that is no DEFLATE data, or refers to what was not sent.
    #[error("a compressed message can't be read")]
    NotDeflate,
    /// A message longer than we take.
    #[error("a message may have at most {limit} bytes")]
    TooBig {
        /// The most bytes of a message.
        limit: usize,
    },
}

impl FrameError {
    /// With which code to close.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => close::PROTOCOL,
            Self::NotUtf8 | Self::NotDeflate => close::INVALID_DATA,
            Self::TooBig { .. } => close::TOO_BIG,
        }
    }
}

/// Bytes of the longest header of a frame that is not masked.
const HEADER_MAX: usize = 10;

/// The bit that says that nothing of the message follows.
const FIN: u8 = 0x80;
/// The bit that says that a message is compressed (RFC 7692, section 6).
const RSV1: u8 = 0x40;

/// Writes a frame's header, with [`RSV1`] or 0 among its first bits; `mask` for clients' frames.
fn put_header(out: &mut impl BufMut, opcode: Opcode, rsv1: u8, length: usize, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.put_u8(FIN | rsv1 | opcode as u8);
    match length {
        0..=125 => out.put_u8(masked | length as u8),
        126..=0xffff => {
            out.put_u8(masked | 126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(masked | 127);
            out.put_u64(length as u64);
        }
    }
    if let Some(mask) = mask {
        out.put_slice(&mask);
    }
}

/// A server's frame.
pub fn server_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    server_frame_of(opcode, 0, payload)
}

/// A server's frame of a message's compressed payload ([`crate::deflate`]).
pub fn server_frame_deflated(opcode: Opcode, payload: &[u8]) -> Bytes {
    server_frame_of(opcode, RSV1, payload)
}

fn server_frame_of(opcode: Opcode, rsv1: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_MAX + payload.len());
    put_header(&mut out, opcode, rsv1, payload.len(), None);
    out.extend_from_slice(payload);
    out.freeze()
}

/// A server's text frame of a value as JSON, written once: the header is put before the payload in the same bytes.
///
/// # Errors
/// When the value has no JSON form (a map whose keys aren't text).
pub fn server_json(value: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&[0; HEADER_MAX]);
    serde_json::to_writer(&mut out, value)?;
    let mut header = Vec::with_capacity(HEADER_MAX);
    put_header(&mut header, Opcode::Text, 0, out.len() - HEADER_MAX, None);
    let start = HEADER_MAX - header.len();
    out[start..HEADER_MAX].copy_from_slice(&header);
    out.shrink_to_fit();
    Ok(Bytes::from(out).slice(start..))
}

/// The payload of a whole frame that [`server_frame`] or [`server_json`] made, sharing its bytes.
pub fn server_payload(frame: &Bytes) -> Bytes {
    let header = match frame.get(1) {
        None => frame.len(),
        Some(126) => 4,
        Some(127) => HEADER_MAX,
        Some(_) => 2,
    };
    frame.slice(header.min(frame.len())..)
}

/// A close frame's payload. The reason is cut at 123 bytes; a code that may not be sent gives an empty payload.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    if !close::may_be_sent(code) {
        return Vec::new();
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(123)]);
    payload
}

/// A server's close frame.
pub fn server_close(code: u16, reason: &str) -> Bytes {
    server_frame(Opcode::Close, &close_payload(code, reason))
}

/// Appends a client's frame to `out`, masked with four bytes that the caller drew at random.
pub fn put_client_frame(out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    put_client_frame_of(out, opcode, 0, payload, mask);
}

/// The same, of a message's compressed payload ([`crate::deflate`]).
pub fn put_client_frame_deflated(out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    put_client_frame_of(out, opcode, RSV1, payload, mask);
}

fn put_client_frame_of(out: &mut BytesMut, opcode: Opcode, rsv1: u8, payload: &[u8], mask: [u8; 4]) {
    out.reserve(HEADER_MAX + 4 + payload.len());
    put_header(out, opcode, rsv1, payload.len(), Some(mask));
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask, 0);
}

/// Masks or unmasks; `position` is the first byte's place in the frame's payload.
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], position: usize) {
    let mut turned = mask;
    turned.rotate_left(position % 4);
    let wide =
        u64::from_ne_bytes([turned[0], turned[1], turned[2], turned[3], turned[0], turned[1], turned[2], turned[3]]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word =
            u64::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7]]) ^ wide;
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_shortest_header() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![b'x'; length];
            let frame = server_frame(Opcode::Text, &payload);
            assert_eq!(frame.len(), header + length);
            assert_eq!(server_payload(&frame), payload);
            let json = server_json(&"x".repeat(length)).unwrap();
            assert_eq!(server_payload(&json).len(), length + 2);
        }
        assert_eq!(server_payload(&Bytes::new()), Bytes::new());
        assert_eq!(&server_frame(Opcode::Text, b"Hello")[..], b"\x81\x05Hello");
    }

    #[test]
    fn the_rfcs_masked_hello() {
        let mut out = BytesMut::new();
        put_client_frame(&mut out, Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&out[..], [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn close_reasons_are_cut_between_characters() {
        let payload = close_payload(close::SLOW_READER, &"é".repeat(100));
        assert_eq!(payload.len(), 2 + 122);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
        assert!(close_payload(1005, "never").is_empty());
    }
}
