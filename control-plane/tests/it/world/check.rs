//! What must hold in the simulated world.

use control_plane::run::OnLoss;

use super::*;

impl World {
    /// Looks at what the core wants done, checks that it may, and plans what comes of it.
    pub(super) fn output(&mut self, output: Output) {
        match output {
            Output::Welcome(connection, _) => {
                let i = self.by_connection[&connection];
                assert_eq!(self.agents[i].version, proto::VERSION, "a liar was let in");
            }
            Output::Reject(connection, why) => {
                let i = self.by_connection[&connection];
                let version = &self.agents[i].version;
                assert!(why.contains(version.as_str()) && why.contains(proto::VERSION), "names both versions: {why}");
                self.agents[i].connection = None;
            }
            Output::Cut(connection) => {
                // It hears nothing more, and dials again if it lives.
                let i = self.by_connection[&connection];
                if self.agents[i].connection.take_if(|its| *its == connection).is_some() {
                    self.after(HEARTBEAT, Action::Join(i));
                }
            }
            Output::Leave(connection) => panic!("nobody was drained: {connection}"),
            Output::Order(connection, run, order) => {
                let i = self.by_connection[&connection];
                self.check_order(i, &run, &order);
                self.after(self.agents[i].link, Action::Deliver(connection, run, order));
            }
            Output::Open { run, start, .. } => self.open(run, start),
            Output::Close(run, closing) => {
                let seen = self.seen.get_mut(&run).unwrap();
                seen.closes += 1;
                assert_eq!(seen.closes, 1, "closed twice");
                let p = self.percent;
                if self.rng.chance(p / 3) {
                    return;
                }
                let outcome = match self.rng.chance(p / 2) {
                    _ if !closing.invalid.is_empty() => Outcome::Invalid,
                    true => Outcome::Failed,
                    false => Outcome::Passed,
                };
                let judgement =
                    Judgement { outcome, reasons: closing.invalid, dir: String::new(), report_path: String::new() };
                let event = match self.rng.chance(p / 3) {
                    true => Event::CloseFailed("disk full".to_owned()),
                    false => Event::Closed(judgement),
                };
                let delay = self.rng.ms(1, 2_000);
                self.after(delay, Action::DataPlane(run, event));
            }
            Output::Note(run, happening) => {
                let seen = self.seen.get_mut(&run).unwrap();
                assert!(seen.ended.is_none(), "a note after the end: {happening:?}");
                if happening.kind == kind::PREPARING {
                    // A new round: what was handed out before is void. Who was cut off is told so when it is back.
                    seen.shards.clear();
                }
            }
            Output::State(run, state) => {
                let now = self.now;
                let seen = self.seen.get_mut(&run).unwrap();
                assert!(seen.ended.is_none(), "a state after the end: {state:?}");
                if state == RunState::Ended {
                    seen.ended = Some(now);
                }
            }
        }
    }

