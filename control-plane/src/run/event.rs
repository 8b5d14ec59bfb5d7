//! What happens to a run, and what it wants done.

use std::time::Duration;

use measure::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Where it stands in the queue.
    Queue(Position),
    /// Another run is under way at the same time.
    Beside {
        /// Which.
        run: String,
        /// Hosts of which both have agents.
        hosts: Vec<String>,
    },
    /// An agent said something, or nothing any more.
    Agent(String, AgentEvent),
    /// The data plane has opened the run.
    Opened,
    /// The data plane could not be asked to open the run, or would not.
    OpenFailed {
        /// Why, in words.
        reason: String,
        /// Trying again is no use.
        refused: bool,
    },
    /// The data plane answers (`Ok`: with the reason to stop, if a threshold asks for it), or doesn't.
    Live(Result<Option<String>, String>),
    /// The data plane has closed the run.
    Closed(Judgement),
    /// The data plane could not be asked to close the run, or would not.
    CloseFailed(String),
    /// Somebody wants the run to stop.
    Stop {
        /// Why, in words.
        reason: String,
        /// By its user.
        interrupted: bool,
        /// Something that the run needs is gone: it can't be trusted.
        invalid: bool,
        /// The control plane itself ends: there is no time to drain.
        hurry: bool,
    },
    /// The control plane was started again, and has taken the run up as it was kept.
    Resumed,
    /// An agent of the run is back: on a new stream, or the first time since then.
    Returned {
        /// Who.
        name: String,
        /// What it has of the run.
        has: Has,
    },
    /// Time has passed.
    Tick,
}

/// What an agent that is back has of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    /// Nothing, or nothing any more.
    Nothing,
    /// It holds its shard, and was not told the start.
    Shard,
    /// It was told what it says that it does, or has done.
    All,
}

impl Has {
    /// What its Hello says: whether it is this run that it has, and whether it is only prepared.
    pub(crate) fn of(run: bool, prepared: bool) -> Self {
        match (run, prepared) {
            (false, _) => Self::Nothing,
            (true, true) => Self::Shard,
            (true, false) => Self::All,
        }
    }
}

/// Where a run that waits stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// So many wait before it.
    Behind(usize),
    /// It is the first, and others are under way, whose agents will be free.
    First,
    /// It is the first, and no other is under way: more agents come only if they join.
    Alone,
}

/// When a worker's load really began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Began {
    /// On our clock, as the worker knows it.
    pub at: Timestamp,
    /// That is wrong by at most so many nanoseconds.
    pub bound: u64,
}

/// What an agent does to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// It holds its shard and waits for the start.
    Ready,
    /// It can't or won't take its shard.
    Refused(String),
    /// How many of its users are connected, and when its load began, if it has.
    Progress(u64, Option<Began>),
    /// It is done; with an error, or none.
    Finished(Option<String>),
    /// It has taken a shard of a lost worker over, or can't, with the reason.
    Adopted {
        /// Which shard …
        index: u32,
        /// … of how many.
        count: u32,
        /// Why not.
        error: Option<String>,
    },
    /// Its lease ran out, or it left.
    Lost {
        /// Why, in words.
        why: String,
        /// When it was heard last.
        heard: Timestamp,
    },
}

/// How a run went, as the data plane sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Passed, failed or invalid.
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<String>,
    /// The run's directory, on the data plane's host.
    pub dir: String,
    /// The report in it.
    pub report_path: String,
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All thresholds hold.
    Passed,
    /// A threshold doesn't.
    Failed,
    /// The measurement can't be trusted, or there is none.
    Invalid,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Passed, failed or invalid.
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<String>,
    /// It was stopped by its user.
    pub interrupted: bool,
}

/// What a run wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Tell an agent.
    Order(String, Order),
    /// Ask the data plane to open the run; answer with [`Event::Opened`] or [`Event::OpenFailed`].
    Open {
        /// The start instant.
        start: Timestamp,
        /// Who will ship measurements, and how many users each has (0: a probe).
        sources: Vec<(String, u64)>,
    },
    /// Ask the data plane to close the run; answer with [`Event::Closed`] or [`Event::CloseFailed`].
    Close(Closing),
    /// Tell people, and the report.
    Note(Happening),
    /// The agent is free again.
    Release(String),
    /// The run has ended; its verdict stands.
    Ended,
}

