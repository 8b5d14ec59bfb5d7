//! One run, from the queue to its verdict: a state machine without I/O.
//!
//! ```text
//! queued → preparing ⇄ recalling
//!              ↓
//!           opening → running → draining (workers, then probes) → reporting → ended
//! ```
//!
//! [`Run::step`] takes what happened and answers what to do. Every state but the queue before its turn has a deadline
//! ([`Run::deadline`]), so that a run ends whatever agents and data plane do or leave undone.

mod event;
mod finish;
mod handover;
mod plan;
mod prepare;
mod saved;

use std::collections::BTreeMap;
use std::time::Duration;

use measure::Timestamp;

pub use event::{
    AgentEvent, Began, Closing, Effect, Event, Gap, Happening, Has, Judgement, Order, Outcome, Position, Verdict, kind,
};
pub use plan::{Candidate, Kind, OnLoss, Phase, Plan, Share, choose, users_of_shard};
pub use saved::Saved;

use crate::limits::Limits;
use handover::Handover;

/// Happenings that a run keeps; later ones are dropped, but for the last.
const HAPPENINGS_MAX: usize = 10_000;
/// Agents give reasons; no reason is longer.
const TEXT_CHARS_MAX: usize = 2_000;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for its turn, then for agents.
    Queued { turn: Turn, told: bool },
    /// Shards are handed out; waits for Ready of all.
    Preparing { until: Timestamp },
    /// Shards are taken back, to be handed out in another way.
    Recalling { until: Timestamp },
    /// The data plane is asked to open the run.
    Opening { until: Timestamp, start: Timestamp, step: Opening },
    /// Agents have been told the start.
    Running,
    /// The planned end has passed, or the run is being stopped.
    Draining { until: Timestamp, stage: Stage },
    /// The data plane judges.
    Reporting { until: Timestamp },
    /// Over.
    Ended,
}

/// Where a run that waits stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Others wait before it.
    Behind,
    /// It may take agents, and others are under way, each with deadlines of its own.
    First,
    /// It may take agents, and nobody else has any: it waits for them until then.
    Alone(Timestamp),
}

/// Where asking the data plane to open the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// It was asked.
    Asked,
    /// It could not be asked; again at this instant.
    Again(Timestamp),
}

/// Who the run waits for while it drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Stage {
    /// Workers, who end by themselves.
    Workers,
    /// Workers, who were told to stop.
    StoppedWorkers,
    /// Probes, who were told to stop.
    Probes,
}

/// What people call a run's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Waits for its turn or for agents.
    Queued,
    /// Agents and data plane get ready.
    Preparing,
    /// Load is on.
    Running,
    /// Load ends.
    Draining,
    /// The data plane judges and renders.
    Reporting,
    /// Over.
    Ended,
}

/// An agent that takes part.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its part.
    pub share: Share,
    /// How far it is.
    pub state: MemberState,
    /// Its users that are connected, as it said last.
    pub connected: u64,
    /// When its load began, as it said.
    pub began: Option<Began>,
}

/// How far an agent of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MemberState {
    /// Was told to prepare.
    Preparing,
    /// Holds its shard.
    Ready,
    /// Was told the start.
    Running,
    /// Said that it is done.
    Finished,
    /// Is gone.
    Lost,
}

impl MemberState {
    /// Nothing more is to be expected of it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Lost)
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Lost => "lost",
        }
    }
}

/// One run.
#[derive(Debug)]
pub struct Run {
    plan: Plan,
    limits: Limits,
    state: State,
    members: BTreeMap<String, Member>,
    /// When people should hear why the run still waits.
    tell_at: Timestamp,
    /// Free agents that are not of the run, as last told.
    spare: Vec<Candidate>,
    /// The fleet's generation that they are of.
    spare_of: Option<u64>,
    /// Whether they have changed since the run looked for agents.
    fresh: bool,
    /// Agents that this run does not ask again, and why.
    excluded: BTreeMap<String, String>,
    /// Preparing ends then, however many attempts there were.
    prepare_until: Timestamp,
    margin: Duration,
    last_open_error: String,
    /// The start that the data plane was asked for last.
    asked_start: Option<Timestamp>,
    /// Since when the data plane has not answered.
    data_plane_silent: Option<Timestamp>,
    start: Option<Timestamp>,
    phase: Option<usize>,
    stopping: Option<String>,
    interrupted: bool,
    hurry: bool,
    invalid: Vec<String>,
    /// Losses that the scenario allows, in words.
    allowed: Vec<String>,
    /// Users that were lost with their workers.
    lost_users: u64,
    /// Users that are handed from a lost worker to others, in the order of the losses.
    handovers: Vec<Handover>,
    /// Who was without a worker for how long, once the load is over.
    gaps: Vec<Gap>,
    happenings: Vec<Happening>,
    judgement: Option<Judgement>,
    verdict: Option<Verdict>,
}

