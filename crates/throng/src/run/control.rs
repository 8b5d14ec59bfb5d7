//! What `throng run` says to control plane and data plane, each with a deadline.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use measure::Clock;
use proto::MESSAGE_BYTES_MAX;
use proto::control::control_client::ControlClient;
use proto::control::{
    Agent, DrainRequest, FleetRequest, RunState, RunUpdate, RunsRequest, StopReply, StopRequest, SubmitReply,
    SubmitRequest, WatchRequest,
};
use proto::telemetry::data_plane_client::DataPlaneClient;
use proto::telemetry::{CloseReply, CloseRequest, NoteRequest};
use tls::Links;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::secrets::Secret;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What the data plane may take beyond its own wait for the last intervals, to merge and render.
const RENDER_WITHIN: Duration = Duration::from_secs(60);

/// A control plane.
#[derive(Clone, Debug)]
pub(crate) struct Control(ControlClient<InterceptedService<Channel, Shown>>);

/// The token that every call shows, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Shown(Option<MetadataValue<Ascii>>);

impl Shown {
    fn new(token: Option<&Secret>) -> Result<Self> {
        let shown = token.map(|token| {
            let mut shown: MetadataValue<_> = format!("Bearer {}", token.expose()).parse()?;
            // So that it is in no log.
            shown.set_sensitive(true);
            anyhow::Ok(shown)
        });
        Ok(Self(shown.transpose().context("the token has characters that no header may have: use letters and digits")?))
    }
}

impl Interceptor for Shown {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(shown) = &self.0 {
            request.metadata_mut().insert("authorization", shown.clone());
        }
        Ok(request)
    }
}

/// Why the control plane did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It, or something beside it, is wrong; in the control plane's words.
    Wrong(String),
    /// The control plane can't take it now, or can't be reached.
    Unavailable(anyhow::Error),
}

impl Control {
    /// Dials it.
    ///
    /// # Errors
    /// When the URL is none, or nobody answers there in time.
    pub(crate) async fn connect(url: &str, links: &Links, token: Option<&Secret>) -> Result<Self> {
        let channel = dial(url, links).await.with_context(|| format!("the control plane at {url} can't be reached"))?;
        let client = ControlClient::with_interceptor(channel, Shown::new(token)?);
        Ok(Self(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)))
    }

    /// Submits a run.
    ///
    /// # Errors
    /// When it is refused, or can't be submitted.
    pub(crate) async fn submit(&mut self, request: SubmitRequest) -> Result<SubmitReply, Refused> {
        answered("the control plane did not take the run", self.0.submit(request)).await
    }

    /// All runs that it knows, newest first.
    ///
    /// # Errors
    /// When it refuses, or doesn't answer.
    pub(crate) async fn runs(&mut self) -> Result<Vec<RunUpdate>, Refused> {
        Ok(answered("the runs can't be listed", self.0.runs(RunsRequest {})).await?.runs)
    }

    /// The agents that have joined.
    ///
    /// # Errors
    /// When it refuses, or doesn't answer.
    pub(crate) async fn fleet(&mut self) -> Result<Vec<Agent>, Refused> {
        Ok(answered("the agents can't be listed", self.0.fleet(FleetRequest {})).await?.agents)
    }

    /// Cancels a run; where it stood.
    ///
    /// # Errors
    /// When there is none, or the control plane doesn't answer.
    pub(crate) async fn cancel(&mut self, run: &str, reason: &str) -> Result<RunState, Refused> {
        let (run, reason) = (run.to_owned(), reason.to_owned());
        let request = StopRequest { run, reason, interrupted: true, invalid: false };
        let reply: StopReply = answered("the run could not be cancelled", self.0.stop(request)).await?;
        Ok(reply.state())
    }

    /// Drains an agent; the run that it finishes first, if any.
    ///
    /// # Errors
    /// When there is none, or the control plane doesn't answer.
    pub(crate) async fn drain(&mut self, agent: &str) -> Result<String, Refused> {
        let request = DrainRequest { agent: agent.to_owned() };
        Ok(answered("the agent could not be drained", self.0.drain(request)).await?.run)
    }

    /// Follows a run.
    ///
    /// # Errors
    /// When the control plane doesn't know it, or doesn't answer.
    pub(crate) async fn watch(&mut self, run: &str) -> Result<Streaming<RunUpdate>> {
        let request = WatchRequest { run: run.to_owned() };
        match timeout(ANSWER_WITHIN, self.0.watch(request)).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(said("the run can't be watched", &status)),
            Err(_) => bail!("the control plane did not answer within {ANSWER_WITHIN:?}"),
        }
    }

    /// Asks a run to stop: for its user, or since something that it needs is gone.
    ///
    /// # Errors
    /// When the control plane doesn't answer.
    pub(crate) async fn stop(&mut self, run: &str, reason: &str, interrupted: bool) -> Result<()> {
        let request =
            StopRequest { run: run.to_owned(), reason: reason.to_owned(), interrupted, invalid: !interrupted };
        match timeout(ANSWER_WITHIN, self.0.stop(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(said("the run could not be stopped", &status)),
            Err(_) => bail!("the control plane did not answer within {ANSWER_WITHIN:?}"),
        }
    }
}