    fn check_order(&mut self, agent: usize, run: &str, order: &Order) {
        let (now, agents) = (self.now, &self.agents);
        let is_worker = |i: &usize| agents[*i].kind == Some(AgentKind::Worker);
        let still = |i: &usize| {
            let pid = u32::try_from(*i).unwrap();
            self.core.fleet().agents().values().any(|a| a.hello.pid == pid && a.run.as_deref() == Some(run))
        };
        if matches!(order, Order::Prepare { .. }) {
            let pid = u32::try_from(agent).unwrap();
            let holds = |(other, seen): (&String, &Seen)| {
                let has = seen.shards.contains_key(&agent) && !seen.stopped.contains(&agent) && seen.ended.is_none();
                let fleet = self.core.fleet().agents();
                let its = fleet.values().any(|a| a.hello.pid == pid && a.run.as_deref() == Some(other));
                other != run && has && its
            };
            assert!(!self.seen.iter().any(holds), "an agent of two runs");
        }
        if let Order::Adopt { index, count, .. } = order {
            return self.check_adopt(agent, run, (*index, *count));
        }
        let seen = self.seen.get_mut(run).unwrap();
        match order {
            Order::Prepare { index, count, .. } => {
                assert!(seen.started.is_empty(), "Prepare after the start");
                assert!(seen.ended.is_none(), "Prepare after the end");
                if is_worker(&agent) && seen.shard_counts.last() != Some(count) {
                    seen.shard_counts.push(*count);
                }
                seen.shards.retain(|c, _| still(c));
                let twice = seen
                    .shards
                    .iter()
                    .any(|(c, (i, n, _))| is_worker(c) == is_worker(&agent) && (i, n) == (index, count) && *c != agent);
                assert!(!twice, "shard {index}/{count} is handed out twice");
                seen.stopped.remove(&agent);
                seen.shards.insert(agent, (*index, *count, false));
            }
            Order::Start(at) => {
                // Agents that were lost took their shards with them.
                seen.shards.retain(|c, _| still(c));
                assert!(seen.shards.contains_key(&agent), "Start without a shard");
                assert!(!seen.stopped.contains(&agent), "Start after Stop");
                assert!(seen.shards.values().all(|s| s.2), "Start before all are ready: {:?}", seen.shards);
                assert_eq!(seen.opened, Some(*at), "the start is the one that the data plane knows");
                if seen.started.is_empty() {
                    // Whoever was cut off hears of it when it is back.
                    assert!(*at > now || agents[agent].breaks.is_some(), "a start in the past");
                }
                // What was lost when a stream broke is said again.
                assert!(seen.started.insert(agent) || agents[agent].breaks.is_some(), "Start twice");
                let mut indices: Vec<_> =
                    seen.shards.iter().filter(|(c, _)| is_worker(c)).map(|(_, s)| (s.0, s.1)).collect();
                indices.sort_unstable();
                let n = indices.len() as u32;
                assert!(indices.windows(2).all(|two| two[0] != two[1]), "one shard, two workers");
                // A worker that is lost between Ready and Start takes its shard along; the verdict says so.
                let lost = |h: &Happening| h.kind == kind::WORKER_LOST && !h.text.contains("before the start");
                let may_miss = self.core.run(run).unwrap().happenings().iter().any(lost);
                assert!(indices.iter().all(|s| s.0 < s.1 && (s.1 == n || may_miss)), "{indices:?}");
            }
            Order::Adopt { .. } => {}
            Order::Stop(_) => {
                seen.stopped.insert(agent);
                if seen.started.is_empty() {
                    seen.shards.remove(&agent);
                }
            }
        }
    }

    fn open(&mut self, run: String, start: Timestamp) {
        assert!(start > self.now);
        let seen = self.seen.get_mut(&run).unwrap();
        if seen.last_open != Timestamp::default() {
            let between = start.since(seen.last_open).as_nanos();
            assert!(between.is_multiple_of(1_000_000_000), "the run's seconds stay the same ones: {between}");
        }
        seen.last_open = start;
        let p = self.percent;
        let delay = self.rng.ms(1, if self.rng.0.is_multiple_of(4) { 2_000 } else { 100 });
        let refused = self.rng.chance(p / 6);
        let event = match self.rng.chance(p) {
            true => Event::OpenFailed { reason: "connection refused".to_owned(), refused },
            false => Event::Opened,
        };
        if event == Event::Opened {
            self.after(HEARTBEAT, Action::Live(run.clone()));
        }
        self.after(delay, Action::DataPlane(run, event));
    }

    pub(super) fn saw_report(&mut self, agent: usize, run: &str, event: &AgentEvent) {
        let users = self.core.run(run).unwrap().plan().users;
        let is_worker = self.agents[agent].kind == Some(AgentKind::Worker);
        let seen = self.seen.get_mut(run).unwrap();
        match event {
            AgentEvent::Ready => {
                if let Some((index, count, is_ready)) = seen.shards.get_mut(&agent) {
                    *is_ready = true;
                    if is_worker {
                        seen.owners.extend(users_of(users, (*index, *count)).map(|user| (user, agent)));
                    }
                }
            }
            AgentEvent::Refused(_) => {
                seen.shards.remove(&agent);
            }
            AgentEvent::Finished(_) => {
                seen.finished.insert(agent);
            }
            AgentEvent::Adopted { index, count, error: None } => {
                self.check_adopt(agent, run, (*index, *count));
                let owners = users_of(users, (*index, *count)).map(|user| (user, agent));
                self.seen.get_mut(run).unwrap().owners.extend(owners);
            }
            _ => {}
        }
    }

