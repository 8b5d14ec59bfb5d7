//! From the queue to the start: agents are picked, hold their shards, and the data plane opens the run.

use std::time::Duration;

use measure::Timestamp;

use super::plan::plural;
use super::{
    AgentEvent, Candidate, Effect, Kind, Member, MemberState, OnLoss, Opening, Order, Position, Run, Share, State,
    Turn, choose, kind,
};
use crate::limits::Limits;

/// The start must lie so far ahead when agents are told.
const LEAD_MIN: Duration = Duration::from_millis(50);
/// Between two attempts to reach the data plane.
const OPEN_AGAIN: Duration = Duration::from_millis(250);
/// Agents that are just starting join within this; if not, people are told what the run waits for.
const TELL_AFTER: Duration = Duration::from_secs(3);

impl Run {
    /// Whether the run doesn't know yet that it stands there in the queue.
    pub(crate) fn is_news(&self, position: Position) -> bool {
        let State::Queued { turn, told } = self.state else { return false };
        match position {
            Position::Behind(_) => turn == Turn::Behind && !told,
            Position::First => turn == Turn::Behind,
            Position::Alone => !matches!(turn, Turn::Alone(_)),
        }
    }

    /// Whether the run may take agents, and what it knows of those that are free is older than this.
    pub(crate) fn wants_agents(&self, generation: u64) -> bool {
        let takes = matches!(self.state, State::Queued { .. } | State::Preparing { .. } | State::Recalling { .. });
        takes && self.spare_of != Some(generation)
    }

    /// These agents are free.
    pub(crate) fn know_idle(&mut self, generation: u64, idle: Vec<Candidate>) {
        (self.spare, self.spare_of, self.fresh) = (idle, Some(generation), true);
    }

    pub(super) fn take_turn(&mut self, now: Timestamp, position: Position, out: &mut Vec<Effect>) {
        if !self.is_news(position) {
            return;
        }
        let turn = match position {
            Position::Behind(ahead) => {
                self.state = State::Queued { turn: Turn::Behind, told: true };
                let ahead = plural(u32::try_from(ahead).unwrap_or(u32::MAX), "run");
                return self.note(now, kind::WAITING, format!("waits for its turn, behind {ahead}"), out);
            }
            Position::First => Turn::First,
            Position::Alone => Turn::Alone(now + self.limits.queue),
        };
        self.state = State::Queued { turn, told: false };
        // Behind others it may take long, so that people are told at once.
        let patience = if turn == Turn::First { Duration::ZERO } else { TELL_AFTER.min(self.limits.queue / 2) };
        self.tell_at = now + patience;
        self.try_plan(now, out);
    }

    /// Hands shards out if there are enough agents.
    pub(super) fn try_plan(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if let Ok(shares) = choose(&self.plan, &self.spare) {
            self.prepare_until = now + 3 * self.limits.prepare;
            self.hand_out(now, shares, out);
        }
    }

    /// Says what the run waits for, once.
    pub(super) fn tell_waiting(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if let (State::Queued { told, .. }, Err(missing)) = (&mut self.state, choose(&self.plan, &self.spare)) {
            *told = true;
            let beside = match self.state {
                State::Queued { turn: Turn::First, .. } => " (agents of other runs are not counted: they will be free)",
                _ => "",
            };
            self.note(now, kind::WAITING, format!("still waiting: {missing}{beside}"), out);
        }
    }

    pub(super) fn tell_beside(&mut self, now: Timestamp, run: &str, hosts: &[String], out: &mut Vec<Effect>) {
        let hosts = match hosts {
            [] => String::new(),
            hosts => format!("; both have agents on {}, and may measure each other", hosts.join(", ")),
        };
        self.note(
            now,
            kind::BESIDE,
            format!("the run `{run}` is under way at the same time, with other agents{hosts}"),
            out,
        );
    }

    /// Nobody came: ends with the arithmetic.
    pub(super) fn queue_is_over(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let missing = choose(&self.plan, &self.spare).err().unwrap_or_default();
        let text = format!("{missing} (waited {} s)", self.limits.queue.as_secs());
        self.give_up(now, kind::NOT_ENOUGH_AGENTS, text, out);
    }

    fn hand_out(&mut self, now: Timestamp, shares: Vec<Share>, out: &mut Vec<Effect>) {
        self.members.clear();
        self.spare.retain(|c| !shares.iter().any(|s| s.agent.name == c.name));
        let count = |kind| shares.iter().filter(|s| s.agent.kind == kind).map(|_| 1_u32).sum();
        let text = format!(
            "{} users are shared out over {}; {}",
            measure::grouped(self.plan.users),
            plural(count(Kind::Worker), "worker"),
            plural(count(Kind::Probe), "probe")
        );
        self.note(now, kind::PREPARING, text, out);
        for share in shares {
            self.hand_to(share, out);
        }
        self.state = State::Preparing { until: self.prepare_until.min(now + self.limits.prepare) };
    }

