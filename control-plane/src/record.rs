//! What the shell keeps of a run beside its state machine: the request, the data plane's numbers, who watches.

use std::time::Duration;

use measure::Timestamp;
use measure::clock::wall_clock;
use proto::control::{Adopt, AgentOrder, Prepare, Start, Stop, SubmitRequest, agent_order};
use proto::telemetry::{CloseRequest, Gap, NoteRequest, OpenRequest};
use tokio::sync::mpsc;

use crate::courier::Errand;
use crate::fleet::Fleet;
use crate::run::{Closing, Happening, Kind, Order, Run, RunState, Saved};
use crate::view::{EventView, LiveView, MemberView, RunView};

/// Updates that wait for a slow watcher; it misses none of the events, only some of the numbers between.
pub(crate) const UPDATES_MAX: usize = 8;

/// See the module. Holds secrets: neither `Debug` nor logged.
pub(crate) struct Record {
    pub(crate) request: SubmitRequest,
    /// RFC 3339.
    pub(crate) submitted: String,
    pub(crate) live: Option<LiveView>,
    pub(crate) dir: String,
    pub(crate) errands: Option<mpsc::Sender<Errand>>,
    pub(crate) watchers: Vec<Watcher>,
    /// What was kept of it last.
    pub(crate) saved: Option<Saved>,
}

/// Somebody who follows a run.
pub(crate) struct Watcher {
    updates: mpsc::Sender<RunView>,
    /// Events that it has.
    events: usize,
}

impl Record {
    pub(crate) fn new(request: SubmitRequest) -> Self {
        let submitted = jiff::Timestamp::try_from(wall_clock()).map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        Self {
            request,
            submitted: submitted.unwrap_or_default(),
            live: None,
            dir: String::new(),
            errands: None,
            watchers: Vec::new(),
            saved: None,
        }
    }

    pub(crate) fn watch(&mut self) -> mpsc::Receiver<RunView> {
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        self.watchers.push(Watcher { updates, events: 0 });
        receiver
    }

