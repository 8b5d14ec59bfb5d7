//! The client of the data plane. It may be killed and come back at the same address: calls are repeated until their
//! deadline.

use std::time::Duration;

use proto::telemetry::data_plane_client::DataPlaneClient;
use proto::telemetry::{CloseReply, CloseRequest, LiveReply, LiveRequest, NoteRequest, OpenReply, OpenRequest};
use tls::Links;
use tokio::time::{sleep, timeout, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one Open may take: a directory is made, a scenario parsed.
const OPEN: Duration = Duration::from_secs(5);
/// How long one Live or Note may take.
const QUICK: Duration = Duration::from_secs(2);
/// How often a data plane that says nothing is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// A data plane that could not be asked to close a run for so long is not asked again.
const SILENT_MAX: Duration = Duration::from_secs(15);
/// Between attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// In words.
    pub(crate) reason: String,
    /// The data plane answered, and will answer the same again.
    pub(crate) refused: bool,
}

/// The data plane, as the control plane reaches it.
#[derive(Clone, Debug)]
pub(crate) struct DataPlane {
    client: DataPlaneClient<Channel>,
    address: String,
}

impl DataPlane {
    /// A client that connects when it is first used.
    ///
    /// # Errors
    /// When the address is none.
    pub(crate) fn new(address: &str, links: &Links) -> Result<Self, String> {
        let endpoint = links.endpoint(address).map_err(|refused| refused.to_string())?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let channel = endpoint.connect_lazy();
        let client = DataPlaneClient::new(channel)
            .max_decoding_message_size(proto::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(proto::MESSAGE_BYTES_MAX);
        Ok(Self { client, address: address.to_owned() })
    }

    /// Opens a run: one attempt.
    pub(crate) async fn open(&self, request: OpenRequest) -> Result<OpenReply, Failure> {
        let mut client = self.client.clone();
        self.within(OPEN, client.open(request)).await
    }

    /// This second's numbers: one attempt.
    pub(crate) async fn live(&self, run: &str) -> Result<LiveReply, Failure> {
        let mut client = self.client.clone();
        self.within(QUICK, client.live(LiveRequest { run: run.to_owned() })).await
    }

    /// A line for the report: one attempt.
    pub(crate) async fn note(&self, request: NoteRequest) -> Result<(), Failure> {
        let mut client = self.client.clone();
        self.within(QUICK, client.note(request)).await.map(drop)
    }

    /// Closes a run, again and again until it answers, `until` has passed, or the data plane is silent for too long.
    pub(crate) async fn close(
        &self,
        request: &CloseRequest,
        until: tokio::time::Instant,
    ) -> Result<CloseReply, Failure> {
        let mut silent_since = None;
        loop {
            let mut client = self.client.clone();
            let failure = match timeout_at(until, client.close(request.clone())).await {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) => self.failure(&status),
                Err(_) => return Err(self.silent()),
            };
            let now = tokio::time::Instant::now();
            // An attempt fails when nobody is there; one that takes its time to render says that it is.
            let silent = now - *silent_since.get_or_insert(now);
            if failure.refused || silent >= SILENT_MAX || now + AGAIN >= until {
                return Err(failure);
            }
            sleep(AGAIN).await;
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match timeout(limit, call).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> Failure {
        Failure { reason: format!("{} does not answer", self.address), refused: false }
    }

    fn failure(&self, status: &Status) -> Failure {
        let passing = [Code::Unavailable, Code::DeadlineExceeded, Code::Unknown, Code::Cancelled, Code::Aborted];
        let refused = !passing.contains(&status.code());
        let reason = if refused { status.message().to_owned() } else { format!("{}: {}", self.address, cause(status)) };
        Failure { reason, refused }
    }
}

/// What a person can mend: the innermost cause ("Connection refused"), or what TLS has to say.
fn cause(status: &Status) -> String {
    if tls::is_about_trust(status) {
        return tls::explain(status);
    }
    let mut cause: &dyn std::error::Error = status;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, status) { status.message().to_owned() } else { cause.to_string() }
}
