//! The protocol's fallback where WebSockets don't get through: the same events, in the same order, read by polling.
//!
//! A service forgets events when it has answered with them, so a poll is never repeated: if its answer is lost, so is the
//! connection, and what was missed comes through `/sync` as after any other loss.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use measure::Clock;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::{ApiError, close};

use crate::api::{Api, Caller};
use crate::endpoint::Endpoint;
use crate::error::{CallError, Closed, ConnectError};
use crate::http::Http;
use crate::link::SILENCE;
use crate::websocket::{FirstEvent, Timings, read_first};

/// Events that may wait to be taken; while they do, nothing more is asked for.
const WAITING: usize = 64;

/// A connection that is read by polling.
#[derive(Debug)]
pub struct Polling {
    events: mpsc::Receiver<Result<Bytes, Closed>>,
    task: JoinHandle<()>,
    connection: Connection,
}

struct Connection {
    api: Api,
    token: String,
    id: String,
}

/// Without the token.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("api", &self.api).field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Opened {
    event: Box<RawValue>,
}

#[derive(Deserialize)]
struct Polled {
    events: Vec<Box<RawValue>>,
}

fn bytes(event: Box<RawValue>) -> Bytes {
    let text: Box<str> = event.into();
    Bytes::from(text.into_string())
}

impl Polling {
    /// Opens a connection that is polled, from an address of this host, which is left to the kernel if not given.
    ///
    /// # Errors
    /// As [`ConnectError`] says; what doesn't want this user is [`ConnectError::Rejected`].
    pub async fn connect(
        endpoint: &Endpoint,
        api_key: &str,
        (user_id, name, token): (&str, &str, &str),
        source: Option<IpAddr>,
        clock: &Clock,
        within: Duration,
    ) -> Result<(Self, FirstEvent, Timings), ConnectError> {
        // One call at a time, on a connection that is kept: the service may take 20 s to answer.
        let http = |within| Http::new(endpoint.clone(), 1, within, clock.clone()).from_address(source);
        let api = |within| Api::new(http(within), api_key);
        let opening = api(within);
        let path = opening.longpoll_path(user_id, name, token);
        let start = clock.now();
        let opened = opening.get::<Opened>(path, token).await.map_err(refusal)?;
        let frame = bytes(opened.event);
        let id = read_first(&frame)?;
        let timings = Timings { first_event: clock.now().since(start), ..Timings::default() };
        let connection = || Connection { api: api(SILENCE), token: token.to_owned(), id: id.clone() };
        let (sender, events) = mpsc::channel(WAITING);
        let task = tokio::spawn(poll(connection(), sender));
        let polling = Self { events, task, connection: connection() };
        Ok((polling, FirstEvent { connection_id: id, frame }, timings))
    }

    /// The next event's bytes; empty when a poll brought none, which shows that the service is there. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// When the connection has ended; it gives nothing more then.
    pub async fn next(&mut self) -> Result<Bytes, Closed> {
        self.events.recv().await.unwrap_or_else(|| Err(Closed::broken("connection ended")))
    }

    /// Names the connection in API calls.
    pub fn id(&self) -> &str {
        &self.connection.id
    }

    /// Ends the connection, and waits until the service knows, at most `within`.
    pub async fn close(self, within: Duration) {
        // Not before its last poll is given up: the service answers one call of a connection at a time.
        self.task.abort();
        let Connection { api, token, id } = &self.connection;
        let caller = Caller::new(token).over(id);
        let goodbye = api.call::<(), serde::de::IgnoredAny>(Method::POST, "/longpoll?close=true", caller, |_| None);
        // A service that isn't told reaps the connection by itself.
        let _ = tokio::time::timeout(within, goodbye).await;
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Polls until the connection ends or nobody takes events any more.
async fn poll(connection: Connection, events: mpsc::Sender<Result<Bytes, Closed>>) {
    let Connection { api, token, id } = connection;
    loop {
        // POST: what is idempotent could be repeated on the way, and the second answer lacks the first one's events.
        let caller = Caller::new(&token).over(&id);
        let polled = api.call::<(), Polled>(Method::POST, "/longpoll", caller, |_| None).await;
        let said = match polled {
            Ok(answer) if answer.value.events.is_empty() => vec![Ok(Bytes::new())],
            Ok(answer) => answer.value.events.into_iter().map(|event| Ok(bytes(event))).collect(),
            Err(error) => vec![Err(ending(&error))],
        };
        for said in said {
            let over = said.is_err();
            if events.send(said).await.is_err() || over {
                return;
            }
        }
    }
}

/// How a failed poll ends a connection.
fn ending(error: &CallError) -> Closed {
    match error {
        CallError::Status(ApiError { status: 401 | 403, message, .. }) => {
            Closed { code: Some(close::NORMAL), reason: message.clone() }
        }
        CallError::Status(ApiError { code: 46, .. }) => Closed::broken("connection ended"),
        other => Closed::broken(other.kind()),
    }
}

/// Why a polled connection did not come to be.
fn refusal(error: CallError) -> ConnectError {
    match error {
        CallError::Connect(error) => error,
        CallError::Timeout => ConnectError::Timeout { step: "first event" },
        CallError::Status(error) if matches!(error.status, 401 | 403) => ConnectError::Rejected(error),
        CallError::Status(error) => ConnectError::Upgrade { status: error.status, text: error.message },
        other => ConnectError::Protocol(other.to_string()),
    }
}