    /// Tells everybody who watches. A stream ends after the update that has the verdict.
    pub(crate) fn update(&mut self, view: &RunView) {
        let over = view.state == RunState::Ended;
        self.watchers.retain_mut(|watcher| {
            let mut update = view.clone();
            update.events.drain(..watcher.events.min(update.events.len()));
            match watcher.updates.try_send(update) {
                Ok(()) => {
                    watcher.events = view.events.len();
                    !over
                }
                Err(mpsc::error::TrySendError::Full(_)) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
    }

    /// The run as people see it.
    pub(crate) fn view(&self, id: &str, run: &Run, fleet: &Fleet, now: Timestamp) -> RunView {
        let start = run.start();
        let member = |(name, m): (&String, &crate::run::Member)| MemberView {
            name: name.clone(),
            state: m.state.word().to_owned(),
            users_connected: m.connected,
            users_planned: run.users_of(name),
            silent_s: fleet.agents().get(name).map_or(0.0, |a| now.since(a.heard).as_secs_f64()),
        };
        RunView {
            id: id.to_owned(),
            name: run.plan().name.clone(),
            submitted: self.submitted.clone(),
            state: run.state(),
            phase: run.phase().unwrap_or_default().to_owned(),
            elapsed_s: start.map_or(0.0, |s| seconds_between(s, now)),
            planned_s: run.plan().duration.as_secs_f64(),
            users: run.plan().users,
            live: self.live.clone(),
            workers: run.members().iter().map(member).collect(),
            events: run.happenings().iter().map(|h| event(h, start)).collect(),
            verdict: run.verdict().cloned(),
            dir: self.dir.clone(),
            report_path: run.judgement().map(|j| j.report_path.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn open_request(
        &self,
        id: &str,
        start: Timestamp,
        now: Timestamp,
        sources: Vec<(String, u64)>,
    ) -> OpenRequest {
        let scenario = self.request.scenario.clone().unwrap_or_default();
        let target = self.request.target.as_ref();
        let unix = wall_clock().duration_since(std::time::UNIX_EPOCH).unwrap_or_default() + start.since(now);
        let (expected_sources, expected_users) = sources.into_iter().unzip();
        OpenRequest {
            run: id.to_owned(),
            file_name: scenario.file_name,
            scenario: without_secrets(&scenario.source).into(),
            overrides: scenario.overrides.iter().map(|flag| scenarios::redacted_override(flag)).collect(),
            variable_names: scenario.variables.into_keys().collect(),
            out_dir: self.request.out_dir.clone(),
            target: target.map(|t| t.urls.join(", ")).unwrap_or_default(),
            bundled: target.is_some_and(|t| t.bundled),
            start_ns: start.as_nanos(),
            start_unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX),
            expected_sources,
            command: self.request.command.clone(),
            base_dir: scenario.base_dir,
            expected_users,
            build: self.request.build.clone(),
            rehearsal_speed: self.request.rehearsal_speed,
        }
    }

    /// An order for an agent, with all that it needs.
    pub(crate) fn order(&self, run: String, order: Order, data_plane: &str) -> AgentOrder {
        let order = match order {
            Order::Prepare { index, count, alone } => agent_order::Order::Prepare(Prepare {
                run,
                scenario: self.request.scenario.clone(),
                shard_index: index,
                shard_count: count,
                target: self.request.target.clone(),
                data_plane: data_plane.to_owned(),
                alone_ms: alone.map_or(0, |alone| u32::try_from(alone.as_millis()).unwrap_or(u32::MAX)),
                rehearsal_speed: self.request.rehearsal_speed,
            }),
            Order::Adopt { index, count, of } => {
                agent_order::Order::Adopt(Adopt { run, shard_index: index, shard_count: count, lost_count: of })
            }
            Order::Start(at) => agent_order::Order::Start(Start { run, at_ns: at.as_nanos() }),
            Order::Stop(reason) => agent_order::Order::Stop(Stop { run, reason }),
        };
        AgentOrder { order: Some(order) }
    }

    /// The run is over: what only agents and data plane needed is dropped, secrets first.
    pub(crate) fn forget(&mut self) {
        self.request.target = None;
        self.request.scenario = None;
        self.errands = None;
    }
}

/// A line of a run's story, as people see it.
pub(crate) fn event(happening: &Happening, start: Option<Timestamp>) -> EventView {
    EventView {
        at_s: start.map_or(0.0, |start| seconds_between(start, happening.at)),
        kind: happening.kind.to_owned(),
        text: happening.text.clone(),
    }
}

pub(crate) fn note_request(run: &str, happening: &Happening) -> NoteRequest {
    NoteRequest {
        run: run.to_owned(),
        at_ns: happening.at.as_nanos(),
        kind: happening.kind.to_owned(),
        text: happening.text.clone(),
    }
}

pub(crate) fn close_request(run: &str, closing: &Closing, goodbye: Duration) -> CloseRequest {
    CloseRequest {
        run: run.to_owned(),
        lost_sources: closing.lost.clone(),
        invalid_reasons: closing.invalid.clone(),
        allowed_losses: closing.allowed.clone(),
        gaps: closing.gaps.iter().map(|g| Gap { users: g.users, since_ns: g.since, until_ns: g.until }).collect(),
        interrupted: closing.interrupted,
        ended_ns: closing.ended.as_nanos(),
        wait_ms: u32::try_from(goodbye.as_millis()).unwrap_or(u32::MAX),
    }
}

/// A word for what an agent does.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Worker => "worker",
        Kind::Probe => "probe",
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
fn seconds_between(start: Timestamp, at: Timestamp) -> f64 {
    at.micros_since(start) as f64 / 1e6
}

/// A scenario's bytes as they are kept and shown: agents get the secrets, the run's directory does not.
fn without_secrets(source: &[u8]) -> Vec<u8> {
    scenarios::redacted(&String::from_utf8_lossy(source)).into_bytes()
}