impl Run {
    /// A run that waits for its turn.
    pub fn new(plan: Plan, limits: Limits) -> Self {
        Self {
            plan,
            limits,
            state: State::Queued { turn: Turn::Behind, told: false },
            members: BTreeMap::new(),
            tell_at: Timestamp::default(),
            spare: Vec::new(),
            spare_of: None,
            fresh: false,
            excluded: BTreeMap::new(),
            prepare_until: Timestamp::default(),
            margin: limits.start_margin,
            last_open_error: String::new(),
            asked_start: None,
            data_plane_silent: None,
            start: None,
            phase: None,
            stopping: None,
            interrupted: false,
            hurry: false,
            invalid: Vec::new(),
            allowed: Vec::new(),
            lost_users: 0,
            handovers: Vec::new(),
            gaps: Vec::new(),
            happenings: Vec::new(),
            judgement: None,
            verdict: None,
        }
    }

    /// Takes what happened at `now`; answers what to do, in order.
    pub fn step(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            _ if self.state == State::Ended => {}
            Event::Queue(position) => self.take_turn(now, position, &mut out),
            Event::Beside { run, hosts } => self.tell_beside(now, &run, &hosts, &mut out),
            Event::Agent(name, event) => self.agent(now, &name, event, &mut out),
            Event::Opened => self.opened(now, &mut out),
            Event::OpenFailed { reason, refused } => self.open_failed(now, reason, refused, &mut out),
            Event::Live(answer) => self.live(now, answer, &mut out),
            Event::Closed(judgement) => self.closed(now, judgement, &mut out),
            Event::CloseFailed(reason) => self.close_failed(now, &reason, &mut out),
            Event::Stop { reason, interrupted, invalid, hurry } => {
                self.hurry |= hurry;
                self.interrupted |= interrupted && !matches!(self.state, State::Reporting { .. });
                if invalid && !matches!(self.state, State::Reporting { .. } | State::Ended) {
                    self.invalid.push(format!("the run was stopped early: {reason}"));
                }
                self.stop(now, kind::STOPPED, reason, &mut out);
            }
            Event::Resumed => self.resume(now, &mut out),
            Event::Returned { name, has } => self.returned(now, &name, has, &mut out),
            Event::Tick => {}
        }
        self.pass_time(now, &mut out);
        out
    }

    /// The next instant at which the run wants a [`Event::Tick`], if nothing happens before.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Queued { turn: Turn::Behind, .. } | State::Queued { turn: Turn::First, told: true } => None,
            State::Queued { turn: Turn::First, told: false } => Some(self.tell_at),
            State::Queued { turn: Turn::Alone(until), told } => {
                Some(if told { until } else { until.min(self.tell_at) })
            }
            State::Opening { until, step: Opening::Again(at), .. } => Some(until.min(at)),
            State::Preparing { until }
            | State::Recalling { until }
            | State::Opening { until, .. }
            | State::Draining { until, .. }
            | State::Reporting { until } => Some(until),
            State::Running => self.start.map(|start| {
                let next = self.phase.map_or(0, |i| i + 1);
                let phase = self.plan.phases.get(next).map_or(self.plan.duration, |p| p.start);
                let next = start + phase.min(self.plan.duration);
                self.handover_at().map_or(next, |at| at.min(next))
            }),
            State::Ended => None,
        }
    }

    fn pass_time(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.enter_phases(now, out);
        self.hand_over(now, out);
        match self.state {
            State::Queued { turn: Turn::First | Turn::Alone(_), .. } if self.fresh => {
                self.try_plan(now, out);
                self.fresh = false;
            }
            State::Queued { turn: Turn::Alone(until), .. } if now >= until => self.queue_is_over(now, out),
            State::Queued { turn: Turn::First | Turn::Alone(_), told: false } if now >= self.tell_at => {
                self.tell_waiting(now, out);
            }
            State::Preparing { until } if now >= until => self.exclude_silent(now, out),
            State::Recalling { until } if now >= until => self.hand_out_again(now, out),
            State::Opening { until, .. } if now >= until => self.data_plane_unreachable(now, out),
            State::Opening { step: Opening::Again(at), .. } if now >= at => self.ask_to_open(now, out),
            State::Running if self.start.is_some_and(|start| now >= start + self.plan.duration) => {
                self.state = State::Draining { until: now + self.limits.overrun, stage: Stage::Workers };
                self.drain_on(now, out);
            }
            State::Draining { until, stage } if now >= until => self.drain_is_over(now, stage, out),
            State::Reporting { until } if now >= until => {
                self.close_failed(now, "it did not answer before the deadline", out);
            }
            _ => {}
        }
    }

    fn enter_phases(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(start) = self.start.filter(|_| self.state == State::Running) else { return };
        while let Some(phase) = self.plan.phases.get(self.phase.map_or(0, |i| i + 1)) {
            let at = start + phase.start;
            if now < at {
                return;
            }
            let text = format!("phase `{}` begins", phase.name);
            self.phase = Some(self.phase.map_or(0, |i| i + 1));
            self.note(at, kind::PHASE, text, out);
        }
    }

    fn agent(&mut self, now: Timestamp, name: &str, event: AgentEvent, out: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(name) else { return };
        match (self.state, event) {
            (_, AgentEvent::Progress(connected, began)) => {
                member.connected = connected;
                let news = member.began.is_none() && began.is_some();
                member.began = member.began.or(began);
                if news {
                    self.tell_start_skew(now, out);
                }
            }
            (State::Preparing { .. }, AgentEvent::Ready) => {
                member.state = MemberState::Ready;
                self.open_when_ready(now, out);
            }
            (State::Preparing { .. } | State::Recalling { .. }, event) => self.left_early(now, name, event, out),
            (_, AgentEvent::Ready) => {}
            (_, AgentEvent::Finished(error)) => self.finished(now, name, error, out),
            (_, AgentEvent::Adopted { index, count, error }) => self.adopted(now, name, (index, count), error, out),
            (_, AgentEvent::Refused(why)) => self.lost(now, name, &format!("refused to go on: {why}"), now, out),
            (_, AgentEvent::Lost { why, heard }) => self.lost(now, name, &why, heard, out),
        }
    }

    fn live(&mut self, now: Timestamp, answer: Result<Option<String>, String>, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Running | State::Draining { .. }) {
            return;
        }
        let up = answer.is_ok();
        match answer {
            Ok(Some(reason)) if self.state == State::Running => {
                let at = self.start.map_or(0.0, |start| now.since(start).as_secs_f64());
                self.stop(now, kind::ABORTED, format!("stopped at {at:.0} s: {reason}"), out);
            }
            Err(why) if self.data_plane_silent.is_none() => {
                let text = format!("the data plane does not answer ({why}); probes keep what they measure");
                self.note(now, kind::DATA_PLANE_LOST, text, out);
            }
            Ok(_) if self.data_plane_silent.is_some() => {
                self.note(now, kind::DATA_PLANE_BACK, "the data plane answers again".to_owned(), out);
            }
            _ => {}
        }
        self.data_plane_silent = if up { None } else { self.data_plane_silent.or(Some(now)) };
    }

    fn note(&mut self, at: Timestamp, kind: &'static str, mut text: String, out: &mut Vec<Effect>) {
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(end);
        }
        let happening = Happening { at, kind, text };
        if self.happenings.len() < HAPPENINGS_MAX || kind == kind::ENDED {
            self.happenings.push(happening.clone());
        }
        out.push(Effect::Note(happening));
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter().filter(move |(_, m)| m.share.agent.kind == kind)
    }

    /// What it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it stands.
    pub fn state(&self) -> RunState {
        match self.state {
            State::Queued { .. } => RunState::Queued,
            State::Preparing { .. } | State::Recalling { .. } | State::Opening { .. } => RunState::Preparing,
            State::Running => RunState::Running,
            State::Draining { .. } => RunState::Draining,
            State::Reporting { .. } => RunState::Reporting,
            State::Ended => RunState::Ended,
        }
    }

    /// The start instant, once agents have been told.
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// Whether it waits, and no other run is under way: from then on it ends in time by its own deadlines alone.
    pub fn waits_alone(&self) -> bool {
        matches!(self.state, State::Queued { turn: Turn::Alone(_), .. })
    }

    /// The agents that take part, by name.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// The phase that is on.
    pub fn phase(&self) -> Option<&str> {
        self.phase.and_then(|i| self.plan.phases.get(i)).map(|p| p.name.as_str())
    }

    /// Its story so far, oldest first.
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }

    /// How it ended; `None` before that.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Where its report is, once the data plane has closed it.
    pub fn judgement(&self) -> Option<&Judgement> {
        self.judgement.as_ref()
    }
}
