//! The whole control plane without I/O: the fleet, and the runs on it.
//!
//! Runs are under way side by side, each with agents of its own. Those that wait stand in one queue, and none overtakes:
//! else a large run would wait for as long as small ones come.

use std::collections::{BTreeMap, BTreeSet};

use measure::Timestamp;
use proto::control::Hello;

use crate::fleet::{Connection, Expired, Fleet};
use crate::limits::Limits;
use crate::run::{AgentEvent, Closing, Effect, Event, Happening, Has, Order, Plan, Position, Run, RunState, Saved};

/// Runs that may wait for their turn.
const QUEUE_MAX: usize = 64;
/// Ended runs that are remembered.
const ENDED_MAX: usize = 1_000;

/// Something from outside.
#[derive(Debug)]
pub enum Input {
    /// An agent dialled.
    Join(Connection, Box<Hello>),
    /// An agent said something; `None`: only that it lives.
    Report(Connection, Option<(String, AgentEvent)>),
    /// An agent's stream broke.
    BrokeOff(Connection),
    /// Something happened to a run.
    Run(String, Event),
    /// Time has passed.
    Tick,
}

/// Something to be done outside.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Tell the agent its name.
    Welcome(Connection, String),
    /// Send the agent away, with the reason.
    Reject(Connection, String),
    /// Tell the agent nothing more: it is lost. If it lives all the same, it finds out by that.
    Cut(Connection),
    /// Tell the agent to end: it was drained.
    Leave(Connection),
    /// Give an order that concerns a run.
    Order(Connection, String, Order),
    /// Ask the data plane to open a run.
    Open {
        /// Which.
        run: String,
        /// The start instant.
        start: Timestamp,
        /// Who will ship, and how many users each has.
        sources: Vec<(String, u64)>,
    },
    /// Ask the data plane to close a run.
    Close(String, Closing),
    /// A line of a run's story.
    Note(String, Happening),
    /// A run stands somewhere else now.
    State(String, RunState),
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    fleet: Fleet,
    names: BTreeMap<Connection, String>,
    runs: BTreeMap<String, Run>,
    /// Runs in the order of their submission.
    order: Vec<String>,
    stepped: Timestamp,
}

impl Core {
    /// An empty control plane. `clock_id` names its clock.
    pub fn new(limits: Limits, clock_id: String) -> Self {
        Self {
            limits,
            fleet: Fleet::new(limits.lease, clock_id),
            names: BTreeMap::new(),
            runs: BTreeMap::new(),
            order: Vec::new(),
            stepped: Timestamp::default(),
        }
    }

