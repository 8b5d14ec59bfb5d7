//! From an endpoint to an open WebSocket: TCP, TLS, upgrade, first event.

use std::net::IpAddr;

use measure::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};
use wire::frame::Role;
use wire::handshake::{self, AnswerError};

use super::{Agreement, Closed, Decoder, EVENT_BYTES_MAX, FrameError, LeanSocket, Message, Stream, Tls};
use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use crate::transport::{self, Transport};
use crate::websocket::{QUOTE_CHARS, Timings};

/// Bytes that one read of a handshake asks for.
const READ_BYTES: usize = 2 << 10;

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// From which address of this host; left to the kernel if not given.
    pub source: Option<IpAddr>,
    /// What compression to offer; none if not given.
    pub offer: Option<Agreement>,
    /// The most bytes of a message, as it is sent.
    pub message_bytes_max: usize,
}

/// From any address, without compression, for chat events.
impl Default for Options {
    fn default() -> Self {
        Self { source: None, offer: None, message_bytes_max: EVENT_BYTES_MAX }
    }
}

/// A WebSocket whose upgrade was answered, and whose first event is yet to come.
#[derive(Debug)]
pub struct Opening {
    transport: Transport,
    decoder: Decoder,
    /// What was read and not yet taken.
    input: Vec<u8>,
    clock: Clock,
    deadline: Instant,
    timings: Timings,
    /// What compression was agreed on.
    pub agreed: Option<Agreement>,
}

impl Opening {
    /// Opens a WebSocket at `path` (with query).
    ///
    /// # Errors
    /// As [`ConnectError`] says.
    pub async fn connect(
        endpoint: &Endpoint,
        path: &str,
        options: Options,
        clock: &Clock,
        deadline: Instant,
    ) -> Result<Self, ConnectError> {
        let (mut transport, opened) = transport::open_from(options.source, endpoint, clock, deadline).await?;
        let start = clock.now();
        let key = handshake::key(rand::random());
        let offer = options.offer.map(|offer| offer.offer());
        let request = handshake::request(&endpoint.path(path), &endpoint.authority(), &key, offer.as_deref());
        let mut input = Vec::new();
        let upgraded = upgrade(&mut transport, &request, &key, options.offer.as_ref(), &mut input);
        let agreed = timeout_at(deadline, upgraded).await.map_err(|_| ConnectError::Timeout { step: "upgrade" })??;
        let timings =
            Timings { tcp: opened.tcp, tls: opened.tls, upgrade: clock.now().since(start), ..Timings::default() };
        Ok(Self {
            transport,
            decoder: Decoder::new(Role::Client, options.message_bytes_max).deflated(agreed.is_some()),
            input,
            clock: clock.clone(),
            deadline,
            timings,
            agreed,
        })
    }

