//! Whose worker is gone, and who has others' users since: what all simulated workers of a run agree on, so that each knows
//! what everybody says.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use measure::Cohort;
use scenarios::{Scenario, Shard};

use super::latency::{Latency, Presence};
use crate::driver::Driver;
use crate::plan::TakenOver;

/// A return is no visit of the scenario's; this stands for its number.
pub(super) const RETURN: u32 = u32::MAX;

/// A lost worker's users, or a part of them, with another one from an instant of the run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) shard: Shard,
    /// The lost shard was one of so many.
    pub(super) of: u32,
    pub(super) from: Duration,
}

impl Piece {
    /// What is due for them: who should be here returns.
    pub(super) fn driver(self, scenario: &Scenario) -> Driver<'_> {
        let mut driver = Driver::new(scenario, self.shard);
        let taken = TakenOver { of: self.of };
        let apart =
            |cohort: Cohort, number| taken.returns_after(&scenario.cohorts[usize::from(cohort)], self.shard, number);
        driver.take_up(|| self.from, apart);
        driver
    }
}

/// What became of a shard's users.
#[derive(Debug)]
struct Fate {
    shard: Shard,
    at: Duration,
    what: What,
}

#[derive(Debug)]
enum What {
    Lost,
    /// Who was to be there, and when each returns: found out by whoever asks first.
    Taken {
        piece: Piece,
        returns: OnceLock<HashMap<u64, Duration>>,
    },
}

/// Shards whose worker is gone, and from when on: what their users would have said is never published, until others have
/// them.
#[derive(Debug, Default)]
pub struct Losses(RwLock<Vec<Fate>>);

impl Losses {
    /// A shard's users do nothing any more from an instant of the run on. To be told before that.
    pub fn add(&self, shard: Shard, at: Duration) {
        self.push(Fate { shard, at, what: What::Lost });
    }

    /// Another worker has a lost shard's users. To be told before it has.
    pub(super) fn taken(&self, piece: Piece) {
        let what = What::Taken { piece, returns: OnceLock::new() };
        self.push(Fate { shard: piece.shard, at: piece.from, what });
    }

    fn push(&self, fate: Fate) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(fate);
    }

    /// Where a user is, whoever has it. One that has no worker is away.
    pub(super) fn presence(&self, scenario: &Scenario, latency: &Latency, user: u64, at: Duration) -> Presence {
        let planned = latency.presence(scenario, user, at);
        if planned == Presence::Away {
            return planned;
        }
        let fates = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of_it = fates.iter().filter(|fate| fate.at <= at && fate.shard.holds(user));
        // Of two at one instant, what was told last.
        match of_it.max_by_key(|fate| fate.at).map(|fate| &fate.what) {
            None => planned,
            Some(What::Lost) => Presence::Away,
            Some(What::Taken { piece, returns }) => {
                match returns.get_or_init(|| piece.driver(scenario).returns()).get(&user) {
                    None => planned,
                    Some(returns) if at < *returns => Presence::Away,
                    Some(returns) if at < *returns + latency.connecting(user, RETURN).watching() => Presence::Joining,
                    Some(_) => planned,
                }
            }
        }
    }
}
