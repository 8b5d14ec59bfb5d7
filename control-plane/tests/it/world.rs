//! A simulated world around the core: agents, data plane, people, and a clock that jumps from event to event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use control_plane::core::{Core, Input, Output};
use control_plane::limits::Limits;
use control_plane::run::{
    AgentEvent, Event, Happening, Judgement, OnLoss, Order, Outcome, Plan, RunState, Verdict, kind,
};
use measure::Timestamp;
use proto::control::{AgentKind, Hello, Instance};

/// SplitMix64 (Steele, Lea, Flood 2014): enough for choosing faults.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// What goes wrong, and the sizes of things.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// 0: all is well.
    pub(crate) percent: u64,
    pub(crate) capacities: Vec<u64>,
    pub(crate) refuses: Vec<usize>,
    pub(crate) probes: u64,
    /// Start only when so many workers are joined.
    pub(crate) workers: u32,
    pub(crate) users: u64,
    pub(crate) runs: u64,
    /// Runs ask for few workers.
    pub(crate) side_by_side: bool,
    pub(crate) stop_at: Option<Duration>,
}

impl Faults {
    pub(crate) fn none(rng: &mut Rng) -> Self {
        let workers = 1 + rng.below(5);
        Self {
            percent: 0,
            capacities: (0..workers).map(|_| 1_000 + rng.below(100)).collect(),
            refuses: Vec::new(),
            probes: rng.below(3),
            workers: 0,
            users: 1 + rng.below(1_000),
            runs: 1 + rng.below(3),
            side_by_side: rng.chance(50),
            stop_at: None,
        }
    }

    pub(crate) fn any(rng: &mut Rng) -> Self {
        let percent = [2, 5, 10, 30, 60][usize::try_from(rng.below(5)).unwrap()];
        let stop_at = rng.chance(percent / 2).then(|| rng.ms(0, 60_000));
        Self { percent, stop_at, users: rng.below(4_000), ..Self::none(rng) }
    }
}

/// How one agent misbehaves.
#[derive(Clone, Debug, Default)]
struct Agent {
    kind: Option<AgentKind>,
    name: String,
    pid: u32,
    capacity: u64,
    version: String,
    link: Duration,
    joins: Duration,
    dies: Option<Duration>,
    breaks: Option<(Duration, Duration)>,
    /// Its link breaks without a word: to the control plane its stream looks alive, and what was on its way is lost.
    silently: bool,
    ready_after: Option<Duration>,
    refuses: bool,
    fails: bool,
    finishes_after: Option<Duration>,
    heeds_stop: bool,
    // What it is at.
    connection: Option<u64>,
    /// The run that it has, and whether it holds its shard and was not told the start.
    has: Option<(String, bool)>,
    dead: bool,
    /// Counts Prepare and Stop, so that what was planned before one of them is void after it.
    epoch: u32,
}

#[derive(Clone, Debug)]
enum Action {
    Tick,
    Join(usize),
    Heartbeat(usize),
    Die(usize),
    BreakOff(usize),
    Deliver(u64, String, Order),
    Report { agent: usize, connection: u64, run: String, event: AgentEvent, epoch: Option<u32> },
    DataPlane(String, Event),
    Live(String),
    Stop(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) verdict: Verdict,
    pub(crate) happenings: Vec<Happening>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Timestamp,
    pub(crate) stopped_at: Option<Timestamp>,
    pub(crate) state_when_stopped: Option<RunState>,
}

/// What was seen of one run.
#[derive(Default)]
struct Seen {
    turn: Option<Timestamp>,
    /// Shards that are handed out and not taken back: agent -> (index, count), and whether Ready came.
    shards: BTreeMap<usize, (u32, u32, bool)>,
    started: BTreeSet<usize>,
    stopped: BTreeSet<usize>,
    opened: Option<Timestamp>,
    last_open: Timestamp,
    closes: u32,
    closed: Option<Outcome>,
    ended: Option<Timestamp>,
    stop: Option<(Timestamp, RunState)>,
    shard_counts: Vec<u32>,
    /// Whose each user is, once the run has started.
    owners: BTreeMap<u64, usize>,
    /// Who said that it is done.
    finished: BTreeSet<usize>,
    duration: Duration,
}

