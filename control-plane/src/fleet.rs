//! The agents that are joined: names, leases, who is free. Without I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use measure::Timestamp;
use proto::control::{AgentKind, Hello};

use crate::run::{Candidate, Kind, Order};

/// Agents that may be joined at once.
const AGENTS_MAX: usize = 4_096;
/// Bytes of an agent's name.
const NAME_BYTES_MAX: usize = 64;
/// Orders that wait for an agent whose stream is broken.
const WAITING_MAX: usize = 16;

/// Names one stream of an agent; a stream that an agent opens after a break has another.
pub type Connection = u64;

/// An agent that is joined.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What it said of itself.
    pub hello: Hello,
    /// Load or probe.
    pub kind: Kind,
    /// When it was heard last.
    pub heard: Timestamp,
    /// The run that it takes part in.
    pub run: Option<String>,
    /// Its stream; `None` while it is broken and the lease runs on.
    pub connection: Option<Connection>,
    /// It takes no new run, and is told to leave when it has none.
    pub draining: bool,
    /// The stream on which it was told.
    told_to_leave: Option<Connection>,
    /// How many joined before it.
    joined: u64,
    /// Orders given while its stream is broken.
    waiting: Vec<(String, Order)>,
    /// Known from an earlier life of the control plane only, and waited for this long.
    expected: Option<Duration>,
}

/// All agents.
#[derive(Debug)]
pub struct Fleet {
    agents: BTreeMap<String, Agent>,
    joined: u64,
    /// Grows whenever it may have changed who is free.
    generation: u64,
    lease: Duration,
    clock_id: String,
    /// Whether anybody was ever drained.
    drains: bool,
}

/// An agent was taken in.
#[derive(Debug, PartialEq)]
pub struct Joined {
    /// The name that it has from now on.
    pub name: String,
    /// Orders that waited for it, each with its run: it had broken off for less than a lease.
    pub waiting: Vec<(String, Order)>,
    /// It was here before, or in an earlier life of the control plane: it may have missed something.
    pub returned: bool,
    /// The stream that it had until now, if that still looked alive.
    pub instead_of: Option<Connection>,
}

/// An agent's lease has run out.
#[derive(Debug)]
pub struct Expired {
    /// Who.
    pub name: String,
    /// The run that it took part in.
    pub run: Option<String>,
    /// What happened, in words.
    pub why: String,
    /// When it was heard last.
    pub heard: Timestamp,
    /// Its stream, if that is there.
    pub connection: Option<Connection>,
}

impl Fleet {
    /// An empty fleet. `clock_id` names the control plane's clock.
    pub fn new(lease: Duration, clock_id: String) -> Self {
        Self { agents: BTreeMap::new(), joined: 0, generation: 0, lease, clock_id, drains: false }
    }