    pub(super) fn hand_to(&mut self, share: Share, out: &mut Vec<Effect>) {
        let name = share.agent.name.clone();
        let alone = self.plan.on_worker_loss == OnLoss::Redistribute && share.agent.kind == Kind::Worker;
        let alone = alone.then_some(self.limits.alone_redistributed);
        out.push(Effect::Order(name.clone(), Order::Prepare { index: share.index, count: share.count, alone }));
        self.members.insert(name, Member { share, state: MemberState::Preparing, connected: 0, began: None });
    }

    /// A member refused, ended or was lost before the start.
    pub(super) fn left_early(&mut self, now: Timestamp, name: &str, event: AgentEvent, out: &mut Vec<Effect>) {
        let recalling = matches!(self.state, State::Recalling { .. });
        match event {
            AgentEvent::Ready | AgentEvent::Progress(..) | AgentEvent::Adopted { .. } => return,
            AgentEvent::Finished(None) if recalling => {
                if let Some(member) = self.members.get_mut(name) {
                    member.state = MemberState::Finished;
                }
            }
            AgentEvent::Finished(error) => {
                let why = error.unwrap_or_else(|| "ended before the start".to_owned());
                self.exclude(now, name, kind::REFUSED, format!("{name} can't take its shard: {why}"), out);
            }
            AgentEvent::Refused(why) => {
                self.exclude(now, name, kind::REFUSED, format!("{name} refused its shard: {why}"), out);
            }
            AgentEvent::Lost { why, .. } => {
                let kind = self.loss_kind(name);
                self.exclude(now, name, kind, format!("{name} is lost before the start: {why}"), out);
            }
        }
        if recalling && self.members.values().all(|m| m.state.is_over()) {
            self.hand_out_again(now, out);
        }
    }

    /// Preparing took too long: those that said nothing are not asked again.
    pub(super) fn exclude_silent(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let is_silent = |m: &Member| m.state == MemberState::Preparing;
        let silent: Vec<String> = self.members.iter().filter(|(_, m)| is_silent(m)).map(|(n, _)| n.clone()).collect();
        for name in silent {
            out.push(Effect::Order(name.clone(), Order::Stop("its answer to Prepare came too late".to_owned())));
            let text = format!("{name} did not get ready within {} s", self.limits.prepare.as_secs());
            self.exclude(now, &name, kind::REFUSED, text, out);
        }
    }

    /// Takes a member out; its shard goes to a free agent, or all shards are taken back and handed out anew.
    fn exclude(&mut self, now: Timestamp, name: &str, kind: &'static str, text: String, out: &mut Vec<Effect>) {
        let Some(member) = self.members.remove(name) else { return };
        self.note(now, kind, text.clone(), out);
        self.excluded.insert(name.to_owned(), text);
        out.push(Effect::Release(name.to_owned()));
        if !matches!(self.state, State::Preparing { .. }) {
            return;
        }
        if now < self.prepare_until
            && let Some(agent) = self.spare_for(&member.share)
        {
            self.hand_to(Share { agent, ..member.share }, out);
            self.state = State::Preparing { until: self.prepare_until.min(now + self.limits.prepare) };
            return;
        }
        for (name, member) in &mut self.members {
            out.push(Effect::Order(name.clone(), Order::Stop("shards are handed out anew".to_owned())));
            member.state = MemberState::Preparing;
        }
        self.state = State::Recalling { until: now + self.limits.recall };
        if self.members.is_empty() {
            self.hand_out_again(now, out);
        }
    }

    fn spare_for(&mut self, share: &Share) -> Option<Candidate> {
        let fits = |c: &Candidate| {
            c.kind == share.agent.kind && c.capacity >= share.users && !self.excluded.contains_key(&c.name)
        };
        let i = self.spare.iter().position(fits)?;
        Some(self.spare.remove(i))
    }