    /// Nobody takes users over that somebody has.
    fn check_adopt(&self, agent: usize, run: &str, shard: (u32, u32)) {
        let (plan, seen) = (self.core.run(run).unwrap().plan(), &self.seen[run]);
        assert!(matches!(plan.on_worker_loss, OnLoss::Redistribute), "Adopt in another run");
        assert!(seen.started.contains(&agent) && seen.ended.is_none(), "Adopt outside of the run");
        for user in users_of(plan.users, shard) {
            let owner =
                seen.owners.get(&user).copied().filter(|owner| *owner != agent && !seen.finished.contains(owner));
            let pid = owner.map(|owner| u32::try_from(owner).unwrap());
            let fleet = self.core.fleet().agents();
            let has = fleet.values().any(|a| Some(a.hello.pid) == pid && a.run.as_deref() == Some(run));
            assert!(!has, "user {user} is agent {owner:?}'s, and goes to {agent}");
        }
    }

    /// A run with losses that passed has all its users with workers that were there to its end.
    fn check_owners(&self, id: &str) {
        let (run, seen) = (self.core.run(id).unwrap(), &self.seen[id]);
        let complete = |user| seen.owners.get(&user).is_some_and(|owner| seen.finished.contains(owner));
        assert!((0..run.plan().users).all(complete), "{:?} {:#?}", seen.owners, run.happenings());
    }

    /// Checks the ends.
    pub(crate) fn check(&self) {
        for (id, seen) in &self.seen {
            let run = self.core.run(id).unwrap();
            let verdict = run.verdict().expect("an ended run has a verdict");
            let took = seen.ended.unwrap().since(seen.turn.expect("it had its turn"));
            assert!(took <= self.limits.longest(seen.duration), "took {took:?}: {:#?}", run.happenings());
            assert_eq!(run.happenings().last().unwrap().kind, kind::ENDED);
            if verdict.outcome == Outcome::Passed {
                assert_eq!(seen.closed, Some(Outcome::Passed));
                assert!(run.start().is_some(), "passed without a start");
                let lost = run.happenings().iter().any(|h| [kind::WORKER_LOST, kind::AGENT_FAILED].contains(&h.kind));
                let before_start = |h: &Happening| h.kind == kind::WORKER_LOST && h.text.contains("before the start");
                let allowed = matches!(run.plan().on_worker_loss, OnLoss::AtMost(_) | OnLoss::Redistribute);
                if matches!(run.plan().on_worker_loss, OnLoss::Redistribute) {
                    self.check_owners(id);
                }
                assert!(!lost || allowed || run.happenings().iter().any(before_start), "{:#?}", run.happenings());
            } else if verdict.outcome == Outcome::Invalid {
                assert!(!verdict.reasons.is_empty(), "invalid without a reason: {:#?}", run.happenings());
            }
            // Nobody keeps a run that is over.
            assert!(self.core.fleet().agents().values().all(|a| a.run.as_deref() != Some(id)), "{id} keeps an agent");
        }
    }

    pub(crate) fn ended(&self) -> Vec<Ended> {
        let ended = |(id, seen): (&String, &Seen)| {
            let run = self.core.run(id).unwrap();
            Ended {
                verdict: run.verdict().unwrap().clone(),
                happenings: run.happenings().to_vec(),
                started_at: run.start(),
                ended_at: seen.ended.unwrap(),
                stopped_at: seen.stop.map(|s| s.0),
                state_when_stopped: seen.stop.map(|s| s.1),
            }
        };
        self.seen.iter().map(ended).collect()
    }

    /// Over how many workers shards were handed out, attempt by attempt.
    pub(crate) fn shard_counts(&self) -> Vec<u32> {
        self.seen.values().flat_map(|s| s.shard_counts.clone()).collect()
    }
}

/// The users of a shard.
fn users_of(users: u64, (index, count): (u32, u32)) -> impl Iterator<Item = u64> {
    (u64::from(index)..users).step_by(count as usize)
}