pub(crate) struct World {
    now: Timestamp,
    rng: Rng,
    core: Core,
    limits: Limits,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    actions: BTreeMap<u64, Action>,
    next: u64,
    agents: Vec<Agent>,
    by_connection: BTreeMap<u64, usize>,
    seen: BTreeMap<String, Seen>,
    percent: u64,
    next_tick: Option<Timestamp>,
}

const HEARTBEAT: Duration = Duration::from_secs(1);

impl World {
    pub(crate) fn new(seed: u64, faults: &Faults) -> Self {
        let limits = Limits::default();
        let mut world = Self {
            now: Timestamp::from_nanos(1_000_000_000),
            rng: Rng::new(seed ^ 0xface),
            core: Core::new(limits, "clock".to_owned()),
            limits,
            queue: BinaryHeap::new(),
            actions: BTreeMap::new(),
            next: 0,
            agents: Vec::new(),
            by_connection: BTreeMap::new(),
            seen: BTreeMap::new(),
            percent: faults.percent,
            next_tick: None,
        };
        for (i, &capacity) in faults.capacities.iter().enumerate() {
            world.add_agent(AgentKind::Worker, capacity, faults.refuses.contains(&i));
        }
        for _ in 0..faults.probes {
            world.add_agent(AgentKind::Probe, 0, false);
        }
        for i in 0..faults.runs {
            let id = format!("run-{i}");
            let duration = world.rng.ms(1_000, 20_000);
            let on_worker_loss = match world.rng.chance(30) {
                true => OnLoss::Abort,
                false if world.rng.chance(30) => OnLoss::AtMost(0.6),
                false if world.rng.chance(50) => OnLoss::Redistribute,
                false => OnLoss::Continue,
            };
            // Some want all workers, some only a few, so that others fit beside them.
            let some = faults.capacities.len().min(2) as u64;
            let few = if faults.side_by_side { 1 + world.rng.below(some) } else { 0 };
            let workers = faults.workers.max(u32::try_from(few).unwrap());
            let users = if faults.side_by_side { faults.users.min(900) } else { faults.users };
            let plan = Plan { users, duration, on_worker_loss, workers, ..Plan::default() };
            world.core.submit(&id, plan).unwrap();
            world.seen.insert(id.clone(), Seen { duration, ..Seen::default() });
            if let Some(at) = faults.stop_at {
                world.after(at, Action::Stop(id));
            }
        }
        world
    }

    fn add_agent(&mut self, kind: AgentKind, capacity: u64, refuses: bool) {
        let p = self.percent;
        let i = self.agents.len();
        let rng = &mut self.rng;
        let same_name = rng.chance(30);
        let agent = Agent {
            kind: Some(kind),
            name: if same_name { "agent".to_owned() } else { format!("agent-{i}") },
            pid: u32::try_from(i).unwrap(),
            capacity,
            version: if rng.chance(p / 4) { "0.0.1".to_owned() } else { proto::VERSION.to_owned() },
            link: rng.ms(1, 40),
            joins: if rng.chance(p) { rng.ms(0, 90_000) } else { rng.ms(0, 500) },
            dies: rng.chance(p).then(|| rng.ms(0, 50_000)),
            breaks: rng.chance(p).then(|| (rng.ms(0, 30_000), rng.ms(0, 6_000))),
            silently: rng.chance(50),
            ready_after: (!rng.chance(p / 2)).then(|| rng.ms(1, 3_000)),
            refuses: refuses || rng.chance(p / 2),
            fails: rng.chance(p / 2),
            finishes_after: (!rng.chance(p / 2)).then(|| rng.ms(0, 5_000)),
            heeds_stop: !rng.chance(p / 2),
            ..Agent::default()
        };
        self.after(agent.joins, Action::Join(i));
        if let Some(at) = agent.dies {
            self.after(agent.joins + at, Action::Die(i));
        }
        if let Some((at, _)) = agent.breaks {
            self.after(agent.joins + at, Action::BreakOff(i));
        }
        self.agents.push(agent);
    }