/// An answer within its deadline. `what` did not come about if there is none.
async fn answered<T>(
    what: &str,
    asked: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Refused> {
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => match status.code() {
            Code::InvalidArgument | Code::AlreadyExists | Code::NotFound | Code::Unauthenticated => {
                Err(Refused::Wrong(status.message().to_owned()))
            }
            _ => Err(Refused::Unavailable(said(what, &status))),
        },
        Err(_) => Err(Refused::Unavailable(anyhow!("the control plane did not answer within {ANSWER_WITHIN:?}"))),
    }
}

/// Tells the data plane something for the report; a failure is told to the log only, since it is no one's fault here.
pub(crate) async fn note(data_plane: &str, run: &str, kind: &str, text: &str) {
    let noted = async {
        let mut client = DataPlaneClient::new(dial(data_plane, &Links::default()).await?);
        let at_ns = Clock::System.now().as_nanos();
        let (run, kind, text) = (run.to_owned(), kind.to_owned(), text.to_owned());
        timeout(ANSWER_WITHIN, client.note(NoteRequest { run, at_ns, kind, text })).await??;
        anyhow::Ok(())
    };
    if let Err(error) = noted.await {
        tracing::debug!(error = format!("{error:#}"), "the data plane took no note");
    }
}

/// Asks the data plane itself to close a run, where no control plane does it any more.
///
/// # Errors
/// When it can't be asked, or could not close it.
pub(crate) async fn close(data_plane: &str, run: &str, reason: &str, wait: Duration) -> Result<CloseReply> {
    let mut client = DataPlaneClient::new(dial(data_plane, &Links::default()).await?);
    let request = CloseRequest {
        run: run.to_owned(),
        lost_sources: Vec::new(),
        invalid_reasons: vec![reason.to_owned()],
        allowed_losses: Vec::new(),
        gaps: Vec::new(),
        interrupted: false,
        ended_ns: Clock::System.now().as_nanos(),
        wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
    };
    let reply = timeout(wait + RENDER_WITHIN, client.close(request)).await.context("the data plane did not answer")?;
    reply.map(tonic::Response::into_inner).map_err(|status| said("the data plane could not close the run", &status))
}

async fn dial(url: &str, links: &Links) -> Result<Channel> {
    let endpoint = links
        .endpoint(url)?
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5));
    let connected = timeout(CONNECT_WITHIN, endpoint.connect()).await;
    let connected = connected.with_context(|| format!("no answer within {CONNECT_WITHIN:?}"))?;
    connected.map_err(|error| anyhow!(tls::explain(&error)))
}

fn said(what: &str, status: &Status) -> anyhow::Error {
    if tls::is_about_trust(status) {
        return anyhow!("{what}: {}", tls::explain(status));
    }
    let text = status.message();
    if text.is_empty() { anyhow!("{what}: {}", status.code()) } else { anyhow!("{what}: {text}") }
}

/// What the end of a stream means: of a connection that breaks, the layers below say more than anybody wants to read.
pub(crate) fn broken(status: &Status) -> anyhow::Error {
    match status.code() {
        Code::Unknown | Code::Unavailable | Code::Internal | Code::Cancelled => {
            anyhow!("its connection broke, or it does not answer")
        }
        _ => said("it ended the stream", status),
    }
}