    /// All shards are back, or were waited for long enough: plans with who is left.
    pub(super) fn hand_out_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let mut left: Vec<Candidate> = std::mem::take(&mut self.members).into_values().map(|m| m.share.agent).collect();
        let fresh = self.spare.iter().filter(|c| !self.excluded.contains_key(&c.name));
        left.extend(fresh.cloned());
        let over = now >= self.prepare_until;
        // So many workers had joined; that some of them can't take part must not keep the rest waiting.
        let workers = left.iter().filter(|c| c.kind == Kind::Worker).map(|_| 1_u32).sum::<u32>();
        let plan = super::Plan { workers: self.plan.workers.min(workers), ..self.plan.clone() };
        match choose(&plan, &left) {
            Ok(shares) if !over => {
                for agent in left.iter().filter(|c| !shares.iter().any(|s| s.agent.name == c.name)) {
                    out.push(Effect::Release(agent.name.clone()));
                }
                self.hand_out(now, shares, out);
            }
            short => {
                let mut reasons: Vec<String> = self.excluded.values().cloned().collect();
                // Where all workers were excluded, that none is left is no news.
                let workers_left = left.iter().any(|c| c.kind == Kind::Worker);
                reasons.extend(short.err().filter(|_| reasons.is_empty() || workers_left));
                for agent in left {
                    out.push(Effect::Release(agent.name));
                }
                self.give_up(now, kind::NOT_ENOUGH_AGENTS, reasons.join("; "), out);
            }
        }
    }

    pub(super) fn open_when_ready(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.members.values().any(|m| m.state != MemberState::Ready) {
            return;
        }
        if self.members.values().any(|m| !m.share.agent.same_clock) {
            self.margin = self.limits.start_margin_remote;
        }
        let until = now + self.limits.open;
        self.state = State::Opening { until, start: now, step: Opening::Again(now) };
        self.ask_to_open(now, out);
    }

    /// Each attempt proposes a start of its own, since the one before may have passed meanwhile. It lies whole seconds
    /// after the first, so that the run's seconds are the same to a data plane that took the first.
    pub(super) fn ask_to_open(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let State::Opening { until, .. } = self.state else { return };
        let mut start = now + self.margin;
        if let Some(before) = self.asked_start {
            let seconds = start.since(before).as_nanos().div_ceil(1_000_000_000);
            start = before + Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
        }
        self.state = State::Opening { until, start, step: Opening::Asked };
        self.asked_start = Some(start);
        let sources = self.members.iter().map(|(name, m)| (name.clone(), m.share.users)).collect();
        out.push(Effect::Open { start, sources });
    }

    pub(super) fn opened(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let State::Opening { start, step: Opening::Asked, .. } = self.state else { return };
        if now + LEAD_MIN > start {
            self.margin = (2 * self.margin).min(Limits::START_MARGIN_MAX);
            self.ask_to_open(now, out);
            return;
        }
        self.start = Some(start);
        self.state = State::Running;
        let lead = start.since(now).as_millis();
        self.note(start, kind::STARTED, format!("the run starts (told {lead} ms ahead)"), out);
        for (name, member) in self.members.iter_mut().filter(|(_, m)| m.state == MemberState::Ready) {
            member.state = MemberState::Running;
            out.push(Effect::Order(name.clone(), Order::Start(start)));
        }
    }

    /// Says how far apart the workers began, as soon as all of them have, once.
    pub(super) fn tell_start_skew(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(start) = self.start.filter(|_| self.state == State::Running) else { return };
        if self.happenings.iter().any(|h| h.kind == kind::START_SKEW) {
            return;
        }
        let workers = self.of_kind(Kind::Worker).filter(|(_, m)| !m.state.is_over());
        let Some(began) = workers.map(|(_, m)| m.began).collect::<Option<Vec<_>>>() else { return };
        let at = || began.iter().map(|b| b.at);
        let (Some(first), Some(last)) = (at().min(), at().max()) else { return };
        // The two that know their clocks worst may be the first and the last.
        let mut bounds: Vec<u64> = began.iter().map(|b| b.bound).collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        let ms = |d: Duration| format!("{:.2} ms", d.as_secs_f64() * 1e3);
        let after = ms(last.since(start));
        let text = if let [_] = began[..] {
            format!("the worker began {after} after the start")
        } else {
            format!(
                "all {} began within {} (± {} by their clocks), the last {after} after the start",
                plural(u32::try_from(began.len()).unwrap_or(u32::MAX), "worker"),
                ms(last.since(first)),
                ms(Duration::from_nanos(bounds.iter().take(2).sum())),
            )
        };
        self.note(now, kind::START_SKEW, text, out);
    }

    pub(super) fn open_failed(&mut self, now: Timestamp, reason: String, refused: bool, out: &mut Vec<Effect>) {
        let State::Opening { until, start, step: Opening::Asked } = self.state else { return };
        if refused {
            let text = format!("the data plane would not open the run: {reason}");
            self.give_up(now, kind::DATA_PLANE_REFUSED, text, out);
            return;
        }
        self.last_open_error = reason;
        self.state = State::Opening { until, start, step: Opening::Again(now + OPEN_AGAIN) };
    }

    pub(super) fn data_plane_unreachable(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let why = if self.last_open_error.is_empty() { "it does not answer" } else { &self.last_open_error };
        let seconds = self.limits.open.as_secs();
        let text = format!("the data plane could not be reached for {seconds} s, so the run did not start: {why}");
        self.give_up(now, kind::DATA_PLANE_UNREACHABLE, text, out);
    }
}
