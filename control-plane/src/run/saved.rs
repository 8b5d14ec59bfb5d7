//! What is kept of a run, so that the control plane's next life goes on with it.

use std::collections::BTreeMap;

use measure::Timestamp;
use serde::{Deserialize, Serialize};

use super::handover::Handover;
use super::{
    AgentEvent, Effect, Gap, Happening, Has, Kind, Member, MemberState, Order, Plan, Run, Share, Stage, State, Turn,
    kind,
};
use crate::limits::Limits;

/// Where a kept run stands. One that had no start yet begins anew in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Queued,
    Running,
    Draining(Stage),
    Reporting,
}

/// See the module. Instants are nanoseconds of the clock of the host that kept it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    plan: Plan,
    place: Place,
    start: Option<u64>,
    asked_start: Option<u64>,
    members: BTreeMap<String, (Share, MemberState)>,
    phase: Option<usize>,
    stopping: Option<String>,
    interrupted: bool,
    invalid: Vec<String>,
    allowed: Vec<String>,
    lost_users: u64,
    #[serde(default)]
    handovers: Vec<Handover>,
    #[serde(default)]
    gaps: Vec<Gap>,
}

impl Saved {
    /// Whether it means something on this clock only.
    pub(crate) fn has_instants(&self) -> bool {
        self.start.is_some() || self.asked_start.is_some()
    }

    /// Whether the run stands where the other does, so that less is lost if only one of them is on the disk.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        self.place == other.place
    }

    /// From the start instant, if there is one, to an instant that was kept as seconds since then.
    pub(crate) fn instant(&self, at_s: f64) -> Timestamp {
        let start = Timestamp::from_nanos(self.start.unwrap_or_default());
        start + std::time::Duration::try_from_secs_f64(at_s.max(0.0)).unwrap_or_default()
    }
}

impl Run {
    /// What the next life needs; nothing of a run that is over.
    pub fn saved(&self) -> Option<Saved> {
        let place = match self.state {
            State::Ended => return None,
            State::Queued { .. } | State::Preparing { .. } | State::Recalling { .. } | State::Opening { .. } => {
                Place::Queued
            }
            State::Running => Place::Running,
            State::Draining { stage, .. } => Place::Draining(stage),
            State::Reporting { .. } => Place::Reporting,
        };
        let begun = place != Place::Queued;
        let members = self.members.iter().filter(|_| begun);
        Some(Saved {
            plan: self.plan.clone(),
            place,
            start: self.start.map(Timestamp::as_nanos),
            asked_start: self.asked_start.map(Timestamp::as_nanos),
            members: members.map(|(name, m)| (name.clone(), (m.share.clone(), m.state))).collect(),
            phase: self.phase,
            stopping: self.stopping.clone(),
            interrupted: self.interrupted,
            invalid: self.invalid.clone(),
            allowed: self.allowed.clone(),
            lost_users: self.lost_users,
            handovers: self.handovers.clone(),
            gaps: self.gaps.clone(),
        })
    }

    /// A run as it was kept; [`super::Event::Resumed`] sets it going.
    pub(crate) fn restored(now: Timestamp, saved: Saved, happenings: Vec<Happening>, limits: Limits) -> Self {
        let member = |(name, (share, state))| (name, Member { share, state, connected: 0, began: None });
        let state = match saved.place {
            Place::Queued => State::Queued { turn: Turn::Behind, told: false },
            Place::Running => State::Running,
            Place::Draining(stage) => State::Draining { until: now + limits.drain.max(limits.alone), stage },
            Place::Reporting => State::Reporting { until: now + limits.report },
        };
        Self {
            state,
            members: saved.members.into_iter().map(member).collect(),
            asked_start: saved.asked_start.map(Timestamp::from_nanos),
            start: saved.start.map(Timestamp::from_nanos),
            phase: saved.phase,
            stopping: saved.stopping,
            interrupted: saved.interrupted,
            invalid: saved.invalid,
            allowed: saved.allowed,
            lost_users: saved.lost_users,
            handovers: saved.handovers,
            gaps: saved.gaps,
            happenings,
            ..Self::new(saved.plan, limits)
        }
    }

    pub(super) fn resume(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let waits = self.members.values().filter(|m| !m.state.is_over()).count();
        let text = match self.state {
            State::Queued { .. } => "the control plane was started again; the run waits for its turn anew".to_owned(),
            _ => format!("the control plane was started again; {waits} of the run's agents are to come back"),
        };
        self.note(now, kind::CONTROL_PLANE_BACK, text, out);
        if matches!(self.state, State::Reporting { .. }) {
            // Whoever waited for the answer is gone; closing again answers the same.
            self.report(now, out);
        }
    }

    /// A member is back. It was perhaps not told what everybody else was told, and what it said may not have arrived.
    pub(super) fn returned(&mut self, now: Timestamp, name: &str, has: Has, out: &mut Vec<Effect>) {
        let Some(member) = self.members.get(name).filter(|m| !m.state.is_over()) else { return };
        let kind = member.share.agent.kind;
        let stop = || Order::Stop(self.stopping.clone().unwrap_or_else(|| "the load is over".to_owned()));
        let order = match (self.state, self.start) {
            (State::Preparing { .. }, _) if member.state == MemberState::Preparing => match has {
                Has::Nothing => return self.hand_to(member.share.clone(), out),
                Has::Shard => return self.agent(now, name, AgentEvent::Ready, out),
                Has::All => return,
            },
            (State::Recalling { .. }, _) => Order::Stop("shards are handed out anew".to_owned()),
            (State::Running, Some(start)) if has == Has::Shard => Order::Start(start),
            (State::Draining { stage: Stage::StoppedWorkers, .. }, _) if kind == Kind::Worker => stop(),
            (State::Draining { stage: Stage::Probes, .. }, _) if kind == Kind::Probe => stop(),
            _ => return,
        };
        out.push(Effect::Order(name.to_owned(), order));
    }
}