    fn at(&mut self, at: Timestamp, action: Action) {
        self.actions.insert(self.next, action);
        self.queue.push(Reverse((at.max(self.now), self.next)));
        self.next += 1;
    }

    fn after(&mut self, delay: Duration, action: Action) {
        self.at(self.now + delay, action);
    }

    /// Runs until every run has ended; panics when they don't within the time that limits allow.
    pub(crate) fn run_to_end(&mut self) {
        self.input(Input::Tick);
        let runs = u32::try_from(self.seen.len()).unwrap();
        let horizon = self.now + runs * (self.limits.longest(Duration::from_secs(20)) + Duration::from_secs(1));
        while self.core.runs().any(|(_, r)| r.state() != RunState::Ended) {
            let Reverse((at, id)) = self.queue.pop().expect("a run that isn't over has a deadline");
            assert!(at <= horizon, "a run hangs: {:#?}", self.core.runs().collect::<Vec<_>>());
            self.now = at;
            let action = self.actions.remove(&id).unwrap();
            self.act(action);
        }
    }

    fn input(&mut self, input: Input) {
        let outputs = self.core.step(self.now, input);
        for output in outputs {
            self.output(output);
        }
        for (id, run) in self.core.runs() {
            let seen = self.seen.get_mut(id).unwrap();
            let has_turn = run.state() != RunState::Queued || run.waits_alone();
            seen.turn = seen.turn.or(has_turn.then_some(self.now));
        }
        let deadline = self.core.deadline();
        if let Some(at) = deadline
            && self.next_tick.is_none_or(|next| at < next || next <= self.now)
        {
            self.next_tick = Some(at);
            self.at(at, Action::Tick);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Tick => {
                self.next_tick = None;
                self.input(Input::Tick);
            }
            Action::Join(i) => self.join(i),
            Action::Heartbeat(i) => {
                if let Some(connection) = self.agents[i].connection.filter(|_| !self.agents[i].dead) {
                    self.after(HEARTBEAT, Action::Heartbeat(i));
                    self.input(Input::Report(connection, None));
                }
            }
            Action::Die(i) => {
                self.agents[i].dead = true;
                // A killed process closes its socket; a host that loses power says nothing.
                if self.rng.chance(50) {
                    self.hang_up(i);
                }
            }
            Action::BreakOff(i) => {
                if self.agents[i].silently {
                    self.agents[i].connection = None;
                } else {
                    self.hang_up(i);
                }
                let back = self.agents[i].breaks.unwrap().1;
                self.after(back, Action::Join(i));
            }
            Action::Deliver(connection, run, order) => self.deliver(connection, run, &order),
            Action::Report { agent, connection, run, event, epoch } => {
                let a = &mut self.agents[agent];
                if a.dead || epoch.is_some_and(|e| e != a.epoch) {
                    return;
                }
                if event == AgentEvent::Ready {
                    a.has = Some((run.clone(), true));
                }
                if a.connection != Some(connection) {
                    return;
                }
                self.saw_report(agent, &run, &event);
                self.input(Input::Report(connection, Some((run, event))));
            }
            Action::DataPlane(run, event) => {
                if event == Event::Opened {
                    let seen = self.seen.get_mut(&run).unwrap();
                    seen.opened = Some(seen.last_open);
                }
                if let Event::Closed(judgement) = &event {
                    self.seen.get_mut(&run).unwrap().closed = Some(judgement.outcome);
                }
                self.input(Input::Run(run, event));
            }
            Action::Live(run) => self.live(run),
            Action::Stop(run) => {
                let state = self.core.run(&run).unwrap().state();
                self.seen.get_mut(&run).unwrap().stop = Some((self.now, state));
                let reason = "stopped by its user".to_owned();
                self.input(Input::Run(run, Event::Stop { reason, interrupted: true, invalid: false, hurry: false }));
            }
        }
    }

