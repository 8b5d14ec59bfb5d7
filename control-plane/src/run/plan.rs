//! What a run needs, and which agents give it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use measure::grouped;
use scenarios::Shard;

/// What the state machine must know of a scenario: plain numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// Users of the whole run.
    pub users: u64,
    /// From the start instant to the planned end.
    pub duration: Duration,
    /// Named stretches, for people.
    pub phases: Vec<Phase>,
    /// What a lost worker means.
    pub on_worker_loss: OnLoss,
    /// Wait for so many workers, and take no more, so that the rest is free for other runs; 0: take all that are free, as
    /// soon as they can hold the users.
    pub workers: u32,
    /// Wait for so many probes.
    pub probes: u32,
}

/// What a lost worker means for a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum OnLoss {
    /// It goes on, and is invalid.
    #[default]
    Continue,
    /// It goes on, and stays valid, while at most this share of its users is lost; with more it stops and is invalid.
    AtMost(f64),
    /// It stops, and is invalid.
    Abort,
    /// The other workers take its users over, and the run says who was without a worker for how long.
    Redistribute,
}

/// How much faster than real time a rehearsal may be.
const SPEED_MAX: f64 = 1_000.0;

impl Plan {
    /// The plan of a rehearsal whose time goes `speed` times faster: all instants are on the control plane's own clock, on
    /// which leases and deadlines stay what they are. 0 is no rehearsal.
    ///
    /// # Errors
    /// When there is no such speed.
    pub fn hasten(&mut self, speed: f64) -> Result<(), String> {
        if speed == 0.0 {
            return Ok(());
        }
        if !(1.0..=SPEED_MAX).contains(&speed) {
            return Err(format!("a rehearsal's speed is 1 to {SPEED_MAX}, and not {speed}"));
        }
        self.duration = self.duration.div_f64(speed);
        for phase in &mut self.phases {
            phase.start = phase.start.div_f64(speed);
        }
        Ok(())
    }
}

/// A named stretch of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// From the start instant to its start.
    pub start: Duration,
}

/// Load or probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Makes load.
    Worker,
    /// Measures.
    Probe,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Probe => "probe",
        })
    }
}

/// An agent that is joined and does nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name in the fleet.
    pub name: String,
    /// What it can do.
    pub kind: Kind,
    /// Users that it can hold.
    pub capacity: u64,
    /// Whether it stamps by the control plane's own clock.
    pub same_clock: bool,
}

/// One agent's part of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    pub agent: Candidate,
    /// Which shard …
    pub index: u32,
    /// … of how many of this kind.
    pub count: u32,
    /// Users of the shard; 0 for probes.
    pub users: u64,
}

/// Users of shard `index` of `count`.
pub fn users_of_shard(users: u64, index: u32, count: u32) -> u64 {
    Shard::new(index, count).map_or(0, |shard| shard.among(users).share_of(users))
}

/// The largest number of these workers that can share the users evenly; `Err` has the most users that they could.
fn fitting(users: u64, workers: &[&Candidate]) -> Result<usize, u64> {
    let mut capacities: Vec<u64> = workers.iter().map(|w| w.capacity).collect();
    capacities.sort_unstable_by(|a, b| b.cmp(a));
    let useful = capacities.len().min(usize::try_from(users.max(1)).unwrap_or(usize::MAX));
    let fits = |n: &usize| u32::try_from(*n).is_ok_and(|count| capacities[n - 1] >= Shard::largest(count, users));
    if let Some(n) = (1..=useful).rev().find(fits) {
        return Ok(n);
    }
    let most = (1..=capacities.len()).map(|n| capacities[n - 1].saturating_mul(n as u64)).max();
    Err(most.unwrap_or(0))
}

/// Picks agents for the plan: of all workers, or of as many as were asked for, those that can share the users evenly. All
/// probes; where workers were asked for, as many as are needed, and one if there is one, which measures its host.
///
/// # Errors
/// When they don't suffice: the arithmetic, in words.
pub fn choose(plan: &Plan, candidates: &[Candidate]) -> Result<Vec<Share>, String> {
    let of = |kind| candidates.iter().filter(move |c| c.kind == kind).collect::<Vec<_>>();
    let (workers, probes) = (of(Kind::Worker), of(Kind::Probe));
    if workers.len() < plan.workers as usize {
        return Err(format!("waits for {}; {} joined", plural(plan.workers, "worker"), workers.len()));
    }
    let asked = if plan.workers == 0 { workers.len() } else { plan.workers as usize };
    let workers = largest(&workers, asked);
    let n = fitting(plan.users, &workers).map_err(|most| shortage(plan, &workers, most))?;
    if probes.len() < plan.probes as usize {
        return Err(format!("waits for {}; {} joined", plural(plan.probes, "probe"), probes.len()));
    }
    let watching = if plan.workers == 0 { probes.len() } else { probes.len().min(plan.probes.max(1) as usize) };
    let mut shares = deal(plan.users, &largest(&workers, n));
    shares.extend(deal(0, &probes[..watching]));
    Ok(shares)
}