    /// Takes an agent in. One that broke off and dials again within its lease is the same agent, and so is one whose stream
    /// still looks alive, if it shows the secret that it had; otherwise it gets its own name, or that with a number if
    /// another has it.
    ///
    /// # Errors
    /// Why it is sent away, in words.
    pub fn join(&mut self, now: Timestamp, hello: Hello, connection: Connection) -> Result<Joined, String> {
        let kind = check(&hello)?;
        self.generation += 1;
        // Of an earlier life only the name and the run are known.
        let known = (hello.agent.as_str(), hello.run.as_str());
        if let Some(agent) = self.agents.get_mut(&hello.agent)
            && agent.expected.is_some()
            && (agent.hello.name.as_str(), agent.run.as_deref().unwrap_or_default(), agent.kind)
                == (known.0, known.1, kind)
        {
            let name = hello.agent.clone();
            let waiting = std::mem::take(&mut agent.waiting);
            *agent = Agent { hello, heard: now, connection: Some(connection), expected: None, ..agent.clone() };
            return Ok(Joined { name, waiting, returned: true, instead_of: None });
        }
        let is_back = |a: &Agent| {
            (a.connection.is_none() || hello.instance.is_some())
                && a.expected.is_none()
                && a.hello.instance == hello.instance
                && (&a.hello.name, a.hello.pid, &a.hello.host, a.kind) == (&hello.name, hello.pid, &hello.host, kind)
        };
        if let Some((name, agent)) = self.agents.iter_mut().find(|(_, a)| is_back(a)) {
            let instead_of = agent.connection.replace(connection);
            agent.heard = now;
            let waiting = std::mem::take(&mut agent.waiting);
            return Ok(Joined { name: name.clone(), waiting, returned: true, instead_of });
        }
        if self.agents.len() >= AGENTS_MAX {
            return Err(format!("the fleet is full: {AGENTS_MAX} agents are joined"));
        }
        let numbered = (2..).map(|n| format!("{}-{n}", hello.name));
        let mut names = std::iter::once(hello.name.clone()).chain(numbered);
        let name = names.find(|n| !self.agents.contains_key(n)).expect("there are more numbers than agents");
        let agent = Agent {
            hello,
            kind,
            heard: now,
            run: None,
            connection: Some(connection),
            draining: false,
            told_to_leave: None,
            joined: self.joined,
            waiting: Vec::new(),
            expected: None,
        };
        self.joined += 1;
        self.agents.insert(name.clone(), agent);
        Ok(Joined { name, waiting: Vec::new(), returned: false, instead_of: None })
    }

    /// An agent that took part in `run` before the control plane was started again: it is waited for.
    pub fn expect(&mut self, now: Timestamp, known: &Candidate, run: &str, patience: Duration) {
        let hello = Hello { name: known.name.clone(), capacity: known.capacity, ..Hello::default() };
        let agent = Agent {
            hello,
            kind: known.kind,
            heard: now,
            run: Some(run.to_owned()),
            connection: None,
            draining: false,
            told_to_leave: None,
            joined: self.joined,
            waiting: Vec::new(),
            expected: Some(patience),
        };
        self.joined += 1;
        self.agents.insert(known.name.clone(), agent);
    }

    /// Renews an agent's lease. False if it isn't joined by this stream (any more).
    pub fn hear(&mut self, now: Timestamp, name: &str, connection: Connection) -> bool {
        match self.agents.get_mut(name).filter(|a| a.connection == Some(connection)) {
            Some(agent) => {
                agent.heard = now;
                true
            }
            None => false,
        }
    }

    /// An agent's stream broke. Its lease runs on: it may dial again.
    pub fn broke_off(&mut self, name: &str, connection: Connection) {
        if let Some(agent) = self.agents.get_mut(name).filter(|a| a.connection == Some(connection)) {
            agent.connection = None;
            self.generation += 1;
        }
    }

    /// Renews all leases: it was us who did not listen.
    pub fn pardon(&mut self, now: Timestamp) {
        for agent in self.agents.values_mut() {
            agent.heard = now;
        }
    }

