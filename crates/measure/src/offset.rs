//! How far two hosts' clocks are apart, and by how much that estimate may be wrong.
//!
//! One exchange is NTP's (RFC 5905 §8): the offset is `((T2 - T1) + (T3 - T4)) / 2`, the round-trip delay is
//! `(T4 - T1) - (T3 - T2)`, and however asymmetric the two ways were, the offset is wrong by at most half the delay. Of
//! the last eight exchanges the one that binds tightest is used, as in RFC 5905 §10's clock filter, with an allowance
//! for what the clocks may have drifted apart since then.

use std::collections::VecDeque;

use crate::clock::Timestamp;

/// Exchanges that are remembered: the length of RFC 5905's clock filter.
const EXCHANGES: usize = 8;

/// How fast two clocks may drift apart: RFC 5905's PHI, 15 µs a second, for each of the two.
const DRIFT_NANOS_PER_SECOND: u64 = 30_000;

/// The four timestamps of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// T1: when we asked, on our clock.
    pub asked: Timestamp,
    /// T2: when the other side got the question, on its clock.
    pub received: Timestamp,
    /// T3: when it answered, on its clock.
    pub answered: Timestamp,
    /// T4: when we had the answer, on our clock.
    pub returned: Timestamp,
}

impl Exchange {
    /// The other clock minus ours, in nanoseconds.
    pub fn offset(&self) -> i64 {
        let there = difference(self.received, self.asked);
        let back = difference(self.answered, self.returned);
        i64::try_from((there + back) / 2).unwrap_or(i64::MAX)
    }

    /// Nanoseconds spent on the way, there and back; zero where the clocks' resolution makes it negative.
    pub fn delay(&self) -> u64 {
        let way = difference(self.returned, self.asked) - difference(self.answered, self.received);
        u64::try_from(way.max(0)).unwrap_or(u64::MAX)
    }
}

fn difference(a: Timestamp, b: Timestamp) -> i128 {
    i128::from(a.as_nanos()) - i128::from(b.as_nanos())
}

/// What to add to a timestamp of ours to have it on the other clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// The other clock minus ours, in nanoseconds.
    pub nanos: i64,
    /// The truth is at most so many nanoseconds away from `nanos`; 0 when both are one clock.
    pub bound: u64,
}

impl Offset {
    /// Both clocks are the same one.
    pub const SAME_CLOCK: Self = Self { nanos: 0, bound: 0 };

    /// A timestamp of ours on the other clock.
    pub const fn to_theirs(self, ours: Timestamp) -> Timestamp {
        ours.shifted(self.nanos)
    }

    /// A timestamp of the other clock on ours.
    pub const fn to_ours(self, theirs: Timestamp) -> Timestamp {
        theirs.shifted(self.nanos.saturating_neg())
    }
}

/// Estimates the offset from the exchanges so far.
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    exchanges: VecDeque<Exchange>,
}

impl Estimator {
    /// Takes one more exchange; the ninth-last is forgotten.
    pub fn observe(&mut self, exchange: Exchange) {
        if self.exchanges.len() == EXCHANGES {
            self.exchanges.pop_front();
        }
        self.exchanges.push_back(exchange);
    }

    /// The estimate that is tightest at `now` (on our clock); `None` before the first exchange.
    pub fn estimate(&self, now: Timestamp) -> Option<Offset> {
        let candidates = self.exchanges.iter().map(|e| Offset { nanos: e.offset(), bound: bound(e, now) });
        candidates.min_by_key(|o| o.bound)
    }
}

/// Half the delay (rounded up, as the offset is rounded too), plus what the clocks may have drifted since we asked.
fn bound(exchange: &Exchange, now: Timestamp) -> u64 {
    let age = now.max(exchange.returned).since(exchange.asked).as_nanos();
    let drift = age.saturating_mul(u128::from(DRIFT_NANOS_PER_SECOND)).div_ceil(1_000_000_000);
    exchange.delay().div_ceil(2).saturating_add(1).saturating_add(u64::try_from(drift).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(times: [u64; 4]) -> Exchange {
        let [asked, received, answered, returned] = times.map(Timestamp::from_nanos);
        Exchange { asked, received, answered, returned }
    }

    #[test]
    fn a_symmetric_way_gives_the_offset_exactly() {
        let e = exchange([1_000, 51_100, 51_150, 1_250]);
        assert_eq!((e.offset(), e.delay()), (50_000, 200));
    }

    #[test]
    fn the_tightest_exchange_wins_until_it_is_old() {
        let mut estimator = Estimator::default();
        assert_eq!(estimator.estimate(Timestamp::from_nanos(0)), None);
        estimator.observe(exchange([0, 1_000, 1_000, 2_000]));
        estimator.observe(exchange([5_000, 905_000, 905_000, 1_005_000]));
        assert_eq!(estimator.estimate(Timestamp::from_nanos(1_005_000)).unwrap().nanos, 0);
        for _ in 0..EXCHANGES {
            estimator.observe(exchange([9_000_000, 9_500_000, 9_500_000, 9_200_000]));
        }
        assert_eq!(estimator.estimate(Timestamp::from_nanos(10_000_000)).unwrap().nanos, 400_000);
    }

    #[test]
    fn there_and_back_is_where_we_were() {
        let offset = Offset { nanos: -700, bound: 3 };
        let t = Timestamp::from_nanos(10_000);
        assert_eq!(offset.to_theirs(t), Timestamp::from_nanos(9_300));
        assert_eq!(offset.to_ours(offset.to_theirs(t)), t);
    }
}
