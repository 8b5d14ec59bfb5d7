//! From the last load to the verdict: stopping, losses, draining, reporting.

use std::time::Duration;

use measure::{Timestamp, grouped};

use super::{
    Closing, Effect, Judgement, Kind, Member, MemberState, OnLoss, Order, Outcome, Run, Stage, State, Verdict, kind,
};

/// An agent that is done so long before the planned end has left something undone.
const EARLY: Duration = Duration::from_secs(1);
/// A data plane that has not answered for so long is not only in the middle of something.
const SILENT: Duration = Duration::from_secs(5);

impl Run {
    /// Stops early, wherever the run stands.
    pub(super) fn stop(&mut self, now: Timestamp, kind: &'static str, reason: String, out: &mut Vec<Effect>) {
        if self.stopping.is_some() && !matches!(self.state, State::Draining { .. }) {
            return;
        }
        match self.state {
            State::Ended | State::Reporting { .. } => {}
            State::Draining { until, stage: stage @ (Stage::StoppedWorkers | Stage::Probes) } => {
                self.state = State::Draining { until: until.min(now + self.drain_limit()), stage };
            }
            State::Queued { .. } | State::Preparing { .. } | State::Recalling { .. } => {
                self.give_up(now, kind, reason, out);
            }
            State::Opening { .. } | State::Running | State::Draining { .. } => {
                self.note(now, kind, reason.clone(), out);
                if self.start.is_none() {
                    self.invalid.push(format!("stopped before the start: {reason}"));
                }
                self.stop_workers(now, reason, out);
            }
        }
    }

    fn drain_limit(&self) -> Duration {
        match (self.hurry, self.interrupted) {
            (true, _) => self.limits.shutdown / 4,
            (false, true) => self.limits.drain_interrupted,
            (false, false) => self.limits.drain,
        }
    }

    fn stop_workers(&mut self, now: Timestamp, reason: String, out: &mut Vec<Effect>) {
        for (name, _) in self.of_kind(Kind::Worker).filter(|(_, m)| !m.state.is_over()) {
            out.push(Effect::Order(name.clone(), Order::Stop(reason.clone())));
        }
        self.stopping = Some(reason);
        self.state = State::Draining { until: now + self.drain_limit(), stage: Stage::StoppedWorkers };
        self.drain_on(now, out);
    }

    /// Goes on to the next stage if everybody that the present one waits for is done.
    pub(super) fn drain_on(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let done = |run: &Self, kind| run.of_kind(kind).all(|(_, m)| m.state.is_over());
        match self.state {
            State::Draining { stage: Stage::Workers | Stage::StoppedWorkers, .. } if done(self, Kind::Worker) => {
                let reason = self.stopping.clone().unwrap_or_else(|| "the load is over".to_owned());
                for (name, _) in self.of_kind(Kind::Probe).filter(|(_, m)| !m.state.is_over()) {
                    out.push(Effect::Order(name.clone(), Order::Stop(reason.clone())));
                }
                self.state = State::Draining { until: now + self.drain_limit(), stage: Stage::Probes };
                self.drain_on(now, out);
            }
            State::Draining { stage: Stage::Probes, .. } if done(self, Kind::Probe) => self.report(now, out),
            _ => {}
        }
    }

    pub(super) fn drain_is_over(&mut self, now: Timestamp, stage: Stage, out: &mut Vec<Effect>) {
        let late = |m: &Member| !m.state.is_over() && (stage == Stage::Probes) == (m.share.agent.kind == Kind::Probe);
        let late: Vec<String> = self.members.iter().filter(|(_, m)| late(m)).map(|(name, _)| name.clone()).collect();
        if stage == Stage::Workers {
            let seconds = self.limits.overrun.as_secs();
            let text = format!("{} went on for {seconds} s after the planned end: told to stop", late.join(", "));
            self.note(now, kind::OVERRUN, text, out);
            self.stop_workers(now, "the planned end has passed".to_owned(), out);
            return;
        }
        let why = format!("it did not say within {} s that it is done", self.drain_limit().as_secs());
        for name in late {
            self.lost(now, &name, &why, now, out);
        }
    }

