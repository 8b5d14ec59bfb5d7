//! What can go wrong between a client and a chat service, told apart so that it can be counted.

use std::borrow::Cow;
use std::io;

use wire::ApiError;

/// Why no connection came to be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL can't be used.
    #[error("the URL {url:?} can't be used: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong, and how to mend it.
        why: String,
    },
    /// The host's name has no address.
    #[error("the host {host:?} was not found: {why}")]
    Address {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// A step took longer than its deadline.
    #[error("no answer in time ({step})")]
    Timeout {
        /// Which step: `tcp`, `tls`, `upgrade`, `first event`.
        step: &'static str,
    },
    /// The network or the other end failed.
    #[error("{step}: {error}")]
    Io {
        /// Which step.
        step: &'static str,
        /// What happened.
        error: IoError,
    },
    /// The certificate or the TLS handshake is not good.
    #[error("TLS: {0}")]
    Tls(String),
    /// The service answered the upgrade with something else than 101.
    #[error("the service answered the WebSocket upgrade with HTTP {status}: {text}")]
    Upgrade {
        /// The HTTP status.
        status: u16,
        /// What it said, cut.
        text: String,
    },
    /// The service said `connection.error`: trying again would not help.
    #[error("the service refused the connection: {0}")]
    Rejected(ApiError),
    /// The service closed before the first event.
    #[error("closed before the first event: {0}")]
    Closed(Closed),
    /// The service speaks something else than the chat protocol.
    #[error("the service doesn't speak the chat protocol: {0}")]
    Protocol(String),
}

impl ConnectError {
    /// Whether it may go better the next time.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Url { .. } | Self::Rejected(_))
    }

    /// The kind in a few words, of which there are few: for counting.
    pub fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Url { .. } => "bad URL".into(),
            Self::Address { .. } => "host not found".into(),
            Self::Timeout { step } => format!("timeout ({step})").into(),
            Self::Io { error, .. } => error.kind().into(),
            Self::Tls(_) => "TLS".into(),
            Self::Upgrade { status, .. } => format!("HTTP {status}").into(),
            Self::Rejected(error) => format!("refused (code {})", error.code).into(),
            Self::Closed(closed) => closed.kind(),
            Self::Protocol(_) => "not the chat protocol".into(),
        }
    }
}

/// An I/O error that can be cloned.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct IoError {
    kind: io::ErrorKind,
    text: String,
}

impl IoError {
    /// The kind in a few words.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            io::ErrorKind::ConnectionRefused => "connection refused",
            io::ErrorKind::ConnectionReset => "connection reset",
            io::ErrorKind::ConnectionAborted => "connection aborted",
            io::ErrorKind::BrokenPipe => "broken pipe",
            io::ErrorKind::UnexpectedEof => "connection ended",
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "no local port left",
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
            io::ErrorKind::TimedOut => "timeout (tcp)",
            // EMFILE and ENFILE have no stable kind.
            _ if self.text.contains("os error 24") || self.text.contains("os error 23") => "no file descriptor left",
            _ => "I/O error",
        }
    }
}

impl From<io::Error> for IoError {
    fn from(error: io::Error) -> Self {
        Self { kind: error.kind(), text: error.to_string() }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The close code, if the other end sent one.
    pub code: Option<u16>,
    /// The reason that it gave, or what happened.
    pub reason: String,
}

impl Closed {
    /// Ended without a close frame.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into() }
    }

    /// The kind in a few words, for counting.
    pub fn kind(&self) -> Cow<'static, str> {
        match (self.code, self.reason.as_str()) {
            (Some(code), "") => code.to_string().into(),
            // A reason is the server's own text: cut, so that it stays a kind.
            (Some(code), reason) => format!("{code} {}", reason.chars().take(40).collect::<String>()).into(),
            (None, "") => "connection ended".into(),
            (None, reason) => reason.chars().take(60).collect::<String>().into(),
        }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind())
    }
}

/// Why an API call has no good answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No connection to the API.
    #[error("the API can't be reached: {0}")]
    Connect(ConnectError),
    /// No answer within the deadline.
    #[error("the API did not answer in time")]
    Timeout,
    /// The API answered with an error.
    #[error("the API answered: {0}")]
    Status(ApiError),
    /// The connection broke before the answer was complete.
    #[error("the connection to the API broke: {0}")]
    Broken(String),
    /// The answer is not what the protocol says.
    #[error("the API's answer can't be read: {0}")]
    Answer(String),
    /// The request can't be made, such as a token with a line break.
    #[error("the request can't be made: {0}")]
    Request(String),
}

impl CallError {
    /// The kind in a few words, of which there are few: for counting.
    pub fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Timeout => "timeout".into(),
            Self::Status(error) => match error.status {
                429 => "429 rate limited".into(),
                status => format!("{status} (code {})", error.code).into(),
            },
            Self::Broken(_) => "connection broke".into(),
            Self::Answer(_) => "unreadable answer".into(),
            Self::Request(_) => "bad request".into(),
        }
    }

    /// The API's own error, if it answered with one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Status(error) => Some(error),
            _ => None,
        }
    }
}
