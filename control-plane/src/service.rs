//! gRPC on one side, the director's commands on the other; nothing is decided here.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use measure::{Clock, Timestamp};
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::agents_server::Agents;
use proto::control::control_server::Control;
use proto::control::{
    AgentOrder, AgentReport, DrainReply, DrainRequest, FleetReply, FleetRequest, Rejected, RunUpdate, RunsReply,
    RunsRequest, StopReply, StopRequest, SubmitReply, SubmitRequest, TimeReply, TimeRequest, WatchRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::Parse;
use crate::director::{Command, Handle, ORDERS_MAX, SubmitError, Unanswered, WatchError};
use crate::run::{AgentEvent, Began};

/// The largest scenario.
const SCENARIO_BYTES_MAX: usize = 1 << 20;
/// A status travels in headers, which HTTP/2 peers keep below 16 KiB; percent-encoding may triple it.
const MESSAGE_CHARS_MAX: usize = 4_000;
/// A stream that says nothing for so long is no agent's.
const HELLO: Duration = Duration::from_secs(10);
/// How long a scenario may take to be read.
const PARSE: Duration = Duration::from_secs(10);

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Both services of the control plane.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) director: Handle,
    pub(crate) clock: Clock,
    pub(crate) clock_id: String,
    pub(crate) parse: Parse,
}

impl From<Unanswered> for Status {
    fn from(Unanswered: Unanswered) -> Self {
        Self::unavailable("the control plane is ending, or has too much to do")
    }
}

impl From<SubmitError> for Status {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Exists(run) => Self::already_exists(format!("there is a run `{run}` already")),
            SubmitError::Full(why) => Self::resource_exhausted(why),
            SubmitError::Ending => Self::unavailable("the control plane is ending"),
        }
    }
}

#[tonic::async_trait]
impl Control for Service {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        let request = request.into_inner();
        check_id(&request.run)?;
        let scenario = request.scenario.clone().ok_or_else(|| Status::invalid_argument("there is no scenario"))?;
        if scenario.source.len() > SCENARIO_BYTES_MAX {
            let bytes = measure::grouped(scenario.source.len() as u64);
            return Err(Status::invalid_argument(format!("the scenario has {bytes} bytes; 1 MiB is the most")));
        }
        let parse = self.parse;
        let parsed = tokio::time::timeout(PARSE, tokio::task::spawn_blocking(move || parse(&scenario))).await;
        let mut plan = match parsed {
            Ok(Ok(plan)) => plan.map_err(|why| Status::invalid_argument(shortened(&why)))?,
            Ok(Err(_)) => return Err(Status::internal("the scenario could not be read: a fault of throng")),
            Err(_) => return Err(Status::invalid_argument("the scenario takes too long to read")),
        };
        plan.hasten(request.rehearsal_speed).map_err(Status::invalid_argument)?;
        plan.workers = request.workers;
        // What the scenario itself asks for, if canaries, is in the plan already.
        plan.probes = plan.probes.max(request.probes);
        let submit = |reply| Command::Submit(Box::new(request), Box::new(plan), reply);
        let submitted = self.director.ask(submit).await??;
        Ok(Response::new(SubmitReply { run: submitted.run, dir: submitted.dir }))
    }

    type WatchStream = Answer<RunUpdate>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let run = request.into_inner().run;
        let updates = self.director.ask(|reply| Command::Watch(run.clone(), reply)).await?;
        let updates = updates.map_err(|error| match error {
            WatchError::Unknown => unknown(&run),
            WatchError::Full => Status::resource_exhausted(format!("too many watch the run `{run}` already")),
        })?;
        Ok(Response::new(ReceiverStream::new(updates).map(|view| Ok(RunUpdate::from(view))).boxed()))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopReply>, Status> {
        let mut stop = request.into_inner();
        let run = stop.run.clone();
        if stop.reason.is_empty() {
            stop.reason.push_str("stopped by its user");
        }
        match self.director.ask(|reply| Command::Stop(stop, reply)).await? {
            Some(state) => Ok(Response::new(StopReply { state: proto::control::RunState::from(state).into() })),
            None => Err(unknown(&run)),
        }
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainReply>, Status> {
        let agent = request.into_inner().agent;
        let drained = self.director.ask(|reply| Command::Drain(agent, reply)).await?;
        let run = drained.map_err(Status::not_found)?.unwrap_or_default();
        Ok(Response::new(DrainReply { run }))
    }

    async fn fleet(&self, _: Request<FleetRequest>) -> Result<Response<FleetReply>, Status> {
        let agents = self.director.ask(Command::Fleet).await?;
        Ok(Response::new(FleetReply { agents: agents.into_iter().map(Into::into).collect() }))
    }

    async fn runs(&self, _: Request<RunsRequest>) -> Result<Response<RunsReply>, Status> {
        let runs = self.director.ask(Command::Runs).await?;
        Ok(Response::new(RunsReply { runs: runs.into_iter().map(Into::into).collect() }))
    }
}