    /// Takes out those whose lease has run out.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Expired> {
        let lease = self.lease;
        let before = self.agents.len();
        let over = self.agents.extract_if(.., |_, a| now.since(a.heard) >= a.expected.unwrap_or(lease));
        let over: Vec<_> = over
            .map(|(name, agent)| {
                let seconds = now.since(agent.heard).as_secs_f64();
                let why = match agent.connection {
                    Some(_) => format!("it has said nothing for {seconds:.1} s"),
                    None if agent.expected.is_some() => {
                        format!("it did not come back within {seconds:.1} s after the control plane was started again")
                    }
                    None => format!("its connection broke, and it did not come back within {seconds:.1} s"),
                };
                Expired { name, run: agent.run, why, heard: agent.heard, connection: agent.connection }
            })
            .collect();
        self.generation += u64::from(self.agents.len() < before);
        over
    }

    /// When the next lease runs out.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.agents.values().map(|a| a.heard + a.expected.unwrap_or(self.lease)).min()
    }

    /// The stream for an order; `None` if the agent is gone, or the order was put by until it is back.
    pub fn route(&mut self, name: &str, run: &str, order: &Order) -> Option<Connection> {
        let agent = self.agents.get_mut(name)?;
        if agent.connection.is_none() && agent.waiting.len() < WAITING_MAX {
            agent.waiting.push((run.to_owned(), order.clone()));
        }
        agent.connection
    }

    /// The agent takes part in `run` from now on, or in none.
    pub fn assign(&mut self, name: &str, run: Option<&str>) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.run = run.map(str::to_owned);
            self.generation += 1;
        }
    }

    /// From now on an agent takes no new run. The run that it has.
    ///
    /// # Errors
    /// When there is no such agent.
    pub fn drain(&mut self, name: &str) -> Result<Option<String>, String> {
        let agent = self.agents.get_mut(name).ok_or_else(|| format!("there is no agent `{name}`"))?;
        agent.draining = true;
        self.drains = true;
        self.generation += 1;
        Ok(agent.run.clone())
    }

    /// Those that are drained, have no run, and have not been told yet that they may leave.
    pub fn leaving(&mut self) -> Vec<Connection> {
        if !self.drains {
            return Vec::new();
        }
        let due = |a: &&mut Agent| a.draining && a.run.is_none() && a.told_to_leave != a.connection;
        let told = |agent: &mut Agent| {
            agent.told_to_leave = agent.connection;
            agent.connection
        };
        self.agents.values_mut().filter(due).filter_map(told).collect()
    }

    /// The run that an agent takes part in.
    pub fn run_of(&self, name: &str) -> Option<&str> {
        self.agents.get(name)?.run.as_deref()
    }

    /// A number that changes whenever [`Fleet::idle`] may have.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Who is connected and free, in the order in which they joined.
    pub fn idle(&self) -> Vec<Candidate> {
        let is_idle = |a: &&(&String, &Agent)| a.1.run.is_none() && a.1.connection.is_some() && !a.1.draining;
        let agents: Vec<_> = self.agents.iter().collect();
        let mut idle: Vec<_> = agents.iter().filter(is_idle).collect();
        idle.sort_by_key(|(_, a)| a.joined);
        let candidate = |(name, a): &&(&String, &Agent)| Candidate {
            name: (*name).clone(),
            kind: a.kind,
            capacity: a.hello.capacity,
            same_clock: a.hello.clock_id == self.clock_id,
        };
        idle.iter().map(candidate).collect()
    }

    /// All agents, by name.
    pub fn agents(&self) -> &BTreeMap<String, Agent> {
        &self.agents
    }
}