    /// Queues a run; `id` must be new.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn submit(&mut self, id: &str, plan: Plan) -> Result<(), String> {
        if self.queued().count() >= QUEUE_MAX {
            return Err(format!("{QUEUE_MAX} runs wait already, and no more may: cancel some, or come back later"));
        }
        let is_old = |id: &String| self.runs.get(id).is_some_and(|r| r.state() == RunState::Ended);
        if self.order.len() >= ENDED_MAX
            && let Some(i) = self.order.iter().position(is_old)
        {
            self.runs.remove(&self.order.remove(i));
        }
        self.runs.insert(id.to_owned(), Run::new(plan, self.limits));
        self.order.push(id.to_owned());
        Ok(())
    }

    /// An agent takes no new run, and leaves when it has none; the next step tells it. The run that it has.
    ///
    /// # Errors
    /// When there is no such agent.
    pub fn drain(&mut self, agent: &str) -> Result<Option<String>, String> {
        self.fleet.drain(agent)
    }

    /// Takes up a run that an earlier life kept. Its agents are waited for; [`Event::Resumed`] sets it going.
    pub fn restore(&mut self, now: Timestamp, id: &str, saved: Saved, happenings: Vec<Happening>) {
        let run = Run::restored(now, saved, happenings, self.limits);
        for member in run.members().values().filter(|m| !m.state.is_over()) {
            self.fleet.expect(now, &member.share.agent, id, self.limits.alone);
        }
        self.runs.insert(id.to_owned(), run);
        self.order.push(id.to_owned());
    }

    /// Takes what happened at `now`; answers what to do, in order.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.notice_own_absence(now);
        match input {
            Input::Join(connection, hello) => self.join(now, connection, *hello, &mut out),
            Input::Report(connection, report) => self.report(now, connection, report, &mut out),
            Input::BrokeOff(connection) => {
                if let Some(name) = self.names.remove(&connection) {
                    self.fleet.broke_off(&name, connection);
                }
            }
            Input::Run(id, event) => self.step_run(now, &id, event, &mut out),
            Input::Tick => {}
        }
        self.pass_time(now, &mut out);
        out
    }

    /// The next instant at which a [`Input::Tick`] is wanted, if nothing happens before.
    pub fn deadline(&self) -> Option<Timestamp> {
        let runs = self.runs.values().filter_map(Run::deadline);
        let look = self.fleet.deadline().map(|_| self.stepped + self.limits.lease / 3);
        self.fleet.deadline().into_iter().chain(runs).chain(look).min()
    }

    /// A control plane that was suspended (a laptop that slept, a host that stood still) wakes up with reports that wait
    /// to be read: nobody is lost by that.
    fn notice_own_absence(&mut self, now: Timestamp) {
        let absent = now.since(self.stepped);
        if self.stepped != Timestamp::default() && absent > self.limits.lease / 2 && self.fleet.deadline().is_some() {
            tracing::warn!("the control plane stood still for {:.1} s: leases are renewed", absent.as_secs_f64());
            self.fleet.pardon(now);
        }
        self.stepped = now;
    }

    fn join(&mut self, now: Timestamp, connection: Connection, hello: Hello, out: &mut Vec<Output>) {
        let (of, prepared) = (hello.run.clone(), hello.prepared);
        match self.fleet.join(now, hello, connection) {
            Ok(joined) => {
                // What it still says there has been said before it wrote its Hello, which is newer.
                if let Some(old) = joined.instead_of {
                    self.names.remove(&old);
                    out.push(Output::Cut(old));
                }
                self.names.insert(connection, joined.name.clone());
                out.push(Output::Welcome(connection, joined.name.clone()));
                let over = |run: &str| self.runs.get(run).is_none_or(|r| r.state() == RunState::Ended);
                // Of a run that has ended meanwhile, only its Stop still matters.
                let run = self.fleet.run_of(&joined.name).filter(|_| joined.returned).map(str::to_owned);
                // What waited is all that was not sent; without it, what was sent last may not have arrived.
                let run = run.filter(|run| joined.waiting.iter().all(|(of, _)| of != run));
                let waiting = joined.waiting.into_iter();
                let waiting = waiting.filter(|(run, order)| matches!(order, Order::Stop(_)) || !over(run));
                out.extend(waiting.map(|(run, order)| Output::Order(connection, run, order)));
                if let Some(run) = run {
                    let has = Has::of(of == run, prepared);
                    self.step_run(now, &run, Event::Returned { name: joined.name, has }, out);
                }
            }
            Err(why) => out.push(Output::Reject(connection, why)),
        }
    }

    fn report(
        &mut self,
        now: Timestamp,
        connection: Connection,
        report: Option<(String, AgentEvent)>,
        out: &mut Vec<Output>,
    ) {
        let Some(name) = self.names.get(&connection).cloned() else { return };
        if !self.fleet.hear(now, &name, connection) {
            return;
        }
        let Some((run, event)) = report else { return };
        if self.fleet.run_of(&name) == Some(run.as_str()) {
            self.step_run(now, &run, Event::Agent(name, event), out);
        } else if matches!(event, AgentEvent::Ready | AgentEvent::Progress(..)) {
            // It was lost, or the run is over, and it does not know.
            out.push(Output::Order(connection, run, Order::Stop("you are not part of this run (any more)".to_owned())));
        }
    }

    /// Runs that aren't over, in the order of their submission.
    fn alive(&self) -> impl Iterator<Item = &String> {
        self.order.iter().filter(|id| self.runs[*id].state() != RunState::Ended)
    }

    /// Runs that have no agents yet, in the order of their submission.
    fn queued(&self) -> impl Iterator<Item = &String> {
        self.order.iter().filter(|id| self.runs[*id].state() == RunState::Queued)
    }

    /// Runs that have agents, but for this one.
    fn beside(&self, id: &str) -> Vec<String> {
        let queued = |other: &&String| self.runs[*other].state() == RunState::Queued;
        self.alive().filter(|other| !queued(other) && *other != id).cloned().collect()
    }

    fn pass_time(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        for Expired { name, run, why, heard, connection } in self.fleet.expire(now) {
            self.names.retain(|_, n| *n != name);
            out.extend(connection.map(Output::Cut));
            if let Some(run) = run {
                self.step_run(now, &run, Event::Agent(name, AgentEvent::Lost { why, heard }), out);
            }
        }
        for id in self.alive().cloned().collect::<Vec<_>>() {
            self.step_run(now, &id, Event::Tick, out);
        }
        self.give_turns(now, out);
        out.extend(self.fleet.leaving().into_iter().map(Output::Leave));
    }

    /// Tells runs that wait where they stand. The first of them takes agents as soon as there are enough, and then the next
    /// is the first.
    fn give_turns(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut ahead = 0;
        loop {
            let next = self.queued().nth(ahead).cloned();
            let Some(id) = next else { return };
            let position = match ahead {
                0 if self.beside(&id).is_empty() => Position::Alone,
                0 => Position::First,
                _ => Position::Behind(ahead),
            };
            if self.runs[&id].is_news(position) {
                self.step_run(now, &id, Event::Queue(position), out);
            }
            if self.runs[&id].state() == RunState::Queued {
                ahead += 1;
            }
        }
    }

    fn step_run(&mut self, now: Timestamp, id: &str, event: Event, out: &mut Vec<Output>) {
        let Some(run) = self.runs.get_mut(id) else { return };
        // Who is free comes first, so that nobody is taken who is lost, or whom another run has taken meanwhile.
        if run.wants_agents(self.fleet.generation()) {
            run.know_idle(self.fleet.generation(), self.fleet.idle());
        }
        let before = run.state();
        let effects = run.step(now, event);
        let after = run.state();
        for effect in effects {
            self.apply(id, effect, out);
        }
        if before != after {
            out.push(Output::State(id.to_owned(), after));
        }
        if (before, after) == (RunState::Queued, RunState::Preparing) {
            self.tell_of_each_other(now, id, out);
        }
    }

    /// Two runs at once may measure each other: both stories say so, and name the hosts that are in both.
    fn tell_of_each_other(&mut self, now: Timestamp, id: &str, out: &mut Vec<Output>) {
        let ours = self.hosts_of(id);
        for other in self.beside(id) {
            let shared: Vec<String> = self.hosts_of(&other).intersection(&ours).cloned().collect();
            for (run, beside) in [(id, &other), (&other, &id.to_owned())] {
                let event = Event::Beside { run: beside.clone(), hosts: shared.clone() };
                self.step_run(now, run, event, out);
            }
        }
    }

    fn hosts_of(&self, id: &str) -> BTreeSet<String> {
        let of_run = self.fleet.agents().values().filter(|agent| agent.run.as_deref() == Some(id));
        of_run.map(|agent| agent.hello.host.clone()).filter(|host| !host.is_empty()).collect()
    }

    fn apply(&mut self, id: &str, effect: Effect, out: &mut Vec<Output>) {
        match effect {
            Effect::Order(name, order) => {
                if matches!(order, Order::Prepare { .. }) {
                    self.fleet.assign(&name, Some(id));
                }
                if let Some(connection) = self.fleet.route(&name, id, &order) {
                    out.push(Output::Order(connection, id.to_owned(), order));
                }
            }
            Effect::Open { start, sources } => out.push(Output::Open { run: id.to_owned(), start, sources }),
            Effect::Close(closing) => out.push(Output::Close(id.to_owned(), closing)),
            Effect::Note(happening) => out.push(Output::Note(id.to_owned(), happening)),
            Effect::Release(name) => {
                if self.fleet.run_of(&name) == Some(id) {
                    self.fleet.assign(&name, None);
                }
            }
            // The change of state says it.
            Effect::Ended => {}
        }
    }

    /// The fleet.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// A run.
    pub fn run(&self, id: &str) -> Option<&Run> {
        self.runs.get(id)
    }

    /// Runs in the order of their submission.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = (&String, &Run)> {
        self.order.iter().filter_map(|id| self.runs.get_key_value(id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::control::AgentKind;

    use super::*;
    use crate::run::Began;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn a_control_plane_that_slept_loses_nobody() {
        let mut core = Core::new(Limits { lease: Duration::from_secs(3), ..Limits::default() }, String::new());
        let kind = AgentKind::Worker.into();
        let hello = Hello { name: "w".to_owned(), kind, version: proto::VERSION.to_owned(), ..Hello::default() };
        core.step(at(0), Input::Join(1, Box::new(hello)));
        core.step(at(60_000), Input::Tick);
        assert_eq!(core.fleet().agents().len(), 1, "its reports wait to be read");
        // From now on it is listened to, and says nothing.
        let mut now = 60_000;
        while now < 63_000 {
            let next = core.deadline().unwrap().since(at(0)).as_millis();
            now = u64::try_from(next).unwrap();
            core.step(at(now), Input::Tick);
        }
        assert_eq!((now, core.fleet().agents().len()), (63_000, 0));
    }

    #[test]
    fn the_queue_is_bounded_and_says_so() {
        let mut core = Core::new(Limits::default(), String::new());
        for n in 0..QUEUE_MAX {
            core.submit(&format!("r{n}"), Plan::default()).unwrap();
        }
        let why = core.submit("more", Plan::default()).unwrap_err();
        assert_eq!(why, "64 runs wait already, and no more may: cancel some, or come back later");
        let stop = Event::Stop { reason: "cancelled".to_owned(), interrupted: true, invalid: false, hurry: false };
        core.step(at(0), Input::Run("r7".to_owned(), stop));
        core.submit("more", Plan::default()).unwrap();
    }

    fn join(core: &mut Core, ms: u64, connection: Connection, hello: Hello) -> Vec<Output> {
        let (kind, version, capacity) = (AgentKind::Worker.into(), proto::VERSION.to_owned(), 10);
        core.step(at(ms), Input::Join(connection, Box::new(Hello { kind, version, capacity, ..hello })))
    }

    /// A control plane whose run of ten seconds, by the workers `a` and `b`, has been told to start.
    fn under_way() -> Core {
        let mut core = Core::new(Limits::default(), String::new());
        for (connection, name) in [(1, "a"), (2, "b")] {
            join(&mut core, 0, connection, Hello { name: name.to_owned(), ..Hello::default() });
        }
        let duration = Duration::from_secs(10);
        core.submit("r", Plan { users: 20, duration, workers: 2, ..Plan::default() }).unwrap();
        core.step(at(1), Input::Tick);
        for connection in [1, 2] {
            core.step(at(2), Input::Report(connection, Some(("r".to_owned(), AgentEvent::Ready))));
        }
        let out = core.step(at(3), Input::Run("r".to_owned(), Event::Opened));
        assert_eq!(out.iter().filter(|o| matches!(o, Output::Order(_, _, Order::Start(_)))).count(), 2);
        core
    }

    #[test]
    fn how_far_apart_the_workers_began_is_told_once() {
        let mut core = under_way();
        let start = core.run("r").unwrap().start().unwrap();
        for (connection, ms) in [(1, 2), (2, 5), (1, 2), (2, 5)] {
            let began = Began { at: start + Duration::from_millis(ms), bound: 300_000 };
            let progress = AgentEvent::Progress(3, Some(began));
            core.step(at(1_000), Input::Report(connection, Some(("r".to_owned(), progress))));
        }
        let told = core.run("r").unwrap().happenings().iter().filter(|h| h.kind == "start_skew");
        let told: Vec<_> = told.map(|h| h.text.as_str()).collect();
        let text = "all 2 workers began within 3.00 ms (± 0.60 ms by their clocks), the last 5.00 ms after the start";
        assert_eq!(told, [text]);
    }

    /// The next life of a control plane, one second later.
    fn reborn(old: &Core) -> Core {
        let saved = serde_json::to_string(&old.run("r").unwrap().saved().unwrap()).unwrap();
        let mut core = Core::new(Limits::default(), String::new());
        core.restore(at(1_000), "r", serde_json::from_str(&saved).unwrap(), Vec::new());
        core.step(at(1_000), Input::Run("r".to_owned(), Event::Resumed));
        core
    }

    fn back(name: &str, prepared: bool) -> Hello {
        Hello { name: "x".to_owned(), agent: name.to_owned(), run: "r".to_owned(), prepared, ..Hello::default() }
    }

    #[test]
    fn the_next_life_takes_its_workers_back_and_ends_the_run() {
        let old = under_way();
        let start = old.run("r").unwrap().start().unwrap();
        let mut core = reborn(&old);
        assert_eq!(core.run("r").unwrap().start(), Some(start));
        // Nobody may take the place of one that is waited for.
        join(&mut core, 1_500, 9, Hello { name: "a".to_owned(), ..Hello::default() });
        assert!(join(&mut core, 2_000, 1, back("a", false)).contains(&Output::Welcome(1, "a".to_owned())));
        // This one was killed before it could be told.
        let out = join(&mut core, 2_000, 2, back("b", true));
        assert!(out.contains(&Output::Order(2, "r".to_owned(), Order::Start(start))), "{out:?}");
        let mut closed = Vec::new();
        for connection in [1, 2] {
            core.step(at(4_000), Input::Report(connection, None));
            core.step(at(6_000), Input::Report(connection, None));
        }
        for connection in [1, 2] {
            core.step(at(8_500), Input::Report(connection, None));
        }
        for connection in [1, 2] {
            let finished = Some(("r".to_owned(), AgentEvent::Finished(None)));
            closed = core.step(at(10_400), Input::Report(connection, finished));
        }
        let is_close = |o: &Output| matches!(o, Output::Close(_, c) if c.invalid.is_empty() && c.lost.is_empty());
        assert!(closed.iter().any(is_close), "{closed:?}");
    }

    #[test]
    fn who_does_not_come_back_is_lost_when_its_load_has_ended_by_itself() {
        let mut core = reborn(&under_way());
        let mut now = 1_000;
        join(&mut core, now, 1, back("a", false));
        while now < 16_000 {
            core.step(at(now), Input::Report(1, None));
            assert!(core.run("r").unwrap().happenings().iter().all(|h| h.kind != "worker_lost"), "{now}");
            now += 1_000;
        }
        core.step(at(now), Input::Tick);
        let lost = core.run("r").unwrap().happenings().iter().find(|h| h.kind == "worker_lost").unwrap().text.clone();
        assert!(lost.contains("b is lost: it did not come back within 15.0 s"), "{lost}");
    }
}