    pub(super) fn finished(&mut self, now: Timestamp, name: &str, error: Option<String>, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Opening { .. }) {
            let why = error.unwrap_or_else(|| "it ended before the start".to_owned());
            return self.lost(now, name, &why, now, out);
        }
        let Some(member) = self.members.get_mut(name).filter(|m| !m.state.is_over()) else { return };
        member.state = MemberState::Finished;
        member.connected = 0;
        let is_worker = member.share.agent.kind == Kind::Worker;
        let planned_end = self.start.map(|start| start + self.plan.duration);
        let early =
            planned_end.map(|end| end.since(now)).filter(|early| *early > EARLY && self.state == State::Running);
        let failed = error.is_some();
        let fault = match (error, early) {
            (Some(error), _) => Some(format!("{name} ended with an error: {error}")),
            (None, Some(early)) => Some(format!("{name} ended {:.1} s before the planned end", early.as_secs_f64())),
            (None, None) => None,
        };
        if let Some(text) = fault {
            let users = self.users_of(name);
            let stops = if is_worker && self.hands_over() {
                // One that says that it is done makes no load any more; one that failed may not know.
                let due = failed.then(|| now + self.limits.handover);
                self.orphan(name, text.clone(), now, due);
                None
            } else if is_worker {
                self.count_loss(users, text.clone())
            } else {
                self.invalid.push(text.clone());
                None
            };
            self.note(now, kind::AGENT_FAILED, text, out);
            if let Some(why) = stops.filter(|_| self.state == State::Running) {
                self.stop(now, kind::STOPPED, why, out);
            }
        }
        if self.state == State::Running && self.of_kind(Kind::Worker).all(|(_, m)| m.state.is_over()) {
            self.state = State::Draining { until: now + self.drain_limit(), stage: Stage::Workers };
        }
        self.drain_on(now, out);
    }

    /// A worker's users are gone, which `text` says. Why the run stops for it, by the scenario's policy.
    fn count_loss(&mut self, users: u64, text: String) -> Option<String> {
        self.lost_users += users;
        match self.plan.on_worker_loss {
            // The load is over, so that there is nothing to hand over.
            OnLoss::Continue | OnLoss::Redistribute => {
                self.invalid.push(text);
                None
            }
            OnLoss::Abort => {
                self.invalid.push(text);
                Some("a worker is lost, and the scenario says `on_worker_loss: abort`".to_owned())
            }
            OnLoss::AtMost(share) => {
                let (lost, all) = (grouped(self.lost_users), grouped(self.plan.users));
                let allowed = format!("{} %", share * 100.0);
                self.allowed.push(text);
                if share_of(self.lost_users, self.plan.users) <= share {
                    return None;
                }
                self.invalid.append(&mut self.allowed);
                Some(format!("{lost} of {all} users are lost, and the scenario allows {allowed}"))
            }
        }
    }

    pub(super) fn loss_kind(&self, name: &str) -> &'static str {
        match self.members.get(name).map(|m| m.share.agent.kind) {
            Some(Kind::Probe) => kind::PROBE_LOST,
            _ => kind::WORKER_LOST,
        }
    }

    /// A member is gone after all were ready.
    pub(super) fn lost(&mut self, now: Timestamp, name: &str, why: &str, heard: Timestamp, out: &mut Vec<Effect>) {
        let loss = self.loss_kind(name);
        let Some(member) = self.members.get_mut(name).filter(|m| !m.state.is_over()) else { return };
        member.state = MemberState::Lost;
        member.connected = 0;
        let agent_kind = member.share.agent.kind;
        let users = self.users_of(name);
        let mut text = format!("{name} is lost: {why}");
        let mut stops = None;
        if agent_kind == Kind::Worker && self.hands_over() {
            let after = self.limits.handover;
            self.orphan(name, text.clone(), heard, Some(now + after));
            let (users, after) = (grouped(users), after.as_secs());
            text = format!("{text}; its {users} users go to the others in {after} s, when its load has surely ended");
        } else if agent_kind == Kind::Worker {
            text = format!("{text}; its {} users are gone", grouped(users));
            stops = self.count_loss(users, text.clone());
        } else if self.of_kind(Kind::Probe).filter(|(_, m)| m.state != MemberState::Lost).count()
            < self.plan.probes as usize
        {
            self.invalid.push(text.clone());
        }
        self.note(now, loss, text, out);
        let under_way = matches!(self.state, State::Opening { .. } | State::Running);
        if under_way && agent_kind == Kind::Worker {
            if self.of_kind(Kind::Worker).all(|(_, m)| m.state == MemberState::Lost) {
                self.stop(now, kind::STOPPED, "all workers are lost".to_owned(), out);
            } else if let Some(why) = stops {
                self.stop(now, kind::STOPPED, why, out);
            } else if self.state == State::Running && self.of_kind(Kind::Worker).all(|(_, m)| m.state.is_over()) {
                self.state = State::Draining { until: now + self.drain_limit(), stage: Stage::Workers };
            }
        }
        self.drain_on(now, out);
    }

    /// Hands the run over to the data plane for its verdict.
    pub(super) fn report(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        // A run that never started has nothing to render: somebody waits, and the data plane may not even know it.
        let silent = self.data_plane_silent.is_some_and(|since| now.since(since) >= SILENT);
        let patience = match (self.hurry, self.start) {
            (true, _) => self.limits.shutdown / 2,
            (false, Some(_)) if silent => self.limits.report_silent.min(self.limits.report),
            (false, Some(_)) => self.limits.report,
            (false, None) => self.limits.unstarted,
        };
        let until = now + patience;
        self.state = State::Reporting { until };
        self.settle_handovers(now);
        let lost = self.members.iter().filter(|(_, m)| m.state == MemberState::Lost).map(|(n, _)| n.clone()).collect();
        let (invalid, allowed, gaps) = (self.invalid.clone(), self.allowed.clone(), self.gaps.clone());
        let interrupted = self.interrupted;
        out.push(Effect::Close(Closing { lost, invalid, allowed, gaps, interrupted, ended: now, until }));
    }

    pub(super) fn closed(&mut self, now: Timestamp, judgement: Judgement, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Reporting { .. }) {
            return;
        }
        let mut reasons = judgement.reasons.clone();
        let ours = self.invalid.iter().filter(|r| !judgement.reasons.contains(r));
        reasons.extend(ours.cloned());
        let outcome = if self.invalid.is_empty() { judgement.outcome } else { Outcome::Invalid };
        self.judgement = Some(judgement);
        self.end(now, outcome, reasons, out);
    }

    pub(super) fn close_failed(&mut self, now: Timestamp, why: &str, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Reporting { .. }) {
            return;
        }
        let mut reasons = self.invalid.clone();
        if self.start.is_some() {
            let text = format!("the data plane could not close the run, so there is no report: {why}");
            self.note(now, kind::DATA_PLANE_UNREACHABLE, text.clone(), out);
            reasons.push(text);
        }
        self.end(now, Outcome::Invalid, reasons, out);
    }

    /// Ends a run that has measured nothing.
    pub(super) fn give_up(&mut self, now: Timestamp, kind: &'static str, why: String, out: &mut Vec<Effect>) {
        self.note(now, kind, why.clone(), out);
        for (name, _) in self.members.iter().filter(|(_, m)| !m.state.is_over()) {
            out.push(Effect::Order(name.clone(), Order::Stop(why.clone())));
        }
        self.end(now, Outcome::Invalid, vec![why], out);
    }

    fn end(&mut self, now: Timestamp, outcome: Outcome, reasons: Vec<String>, out: &mut Vec<Effect>) {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Invalid => "invalid",
        };
        self.state = State::Ended;
        self.note(now, kind::ENDED, format!("the run has ended: {word}"), out);
        self.verdict = Some(Verdict { outcome, reasons, interrupted: self.interrupted });
        for name in self.members.keys() {
            out.push(Effect::Release(name.clone()));
        }
        out.push(Effect::Ended);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run's users are far below 2^52")]
fn share_of(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