fn check(hello: &Hello) -> Result<Kind, String> {
    let name = &hello.name;
    let kind = match hello.kind() {
        AgentKind::Worker => Kind::Worker,
        AgentKind::Probe => Kind::Probe,
        AgentKind::Unspecified => return Err(format!("agent `{name}` is neither worker nor probe")),
    };
    if hello.version != proto::VERSION {
        return Err(format!(
            "{kind} `{name}` is of version {}, this control plane of version {}: start both from the same build",
            if hello.version.is_empty() { "(none)" } else { &hello.version },
            proto::VERSION
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        return Err(format!(
            "an agent's name has 1 to {NAME_BYTES_MAX} characters of a-z, A-Z, 0-9, `-`, `_`, `.`; this one is {name:?}"
        ));
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use proto::control::Instance;

    use super::*;

    fn hello(name: &str, pid: u32) -> Hello {
        let kind = AgentKind::Worker.into();
        Hello { name: name.to_owned(), kind, version: proto::VERSION.to_owned(), pid, ..Hello::default() }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    fn fleet() -> Fleet {
        Fleet::new(Duration::from_secs(3), "clock".to_owned())
    }

    #[test]
    fn names_are_made_unique() {
        let mut fleet = fleet();
        let names: Vec<_> = (0..3).map(|i| fleet.join(at(0), hello("w", 1), i).unwrap().name).collect();
        assert_eq!(names, ["w", "w-2", "w-3"]);
    }

    #[test]
    fn who_comes_back_in_time_is_the_same_and_gets_what_waited() {
        let mut fleet = fleet();
        fleet.join(at(0), hello("w", 1), 1).unwrap();
        fleet.broke_off("w", 1);
        assert!(fleet.idle().is_empty());
        let stop = Order::Stop("over".to_owned());
        assert_eq!(fleet.route("w", "r", &stop), None);
        assert_eq!(fleet.join(at(1), hello("w", 2), 2).unwrap().name, "w-2", "another process");
        let back = fleet.join(at(2_000), hello("w", 1), 3).unwrap();
        let waiting = vec![("r".to_owned(), stop)];
        assert_eq!(back, Joined { name: "w".to_owned(), waiting, returned: true, instead_of: None });
        assert!(fleet.hear(at(2_000), "w", 3) && !fleet.hear(at(2_000), "w", 1));
    }

    #[test]
    fn only_who_shows_its_secret_takes_the_place_of_a_stream_that_looks_alive() {
        let secret = |secret: &'static [u8]| Some(Instance { secret: secret.into() });
        let mut fleet = fleet();
        let first = Hello { instance: secret(b"one"), ..hello("w", 1) };
        fleet.join(at(0), first.clone(), 1).unwrap();
        let thief = Hello { instance: secret(b"two"), agent: "w".to_owned(), ..hello("w", 1) };
        for (connection, other) in [(2, thief), (3, Hello { agent: "w".to_owned(), ..hello("w", 1) })] {
            let joined = fleet.join(at(1), other, connection).unwrap();
            assert!(joined.name != "w" && joined.instead_of.is_none(), "{joined:?}");
        }
        assert!(fleet.hear(at(2), "w", 1));
        let back = fleet.join(at(2_500), first, 4).unwrap();
        let replaced = Joined { name: "w".to_owned(), waiting: Vec::new(), returned: true, instead_of: Some(1) };
        assert_eq!(back, replaced);
        assert!(fleet.hear(at(2_500), "w", 4) && !fleet.hear(at(2_500), "w", 1));
        fleet.broke_off("w", 1);
        let lost: Vec<_> = fleet.expire(at(3_100)).into_iter().map(|lost| lost.name).collect();
        assert_eq!(lost, ["w-2", "w-3"], "the end of the old stream is no end of the agent");
    }

    #[test]
    fn who_is_drained_takes_no_run_and_leaves_when_it_has_none() {
        let mut fleet = fleet();
        fleet.join(at(0), hello("w", 1), 1).unwrap();
        fleet.assign("w", Some("r"));
        assert_eq!(fleet.drain("w"), Ok(Some("r".to_owned())));
        assert!(fleet.drain("nobody").unwrap_err().contains("`nobody`"));
        assert!(fleet.leaving().is_empty(), "it has a run");
        fleet.broke_off("w", 1);
        fleet.assign("w", None);
        assert!(fleet.leaving().is_empty(), "it can't be told");
        fleet.join(at(1), hello("w", 1), 2).unwrap();
        assert!(fleet.idle().is_empty());
        assert_eq!((fleet.leaving(), fleet.leaving()), (vec![2], vec![]), "it is told once");
    }

    #[test]
    fn a_lease_runs_out() {
        let mut fleet = fleet();
        fleet.join(at(0), hello("w", 1), 1).unwrap();
        assert!(fleet.expire(at(2_999)).is_empty());
        assert_eq!(fleet.deadline(), Some(at(3_000)));
        assert_eq!(fleet.expire(at(3_000)).len(), 1);
        assert!(fleet.agents().is_empty());
    }

    #[test]
    fn another_version_is_told_both() {
        let mut fleet = fleet();
        let old = Hello { version: "0.0.9".to_owned(), ..hello("w", 1) };
        let why = fleet.join(at(0), old, 1).unwrap_err();
        assert!(why.contains("0.0.9") && why.contains(proto::VERSION), "{why}");
        assert!(fleet.join(at(0), hello("no/slash", 1), 2).is_err());
        assert!(fleet.join(at(0), Hello { kind: 0, ..hello("w", 1) }, 2).is_err());
    }
}
