//! A small HTTP/1.1 client: keep-alive connections in a bounded pool, every wait with a deadline.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use measure::{Clock, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::endpoint::Endpoint;
use crate::error::{CallError, ConnectError};
use crate::transport;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A connection that was idle for longer is not used again: services close idle ones, some after 20 s, and a request that
/// meets the closing half-way is lost.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// A pool of connections to one endpoint. Belongs to one tokio runtime: its connections are that runtime's tasks.
#[derive(Debug)]
pub struct Http {
    endpoint: Endpoint,
    clock: Clock,
    within: Duration,
    source: Option<IpAddr>,
    permits: Semaphore,
    /// Since when each is idle; the latest is used first, so that those too many grow old.
    idle: Mutex<Vec<(Timestamp, SendRequest<Full<Bytes>>)>>,
}

/// A request, but for what the pool knows itself.
#[derive(Clone)]
pub struct Outgoing {
    /// GET, POST, DELETE.
    pub method: Method,
    /// Path below the endpoint's, with query.
    pub path: String,
    /// Goes into the Authorization header, bare.
    pub token: String,
    /// JSON, or empty.
    pub body: Vec<u8>,
}

/// A token is a secret, and stands in some queries too; what a user says is nobody's business.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// When the request was given to a connection.
    pub sent: Timestamp,
    /// When the answer was there.
    pub answered: Timestamp,
}

impl Http {
    /// A pool of at most `connections` connections, whose calls take at most `within`.
    pub fn new(endpoint: Endpoint, connections: usize, within: Duration, clock: Clock) -> Self {
        let permits = Semaphore::new(connections.max(1));
        Self { endpoint, clock, within, source: None, permits, idle: Mutex::default() }
    }

    /// The same from an address of this host; left to the kernel if there is none.
    pub fn from_address(self, source: Option<IpAddr>) -> Self {
        Self { source, ..self }
    }

    /// Where it calls.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls. `make` is asked for the request when a connection is free to take it, with the time at that instant.
    ///
    /// # Errors
    /// When there is no answer: no connection, a broken one, or the deadline. An answer with an error status is an
    /// answer.
    pub async fn call(&self, make: impl FnOnce(Timestamp) -> Outgoing) -> Result<Answer, CallError> {
        let deadline = Instant::now() + self.within;
        timeout_at(deadline, Box::pin(self.call_until(make, deadline))).await.unwrap_or(Err(CallError::Timeout))
    }

    async fn call_until(
        &self,
        make: impl FnOnce(Timestamp) -> Outgoing,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let _permit = self.permits.acquire().await.map_err(|_| CallError::Broken("the pool is closed".into()))?;
        let (mut connection, mut fresh) = match self.take_idle() {
            Some(connection) => (connection, false),
            None => (self.dial(deadline).await?, true),
        };
        let sent = self.clock.now();
        let mut request = self.request(make(sent))?;
        let answer = loop {
            // RFC 9110, section 9.2.2: what is idempotent may be repeated when a reused connection turns out to be closed.
            let again = (!fresh && request.method().is_idempotent()).then(|| request.clone());
            match connection.try_send_request(request).await {
                Ok(answer) => break answer,
                // What was not sent at all may be sent on another connection, whatever it is.
                Err(mut failed) => match failed.take_message().or(again) {
                    Some(back) if !fresh => request = back,
                    _ => return Err(CallError::Broken(failed.error().to_string())),
                },
            }
            (connection, fresh) = (self.dial(deadline).await?, true);
        };
        let (status, body) = read(answer).await?;
        let answered = self.clock.now();
        // It is put back as soon as it could take the next request; a connection that can't is dropped, and so closed.
        if connection.ready().await.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((answered, connection));
        }
        Ok(Answer { status, body, sent, answered })
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        idle.retain(|(since, connection)| now.since(*since) < IDLE_MAX && connection.is_ready());
        idle.pop().map(|(_, connection)| connection)
    }

    async fn dial(&self, deadline: Instant) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let (transport, _) = transport::open_from(self.source, &self.endpoint, &self.clock, deadline).await?;
        let (sender, connection) =
            handshake(TokioIo::new(transport)).await.map_err(|e| CallError::Broken(e.to_string()))?;
        // The task ends with the sender or the connection; its error also reaches who waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<Full<Bytes>>, CallError> {
        let refuse = |what: &str| CallError::Request(format!("the {what} has characters that a header can't hold"));
        let mut token = HeaderValue::try_from(outgoing.token).map_err(|_| refuse("token"))?;
        token.set_sensitive(true);
        let request = Request::builder()
            .method(outgoing.method)
            .uri(self.endpoint.path(&outgoing.path))
            .header(header::HOST, self.endpoint.authority())
            .header(header::AUTHORIZATION, token)
            .header("stream-auth-type", "jwt")
            .header(header::CONTENT_TYPE, "application/json");
        request.body(Full::new(outgoing.body.into())).map_err(|e| CallError::Request(e.to_string()))
    }
}

async fn read(answer: Response<Incoming>) -> Result<(u16, Bytes), CallError> {
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|e| match e.downcast_ref::<LengthLimitError>() {
        Some(_) => CallError::Answer(format!("it is larger than {} MiB", ANSWER_BYTES_MAX >> 20)),
        None => CallError::Broken(e.to_string()),
    })?;
    Ok((status, body.to_bytes()))
}

impl From<ConnectError> for CallError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Timeout { .. } => Self::Timeout,
            other => Self::Connect(other),
        }
    }
}