/// What an agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Get ready for shard `index` of `count`.
    Prepare {
        /// Which shard …
        index: u32,
        /// … of how many.
        count: u32,
        /// Others take its users over when it is lost: it may go on alone for this long only.
        alone: Option<Duration>,
    },
    /// Take the users of a lost worker's shard over.
    Adopt {
        /// Which shard …
        index: u32,
        /// … of how many.
        count: u32,
        /// The lost one was one of so many.
        of: u32,
    },
    /// Begin at this instant of the control plane's clock.
    Start(Timestamp),
    /// End; why, in words.
    Stop(String),
}

/// What the data plane must know to judge a run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    /// Sources that will ship nothing more.
    pub lost: Vec<String>,
    /// Why the run can't be trusted.
    pub invalid: Vec<String>,
    /// Losses that the scenario allows.
    pub allowed: Vec<String>,
    /// Users that were without a worker for a while.
    pub gaps: Vec<Gap>,
    /// It was stopped by its user.
    pub interrupted: bool,
    /// When its last agent ended.
    pub ended: Timestamp,
    /// Until when the answer is waited for.
    pub until: Timestamp,
}

/// Users that were without a worker, in nanoseconds of the control plane's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many.
    pub users: u64,
    /// When their worker was heard last.
    pub since: u64,
    /// When others had them, or the load was over.
    pub until: u64,
}

/// A line in the story of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// A word that programs know; see [`kind`].
    pub kind: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// The kinds of [`Happening`].
pub mod kind {
    /// There are too few agents; others may still join.
    pub const WAITING: &str = "waiting";
    /// Another run is under way at the same time.
    pub const BESIDE: &str = "beside";
    /// Shards are handed out.
    pub const PREPARING: &str = "preparing";
    /// The start instant is set.
    pub const STARTED: &str = "started";
    /// When the workers really began, and how far apart.
    pub const START_SKEW: &str = "start_skew";
    /// A phase begins.
    pub const PHASE: &str = "phase";
    /// An agent can't or won't take its shard.
    pub const REFUSED: &str = "refused";
    /// A worker is gone.
    pub const WORKER_LOST: &str = "worker_lost";
    /// A lost worker's users were handed to others, as far as these could take them.
    pub const HANDED_OVER: &str = "handed_over";
    /// A probe is gone.
    pub const PROBE_LOST: &str = "probe_lost";
    /// An agent went on after the planned end and was told to stop.
    pub const OVERRUN: &str = "overrun";
    /// An agent ended with an error, or before its time.
    pub const AGENT_FAILED: &str = "agent_failed";
    /// The run was stopped early.
    pub const STOPPED: &str = "stopped";
    /// A threshold with `abort` failed.
    pub const ABORTED: &str = "aborted";
    /// The data plane does not answer; probes keep what they measure.
    pub const DATA_PLANE_LOST: &str = "data_plane_lost";
    /// It answers again.
    pub const DATA_PLANE_BACK: &str = "data_plane_back";
    /// The data plane could not be reached until the deadline: the run ends without a report.
    pub const DATA_PLANE_UNREACHABLE: &str = "data_plane_unreachable";
    /// The data plane answered, and would not open or close the run.
    pub const DATA_PLANE_REFUSED: &str = "data_plane_refused";
    /// The control plane was started again in mid-run.
    pub const CONTROL_PLANE_BACK: &str = "control_plane_back";
    /// Too few agents joined, or were left.
    pub const NOT_ENOUGH_AGENTS: &str = "not_enough_agents";
    /// The run has ended.
    pub const ENDED: &str = "ended";

    const ALL: [&str; 21] = [
        WAITING,
        BESIDE,
        PREPARING,
        STARTED,
        START_SKEW,
        PHASE,
        REFUSED,
        WORKER_LOST,
        HANDED_OVER,
        PROBE_LOST,
        OVERRUN,
        AGENT_FAILED,
        STOPPED,
        ABORTED,
        DATA_PLANE_LOST,
        DATA_PLANE_BACK,
        DATA_PLANE_UNREACHABLE,
        DATA_PLANE_REFUSED,
        CONTROL_PLANE_BACK,
        NOT_ENOUGH_AGENTS,
        ENDED,
    ];

    /// The kind with this name, as it was kept.
    pub(crate) fn known(name: &str) -> &'static str {
        ALL.into_iter().find(|kind| *kind == name).unwrap_or("note")
    }
}