#[tonic::async_trait]
impl Agents for Service {
    type JoinStream = Answer<AgentOrder>;

    async fn join(&self, request: Request<Streaming<AgentReport>>) -> Result<Response<Self::JoinStream>, Status> {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        // Answered at once: an agent may wait for the answer before it says Hello.
        tokio::spawn(listen(self.director.clone(), request.into_inner(), orders));
        Ok(Response::new(ReceiverStream::new(receiver).map(Ok).boxed()))
    }

    async fn time(&self, _: Request<TimeRequest>) -> Result<Response<TimeReply>, Status> {
        let received_ns = self.clock.now().as_nanos();
        let clock_id = self.clock_id.clone();
        Ok(Response::new(TimeReply { received_ns, answered_ns: self.clock.now().as_nanos(), clock_id }))
    }
}

/// Brings an agent's reports to the director for as long as its stream lives.
async fn listen(director: Handle, mut reports: Streaming<AgentReport>, orders: mpsc::Sender<AgentOrder>) {
    let first = tokio::time::timeout(HELLO, reports.message()).await;
    let hello = match first {
        Ok(Ok(Some(AgentReport { report: Some(Report::Hello(hello)) }))) => hello,
        Ok(Err(status)) => {
            let reason = format!("its Hello can't be read: {}", status.message());
            tracing::warn!("an agent is refused: {reason}");
            let order = AgentOrder { order: Some(Order::Rejected(Rejected { reason })) };
            // One that is gone need not know.
            return drop(orders.try_send(order));
        }
        _ => return tracing::warn!("a stream is closed: its first report was no Hello"),
    };
    let Ok(connection) = director.ask(|reply| Command::Join(Box::new(hello), orders, reply)).await else { return };
    // Long after any lease has run out, a stream that is still open but silent is given up.
    const SILENCE: Duration = Duration::from_secs(120);
    while let Ok(Ok(Some(report))) = tokio::time::timeout(SILENCE, reports.message()).await {
        let report = match report.report {
            Some(Report::Ready(r)) => Some((r.run, AgentEvent::Ready)),
            Some(Report::Refused(r)) => Some((r.run, AgentEvent::Refused(r.reason))),
            Some(Report::Progress(p)) => {
                let began = Began { at: Timestamp::from_nanos(p.began_ns), bound: p.began_bound_ns };
                let began = Some(began).filter(|_| p.began_ns > 0);
                Some((p.run, AgentEvent::Progress(p.users_connected, began)))
            }
            Some(Report::Finished(f)) => Some((f.run, AgentEvent::Finished(Some(f.error).filter(|e| !e.is_empty())))),
            Some(Report::Adopted(a)) => {
                let error = Some(a.error).filter(|e| !e.is_empty());
                Some((a.run, AgentEvent::Adopted { index: a.shard_index, count: a.shard_count, error }))
            }
            Some(Report::Hello(_) | Report::Heartbeat(_)) | None => None,
        };
        if director.tell(Command::Report(connection, report)).await.is_err() {
            return;
        }
    }
    // If the director is gone, so are its leases.
    let _ended = director.tell(Command::BrokeOff(connection)).await;
}

fn unknown(run: &str) -> Status {
    Status::not_found(format!("there is no run `{run}`"))
}

/// A run's id names files: it must be a plain name.
fn check_id(id: &str) -> Result<(), Status> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.len() <= 128 && !id.starts_with('.') && id.chars().all(allowed) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "a run's id has at most 128 characters of a-z, A-Z, 0-9, `-`, `_`, `.`, and no dot in front; this one is {id:?}"
    )))
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}\n… (`throng validate` shows all)", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_names() {
        for good in ["", "20261124-031300-quickstart-1a2b", "a.b_c"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["../etc", ".hidden", "a/b", "a b", &"x".repeat(129)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_messages_fit_into_headers() {
        assert_eq!(shortened("short"), "short");
        assert!(shortened(&"ä".repeat(10_000)).chars().count() < MESSAGE_CHARS_MAX + 50);
    }
}
