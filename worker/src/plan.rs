//! What one worker does in one run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Endpoint};
use measure::{Clock, Timestamp};
use scenarios::model::{CohortSpec, Transport};
use scenarios::{Scenario, Shard};

use crate::spread::Spread;
use crate::tokens::TokenSource;

/// A prepared run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The run's id.
    pub run: String,
    /// What everybody does.
    pub scenario: Scenario,
    /// This worker's share.
    pub shard: Shard,
    /// Where the service is; users are spread over them (`Spread`). At least one.
    pub endpoints: Vec<Endpoint>,
    /// The app's key.
    pub api_key: String,
    /// Whether the service may know messages of earlier runs: any but the bundled one, which starts with the run.
    pub remembers: bool,
    /// Who the users are.
    pub tokens: TokenSource,
    /// Connections for API calls that each thread keeps to each endpoint that it speaks to.
    pub calls: u64,
    /// This host's addresses that connections come from; left to the kernel if there are none.
    pub sources: Vec<IpAddr>,
    /// Where time comes from.
    pub clock: Clock,
    /// Its users had another worker, which is lost.
    pub taken_over: Option<TakenOver>,
}

impl Plan {
    /// This worker's users.
    pub fn users(&self) -> u64 {
        self.scenario.users_in(self.shard)
    }

    /// Those of them whose events are fetched by polling.
    pub fn polled_users(&self) -> u64 {
        let polls = |cohort: &CohortSpec| cohort.transport == Transport::LongPoll;
        let cohorts = &self.scenario.cohorts;
        if !cohorts.iter().any(polls) {
            return 0;
        }
        let of = |n: u64| self.shard.user(n);
        let cohort_of = |n: &u64| self.scenario.cohort_of(of(*n)).and_then(|(at, _)| cohorts.get(usize::from(at)));
        (0..self.users()).filter(|n| cohort_of(n).is_some_and(polls)).count() as u64
    }

    /// The share of one of `threads` threads: the shards of a shard are shards too.
    pub fn share(&self, thread: u32, threads: u32) -> Shard {
        self.shard.part(thread, threads)
    }

    /// The id that a message of the run has.
    pub fn message_id(&self, action: u16, number: u64) -> String {
        self.scenario.message_id(action, number, self.remembers.then_some(self.run.as_str()))
    }

    /// How users are spread over the endpoints.
    pub fn spread(&self) -> Spread {
        Spread::new(self.shard.count.into(), self.endpoints.len() as u64)
    }

    /// The endpoint of a user that so many endpoints have turned away.
    pub fn endpoint_of(&self, user: u64, turned_away: u64) -> usize {
        self.spread().endpoint(self.shard.index.into(), self.nth(user), turned_away)
    }

    /// The address that a user connects from. Users of one endpoint are spread over all of them.
    pub fn source_of(&self, user: u64) -> Option<IpAddr> {
        let sources = self.sources.len() as u64;
        (sources > 0).then(|| self.sources[(self.nth(user) / self.spread().reach() % sources) as usize])
    }

    /// A user's number among the worker's own.
    fn nth(&self, user: u64) -> u64 {
        self.shard.number_of(user)
    }
}

/// Users that are taken over in mid-run, since their worker is lost.
#[derive(Clone, Copy, Debug)]
pub struct TakenOver {
    /// The lost shard was one of so many.
    pub of: u32,
}

impl TakenOver {
    /// How long after the first the `number`-th of a cohort's users in `shard`, a part of the lost one, returns: together with
    /// those of the other parts they are as many a second as the cohort's ramp lets join.
    pub fn returns_after(self, cohort: &CohortSpec, shard: Shard, number: u64) -> Duration {
        let parts = f64::from(shard.count) / f64::from(self.of.max(1));
        // The parts take turns.
        let turn = f64::from(shard.index / self.of.max(1));
        Duration::try_from_secs_f64((number as f64 * parts + turn) / cohort.ramp_rate).unwrap_or(Duration::MAX)
    }
}

/// When a run starts. What is due follows from `at` on this host's clock alone, at its own rate: a schedule that followed
/// every new estimate of the run's clock would be late by what was corrected. Stamps say when it was due in run time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// The start instant, on our clock.
    pub at: Timestamp,
    /// The same on the run's clock, the control plane's.
    pub run_at: Timestamp,
}

/// What the threads of a run share: nothing that changes.
pub type SharedPlan = Arc<Plan>;

/// The API of each endpoint, through pools of the calling thread's own.
pub fn apis(plan: &Plan, connections: usize, within: Duration) -> Vec<Api> {
    let pool = |endpoint: &Endpoint| client::http::Http::new(endpoint.clone(), connections, within, plan.clock.clone());
    plan.endpoints.iter().map(|endpoint| Api::new(pool(endpoint), &plan.api_key)).collect()
}
