//! Reading frames out of chunks of any size.

use super::{FIN, FrameError, Opcode, RSV1, Role, apply_mask};
use crate::close;

/// One message or control frame. It borrows from the chunk that was read, or from the decoder if chunks cut it.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A whole compressed message, text or binary, as it was sent: for [`crate::deflate::Inflater`], whose limit is its
    /// own, and which finds out whether it is UTF-8 as text must be. Never from a decoder that was not told of it.
    Deflated(Opcode, &'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// Answers a ping; may come unasked.
    Pong(&'a [u8]),
    /// The peer closes: with which code, if it gave one, and why. Nothing that follows counts.
    Close(Option<u16>, &'a str),
}

/// Bytes of the longest header: 2, 8 of length, 4 of mask.
const HEADER_MAX: usize = 14;
/// Bytes of the longest payload of a control frame.
const CONTROL_MAX: usize = 125;

/// A frame of which the header has been read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// It begins a compressed message.
    deflated: bool,
    mask: Option<[u8; 4]>,
    length: usize,
    /// Bytes of the payload that earlier chunks brought.
    done: usize,
}

/// Reads the frames that a peer sends, however they are cut into chunks. Small while idle.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    /// Whether compressed messages were agreed on.
    deflate: bool,
    limit: usize,
    header: [u8; HEADER_MAX],
    header_length: u8,
    frame: Option<Frame>,
    /// `Text` or `Binary` while a fragmented message is incomplete.
    message_kind: Option<Opcode>,
    /// Whether that message is compressed.
    message_deflated: bool,
    message: Vec<u8>,
    control: Vec<u8>,
    /// What was handed out last lies in `control` (or in `message`) and can be forgotten.
    spent: Option<bool>,
    /// The error or close that ended it.
    ended: Option<Result<(), FrameError>>,
}

impl Decoder {
    /// A decoder for our end of a connection; a message may have `limit` bytes.
    pub fn new(role: Role, limit: usize) -> Self {
        Self {
            role,
            deflate: false,
            limit,
            header: [0; HEADER_MAX],
            header_length: 0,
            frame: None,
            message_kind: None,
            message_deflated: false,
            message: Vec::new(),
            control: Vec::new(),
            spent: None,
            ended: None,
        }
    }

    /// The same decoder, for a connection on which compressed messages were agreed on, or not; the limit holds for what
    /// is sent.
    #[must_use]
    pub const fn deflated(mut self, agreed: bool) -> Self {
        self.deflate = agreed;
        self
    }