    fn join(&mut self, i: usize) {
        if self.agents[i].dead || self.agents[i].connection.is_some() {
            return;
        }
        let connection = 1_000 + self.next;
        let a = &mut self.agents[i];
        a.connection = Some(connection);
        let hello = Hello {
            name: a.name.clone(),
            kind: a.kind.unwrap().into(),
            version: a.version.clone(),
            capacity: a.capacity,
            pid: a.pid,
            clock_id: "clock".to_owned(),
            instance: Some(Instance { secret: a.pid.to_be_bytes().to_vec().into() }),
            run: a.has.clone().map(|(run, _)| run).unwrap_or_default(),
            prepared: a.has.as_ref().is_some_and(|(_, prepared)| *prepared),
            ..Hello::default()
        };
        if hello.prepared {
            let run = hello.run.clone();
            self.saw_report(i, &run, &AgentEvent::Ready);
        }
        self.by_connection.insert(connection, i);
        self.input(Input::Join(connection, Box::new(hello)));
        self.after(HEARTBEAT, Action::Heartbeat(i));
    }

    fn hang_up(&mut self, i: usize) {
        if let Some(connection) = self.agents[i].connection.take() {
            self.input(Input::BrokeOff(connection));
        }
    }

    /// An order reaches its agent.
    fn deliver(&mut self, connection: u64, run: String, order: &Order) {
        let i = self.by_connection[&connection];
        let a = &mut self.agents[i];
        if a.dead || a.connection != Some(connection) {
            return;
        }
        let (link, is_probe) = (a.link, a.kind == Some(AgentKind::Probe));
        let mut report = None;
        match order {
            Order::Prepare { .. } => {
                a.epoch += 1;
                a.has = Some((run.clone(), false));
                let event = if a.refuses { AgentEvent::Refused("too small".to_owned()) } else { AgentEvent::Ready };
                report = a.ready_after.map(|d| (self.now + d, event, Some(a.epoch)));
            }
            Order::Start(at) => {
                assert_eq!(a.has.replace((run.clone(), false)), Some((run.clone(), true)), "it can start once");
                let error = a.fails.then(|| "out of files".to_owned());
                let end = *at + self.seen[&run].duration;
                let finishes = a.finishes_after.filter(|_| !is_probe);
                report = finishes.map(|d| (end + d, AgentEvent::Finished(error), Some(a.epoch)));
            }
            Order::Stop(_) if a.heeds_stop => {
                a.epoch += 1;
                a.has = None;
                report = Some((self.now + Duration::from_millis(20), AgentEvent::Finished(None), None));
            }
            Order::Adopt { index, count, .. } => {
                let (index, count) = (*index, *count);
                let error = self.rng.chance(self.percent / 4).then(|| "too few files".to_owned());
                let event = AgentEvent::Adopted { index, count, error };
                // Some answers get lost: then it is asked again.
                report = (!self.rng.chance(self.percent)).then(|| (self.now, event, Some(self.agents[i].epoch)));
            }
            Order::Stop(_) => {}
        }
        if let Some((at, event, epoch)) = report {
            self.at(at + link, Action::Report { agent: i, connection, run, event, epoch });
        }
    }

    fn live(&mut self, run: String) {
        if self.core.run(&run).is_none_or(|r| r.state() == RunState::Ended) {
            return;
        }
        let p = self.percent;
        let answer = if self.rng.chance(p / 2) {
            Err("connection refused".to_owned())
        } else {
            Ok(self.rng.chance(p / 10).then(|| "delivery: p(99) < 5ms failed".to_owned()))
        };
        self.after(HEARTBEAT, Action::Live(run.clone()));
        self.input(Input::Run(run, Event::Live(answer)));
    }
}

mod check;