    /// Waits for the first message, and gives it to `take`.
    ///
    /// # Errors
    /// When there is none in time, the connection ends, or `take` doesn't like it.
    pub async fn first<T>(
        mut self,
        take: impl FnOnce(Message<'_>) -> Result<T, ConnectError>,
    ) -> Result<(LeanSocket, Vec<u8>, Timings, T), ConnectError> {
        let upgraded = self.clock.now();
        let first = timeout_at(self.deadline, self.read_first()).await;
        let (deflated, kind, message) = first.map_err(|_| ConnectError::Timeout { step: "first event" })??;
        self.timings.first_event = self.clock.now().since(upgraded);
        let message = if deflated { Message::Deflated(kind, &message) } else { Message::Plain(kind, &message) };
        let taken = take(message)?;
        let timings = self.timings;
        let (socket, early) = self.open()?;
        Ok((socket, early, timings, taken))
    }

    /// The open WebSocket, and what came behind what was read.
    ///
    /// # Errors
    /// When the system doesn't let go of its file.
    pub fn open(mut self) -> Result<(LeanSocket, Vec<u8>), ConnectError> {
        let early = std::mem::take(&mut self.input);
        let socket = self.into_socket().map_err(|e| ConnectError::Io { step: "first event", error: e.into() })?;
        Ok((socket, early))
    }

    async fn read_first(&mut self) -> Result<(bool, super::Opcode, Vec<u8>), ConnectError> {
        use super::{Opcode, Received};
        loop {
            let mut input = self.input.as_mut_slice();
            let before = input.len();
            let first = match self.decoder.next(&mut input).map_err(broken)? {
                Some(Received::Text(text)) => Some((false, Opcode::Text, text.as_bytes().to_vec())),
                Some(Received::Binary(bytes)) => Some((false, Opcode::Binary, bytes.to_vec())),
                Some(Received::Deflated(kind, bytes)) => Some((true, kind, bytes.to_vec())),
                Some(Received::Close(code, reason)) => {
                    return Err(ConnectError::Closed(Closed { code: code.or(Some(1005)), reason: reason.to_owned() }));
                }
                // A ping before the first event is not worth an answer.
                Some(Received::Ping(_) | Received::Pong(_)) | None => None,
            };
            let taken = before - input.len();
            self.input.drain(..taken);
            match first {
                Some(first) => return Ok(first),
                None if self.input.is_empty() => fill(&mut self.transport, &mut self.input, "first event").await?,
                None => {}
            }
        }
    }

    fn into_socket(self) -> std::io::Result<LeanSocket> {
        let stream = match self.transport {
            Transport::Plain(tcp) => Stream::Plain(tcp.into_std()?),
            Transport::Tls(tls) => {
                let (tcp, session) = tls.into_inner();
                Stream::Tls(Box::new(Tls { tcp: tcp.into_std()?, session }))
            }
        };
        Ok(LeanSocket { stream, decoder: self.decoder, waiting: None })
    }
}

fn broken(error: FrameError) -> ConnectError {
    ConnectError::Closed(Closed::broken(super::words(error)))
}

/// Asks, and reads the answer's head; what follows it stays in `input`.
async fn upgrade(
    transport: &mut Transport,
    request: &str,
    key: &str,
    offer: Option<&Agreement>,
    input: &mut Vec<u8>,
) -> Result<Option<Agreement>, ConnectError> {
    let io = |error: std::io::Error| ConnectError::Io { step: "upgrade", error: error.into() };
    transport.write_all(request.as_bytes()).await.map_err(io)?;
    transport.flush().await.map_err(io)?;
    loop {
        fill(transport, input, "upgrade").await?;
        let answer = match handshake::answer(input, key) {
            Ok(None) => continue,
            Ok(Some(answer)) => answer,
            Err(AnswerError::Status(status)) => return Err(refused(transport, status, input).await),
            Err(AnswerError::Protocol(why)) => return Err(ConnectError::Protocol(why.to_owned())),
        };
        let agreed = match offer {
            Some(offer) => offer.agree(answer.extensions.iter().copied()),
            None if answer.extensions.is_empty() => Ok(None),
            None => return Err(ConnectError::Protocol("it answered with an extension that was not offered".into())),
        };
        let length = answer.length;
        let agreed = agreed.map_err(|error| ConnectError::Protocol(error.to_string()))?;
        input.drain(..length);
        return Ok(agreed);
    }
}

/// Quotes what a refusing answer says, as far as it comes with the head or right behind it.
async fn refused(transport: &mut Transport, status: u16, input: &mut Vec<u8>) -> ConnectError {
    let head = |input: &[u8]| input.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    if head(input) == input.len() {
        let more = fill(transport, input, "upgrade");
        // A body that doesn't come is none.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), more).await;
    }
    let text = String::from_utf8_lossy(&input[head(input)..]).trim().chars().take(QUOTE_CHARS).collect();
    ConnectError::Upgrade { status, text }
}

/// Reads some bytes more.
async fn fill(transport: &mut Transport, input: &mut Vec<u8>, step: &'static str) -> Result<(), ConnectError> {
    input.reserve(READ_BYTES);
    match transport.read_buf(input).await {
        Ok(0) => Err(ConnectError::Io { step, error: std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into() }),
        Ok(_) => Ok(()),
        Err(error) => Err(ConnectError::Io { step, error: error.into() }),
    }
}
