//! What people see of fleet and runs: the same for gRPC, JSON, pages and the store.

use proto::control;
use serde::{Deserialize, Serialize};

use crate::run::{Outcome, RunState, Verdict};

/// An agent that is joined.
#[derive(Clone, Debug, Serialize)]
pub struct AgentView {
    /// Its name in the fleet.
    pub id: String,
    /// `worker` or `probe`.
    pub kind: String,
    /// `idle`, `busy`, `draining` or `cut off`.
    pub state: &'static str,
    /// The run that it takes part in; empty: none.
    pub run: String,
    /// Users that it can hold.
    pub capacity: u64,
    /// Where it runs.
    pub host: String,
    /// Processors.
    pub cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Files that it may open.
    pub open_files: u64,
    /// Its version.
    pub version: String,
    /// Seconds since it was heard last.
    pub silent_s: f64,
    /// All that it said of itself.
    #[serde(skip)]
    pub hello: control::Hello,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// Its scenario's name.
    pub name: String,
    /// When it was submitted (RFC 3339).
    pub submitted: String,
    /// Where it stands.
    pub state: RunState,
    /// The phase that is on; empty: none.
    pub phase: String,
    /// Seconds since the start instant, negative before it; 0 as long as there is none.
    pub elapsed_s: f64,
    /// Seconds from the start instant to the planned end.
    pub planned_s: f64,
    /// Users of the whole run.
    pub users: u64,
    /// The data plane's numbers of this second.
    pub live: Option<LiveView>,
    /// Its workers and probes.
    pub workers: Vec<MemberView>,
    /// Its story.
    pub events: Vec<EventView>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// Its directory on the data plane's host; empty: not known (yet).
    pub dir: String,
    /// Its report; empty: none (yet).
    pub report_path: String,
}

/// The data plane's numbers of one second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveView {
    /// Users that should be connected now.
    pub users_planned: u64,
    /// Users that are.
    pub users_connected: u64,
    /// Deliveries a second.
    pub deliveries_per_s: f64,
    /// Sends a second.
    pub sends_per_s: f64,
    /// Median of delivery, in microseconds.
    pub delivery_p50_us: u64,
    /// 99th percentile of delivery, in microseconds.
    pub delivery_p99_us: u64,
    /// 99th percentile of send, in microseconds.
    pub send_p99_us: u64,
    /// Errors so far.
    pub errors: u64,
    /// Deliveries lost so far.
    pub lost: u64,
    /// Deliveries so far.
    pub delivered: u64,
}

/// An agent of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// `preparing`, `ready`, `running`, `finished` or `lost`.
    pub state: String,
    /// Its users that are connected.
    pub users_connected: u64,
    /// Its users.
    pub users_planned: u64,
    /// Seconds since it was heard last.
    pub silent_s: f64,
}

/// A line in the story of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventView {
    /// Seconds since the start instant; 0 as long as there is none.
    pub at_s: f64,
    /// A word that programs know.
    pub kind: String,
    /// A sentence for people.
    pub text: String,
}

impl From<AgentView> for control::Agent {
    fn from(view: AgentView) -> Self {
        Self { id: view.id, hello: Some(view.hello), state: view.state.to_owned(), run: view.run }
    }
}

impl From<proto::telemetry::LiveReply> for LiveView {
    fn from(live: proto::telemetry::LiveReply) -> Self {
        Self {
            users_planned: live.users_planned,
            users_connected: live.users_connected,
            deliveries_per_s: live.deliveries_per_s,
            sends_per_s: live.sends_per_s,
            delivery_p50_us: live.delivery_p50_us,
            delivery_p99_us: live.delivery_p99_us,
            send_p99_us: live.send_p99_us,
            errors: live.errors,
            lost: live.lost,
            delivered: live.delivered,
        }
    }
}

impl From<LiveView> for control::Live {
    fn from(live: LiveView) -> Self {
        Self {
            users_planned: live.users_planned,
            users_connected: live.users_connected,
            deliveries_per_s: live.deliveries_per_s,
            sends_per_s: live.sends_per_s,
            delivery_p50_us: live.delivery_p50_us,
            delivery_p99_us: live.delivery_p99_us,
            send_p99_us: live.send_p99_us,
            errors: live.errors,
            lost: live.lost,
            delivered: live.delivered,
        }
    }
}

impl From<MemberView> for control::WorkerHealth {
    fn from(member: MemberView) -> Self {
        Self {
            name: member.name,
            state: member.state,
            users_connected: member.users_connected,
            users_planned: member.users_planned,
            silent_s: member.silent_s,
        }
    }
}

impl From<RunState> for control::RunState {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => Self::Queued,
            RunState::Preparing => Self::Preparing,
            RunState::Running => Self::Running,
            RunState::Draining => Self::Draining,
            RunState::Reporting => Self::Reporting,
            RunState::Ended => Self::Ended,
        }
    }
}

impl From<Verdict> for control::Verdict {
    fn from(verdict: Verdict) -> Self {
        let outcome = match verdict.outcome {
            Outcome::Passed => control::Outcome::Passed,
            Outcome::Failed => control::Outcome::Failed,
            Outcome::Invalid => control::Outcome::Invalid,
        };
        Self { outcome: outcome.into(), reasons: verdict.reasons, interrupted: verdict.interrupted }
    }
}

impl From<RunView> for control::RunUpdate {
    fn from(view: RunView) -> Self {
        let event = |e: EventView| control::RunEvent { at_s: e.at_s, kind: e.kind, text: e.text };
        Self {
            run: view.id,
            name: view.name,
            state: control::RunState::from(view.state).into(),
            elapsed_s: view.elapsed_s,
            planned_s: view.planned_s,
            live: view.live.map(Into::into),
            workers: view.workers.into_iter().map(Into::into).collect(),
            events: view.events.into_iter().map(event).collect(),
            verdict: view.verdict.map(Into::into),
            report_path: view.report_path,
            phase: view.phase,
            users: view.users,
            submitted: view.submitted,
        }
    }
}