/// The `n` of these workers that hold most, in their order.
fn largest<'a>(workers: &[&'a Candidate], n: usize) -> Vec<&'a Candidate> {
    let mut by_capacity: Vec<usize> = (0..workers.len()).collect();
    by_capacity.sort_by_key(|&i| std::cmp::Reverse(workers[i].capacity));
    by_capacity.truncate(n);
    by_capacity.sort_unstable();
    by_capacity.into_iter().map(|i| workers[i]).collect()
}

fn deal(users: u64, agents: &[&Candidate]) -> Vec<Share> {
    let count = u32::try_from(agents.len()).unwrap_or(u32::MAX);
    let share = |(index, agent): (u32, &&Candidate)| Share {
        agent: (*agent).clone(),
        index,
        count,
        users: users_of_shard(users, index, count),
    };
    (0..).zip(agents).map(share).collect()
}

fn shortage(plan: &Plan, workers: &[&Candidate], most: u64) -> String {
    let users = plan.users;
    let sum = workers.iter().fold(0_u64, |sum, w| sum.saturating_add(w.capacity));
    let joined = match workers.len() {
        0 => return format!("needs {} users' capacity; no worker has joined; start some", grouped(users)),
        1 => format!("1 worker joined holds {}", grouped(sum)),
        n => format!("{n} workers joined hold {}", grouped(sum)),
    };
    let uneven = if sum >= users {
        format!(" in all, but shards are of equal size, so only {} of it can be used", grouped(most))
    } else {
        String::new()
    };
    // Where so many were asked for, others that are free don't help.
    let mend = if plan.workers == 0 { "start more workers" } else { "ask for more workers" };
    format!("needs {} users' capacity; {joined}{uneven}; {mend} or raise `nofile`", grouped(users))
}

/// `1 worker`, `2 workers`.
pub(super) fn plural(n: u32, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, capacity: u64) -> Candidate {
        Candidate { name: name.to_owned(), kind: Kind::Worker, capacity, same_clock: true }
    }

    fn plan(users: u64) -> Plan {
        Plan { users, ..Plan::default() }
    }

    #[test]
    fn all_that_fit_share_evenly() {
        let shares = choose(&plan(1_001), &[worker("a", 600), worker("small", 10), worker("b", 501)]).unwrap();
        let told: Vec<_> = shares.iter().map(|s| (s.agent.name.as_str(), s.index, s.count, s.users)).collect();
        assert_eq!(told, [("a", 0, 2, 501), ("b", 1, 2, 500)]);
    }

    #[test]
    fn the_shortage_is_told_in_numbers() {
        let told = choose(&plan(1_000), &[worker("a", 200), worker("b", 200)]).unwrap_err();
        assert_eq!(
            told,
            "needs 1,000 users' capacity; 2 workers joined hold 400; start more workers or raise `nofile`"
        );
        let told = choose(&plan(1_000), &[worker("a", 900), worker("b", 200)]).unwrap_err();
        assert!(told.contains("only 900 of it can be used"), "{told}");
        assert!(choose(&plan(1), &[]).unwrap_err().contains("no worker has joined"));
    }

    #[test]
    fn a_rehearsal_is_shorter_by_its_speed() {
        let second = Duration::from_secs;
        let phases = vec![Phase { name: "hold".into(), start: second(100) }];
        let mut plan = Plan { duration: second(700), phases, ..Plan::default() };
        plan.hasten(0.0).unwrap();
        assert_eq!(plan.duration, second(700));
        plan.hasten(10.0).unwrap();
        assert_eq!((plan.duration, plan.phases[0].start), (second(70), second(10)));
        for speed in [-1.0, 0.5, f64::NAN, f64::INFINITY, 1e9] {
            assert!(plan.hasten(speed).is_err(), "{speed}");
        }
    }

    #[test]
    fn nobody_gets_an_empty_shard() {
        let shares = choose(&plan(1), &[worker("a", 5), worker("b", 5)]).unwrap();
        assert_eq!(shares.len(), 1);
    }

    #[test]
    fn shards_sum_to_the_whole() {
        for (users, count) in [(0, 1), (1, 3), (10, 3), (1_000_003, 64)] {
            assert_eq!((0..count).map(|i| users_of_shard(users, i, count)).sum::<u64>(), users);
        }
    }
}