    /// Takes the next message from the front of `input`, which moves past what was read; `None` when it is used up.
    /// Payloads are unmasked in place. After a close everything else is swallowed.
    ///
    /// # Errors
    /// When the peer breaks the protocol or a limit; every later call fails in the same way.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i mut [u8]) -> Result<Option<Received<'s>>, FrameError> {
        self.forget_spent();
        match self.ended {
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => {
                *input = &mut [];
                return Ok(None);
            }
            None => {}
        }
        let complete = loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.read_header(input) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => return Ok(None),
                    Err(error) => return self.fail(error),
                },
            };
            match self.read_payload(frame, input) {
                Some(complete) => break complete,
                None if self.frame.is_some() => return Ok(None),
                None => {}
            }
        };
        let Complete { kind, deflated, bytes } = complete;
        let bytes = match bytes {
            Some(bytes) => &*bytes,
            None => {
                self.spent = Some(kind.is_control());
                if kind.is_control() { self.control.as_slice() } else { self.message.as_slice() }
            }
        };
        let received = if deflated { Ok(Received::Deflated(kind, bytes)) } else { received(kind, bytes) };
        match received {
            Err(error) => self.ended = Some(Err(error)),
            Ok(Received::Close(..)) => self.ended = Some(Ok(())),
            Ok(_) => {}
        }
        received.map(Some)
    }

    /// Whether it holds a part of a message: the end of the stream now would cut one.
    pub fn is_mid_message(&self) -> bool {
        self.frame.is_some() || self.header_length > 0 || self.message_kind.is_some()
    }

    fn fail<T>(&mut self, error: FrameError) -> Result<T, FrameError> {
        self.ended = Some(Err(error));
        Err(error)
    }

    /// Gives the memory of the message back that the last call handed out.
    fn forget_spent(&mut self) {
        match self.spent.take() {
            Some(true) => self.control = Vec::new(),
            Some(false) => self.message = Vec::new(),
            None => {}
        }
    }

    /// Reads on in a header; `None` when `input` ends in it.
    fn read_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, FrameError> {
        loop {
            let have = usize::from(self.header_length);
            let need = if have < 2 { 2 } else { self.check_header()? };
            if have == need {
                break;
            }
            let bytes = take(input, need - have);
            if bytes.is_empty() {
                return Ok(None);
            }
            self.header[have..have + bytes.len()].copy_from_slice(bytes);
            self.header_length += bytes.len() as u8;
        }
        let frame = self.parse_header()?;
        self.header_length = 0;
        self.frame = Some(frame);
        Ok(Some(frame))
    }

    /// Checks a header's first two bytes and says how long it is.
    fn check_header(&self) -> Result<usize, FrameError> {
        let [first, second, ..] = self.header;
        let allowed = if self.deflate { RSV1 } else { 0 };
        if first & 0x70 & !allowed != 0 {
            return Err(FrameError::Protocol("a reserved bit is set, but no extension was agreed on"));
        }
        let opcode = Opcode::from_number(first & 0x0f).ok_or(FrameError::Protocol("unknown opcode"))?;
        if first & RSV1 != 0 && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(FrameError::Protocol("only a message's first frame says that it is compressed"));
        }
        let (fin, masked, short) = (first & FIN != 0, second & 0x80 != 0, second & 0x7f);
        if opcode.is_control() && (!fin || short > 125) {
            return Err(FrameError::Protocol("a control frame must be whole and have at most 125 bytes"));
        }
        match (self.role, masked) {
            (Role::Server, false) => return Err(FrameError::Protocol("a client's frame must be masked")),
            (Role::Client, true) => return Err(FrameError::Protocol("a server's frame must not be masked")),
            _ => {}
        }
        match (opcode, self.message_kind) {
            (Opcode::Continuation, None) => return Err(FrameError::Protocol("a continuation of nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(FrameError::Protocol("a new message inside a fragmented one"));
            }
            _ => {}
        }
        let length = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        Ok(2 + length + if masked { 4 } else { 0 })
    }

    /// Reads a header that is complete.
    fn parse_header(&self) -> Result<Frame, FrameError> {
        let [first, second, rest @ ..] = self.header;
        let (length, mask_at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
            127 => {
                let [a, b, c, d, e, f, g, h, ..] = rest;
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 8)
            }
            short => (u64::from(short), 0),
        };
        if (mask_at == 2 && length < 126) || (mask_at == 8 && (length < 0x1_0000 || length >> 63 == 1)) {
            return Err(FrameError::Protocol("a length must be written in its shortest form"));
        }
        let opcode = Opcode::from_number(first & 0x0f).ok_or(FrameError::Protocol("unknown opcode"))?;
        let before = if opcode.is_control() { 0 } else { self.message.len() };
        let length = usize::try_from(length)
            .ok()
            .filter(|length| before.checked_add(*length).is_some_and(|sum| sum <= self.limit.max(CONTROL_MAX)))
            .filter(|length| opcode.is_control() || before + length <= self.limit)
            .ok_or(FrameError::TooBig { limit: self.limit })?;
        let mask =
            (second & 0x80 != 0).then(|| [rest[mask_at], rest[mask_at + 1], rest[mask_at + 2], rest[mask_at + 3]]);
        Ok(Frame { opcode, fin: first & FIN != 0, deflated: first & RSV1 != 0, mask, length, done: 0 })
    }

    /// Reads on in a payload. `None` with `self.frame` set: the input is used up. `None` without: the frame was a part
    /// of a message that goes on.
    fn read_payload<'a>(&mut self, mut frame: Frame, input: &mut &'a mut [u8]) -> Option<Complete<'a>> {
        let bytes = take(input, frame.length - frame.done);
        if let Some(mask) = frame.mask {
            apply_mask(bytes, mask, frame.done);
        }
        let whole = frame.done == 0 && bytes.len() == frame.length;
        frame.done += bytes.len();
        let (kind, deflated) = match frame.opcode {
            Opcode::Continuation => (self.message_kind.unwrap_or(Opcode::Binary), self.message_deflated),
            opcode => (opcode, frame.deflated),
        };
        let kept = if frame.opcode.is_control() { &mut self.control } else { &mut self.message };
        if whole && frame.fin && kept.is_empty() && frame.opcode != Opcode::Continuation {
            self.frame = None;
            return Some(Complete { kind, deflated, bytes: Some(bytes) });
        }
        kept.extend_from_slice(bytes);
        if frame.done < frame.length {
            self.frame = Some(frame);
            return None;
        }
        self.frame = None;
        if !frame.fin {
            (self.message_kind, self.message_deflated) = (Some(kind), deflated);
            return None;
        }
        if !frame.opcode.is_control() {
            self.message_kind = None;
        }
        Some(Complete { kind, deflated, bytes: None })
    }
}

/// What a frame completed, and its bytes if they lie in the input.
struct Complete<'a> {
    kind: Opcode,
    deflated: bool,
    bytes: Option<&'a mut [u8]>,
}

/// Checks what a whole message holds.
fn received(kind: Opcode, bytes: &[u8]) -> Result<Received<'_>, FrameError> {
    match kind {
        Opcode::Text => std::str::from_utf8(bytes).map(Received::Text).map_err(|_| FrameError::NotUtf8),
        Opcode::Binary | Opcode::Continuation => Ok(Received::Binary(bytes)),
        Opcode::Ping => Ok(Received::Ping(bytes)),
        Opcode::Pong => Ok(Received::Pong(bytes)),
        Opcode::Close => read_close(bytes),
    }
}

/// Splits at most `most` bytes off the front.
fn take<'a>(input: &mut &'a mut [u8], most: usize) -> &'a mut [u8] {
    let all = std::mem::take(input);
    let (bytes, rest) = all.split_at_mut(most.min(all.len()));
    *input = rest;
    bytes
}

/// Reads a close frame's payload.
fn read_close(payload: &[u8]) -> Result<Received<'_>, FrameError> {
    match payload {
        [] => Ok(Received::Close(None, "")),
        [_] => Err(FrameError::Protocol("a close frame's payload has no single byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close::may_be_sent(code) {
                return Err(FrameError::Protocol("a close code that must not be sent"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| FrameError::NotUtf8)?;
            Ok(Received::Close(Some(code), reason))
        }
    }
}
