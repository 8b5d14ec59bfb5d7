//! How far two hosts' clocks are apart, how fast they drift, and by how much that estimate may be wrong.
//!
//! One exchange is NTP's (RFC 5905 §8): the offset is `((T2 - T1) + (T3 - T4)) / 2`, the round-trip delay is
//! `(T4 - T1) - (T3 - T2)`, and however asymmetric the two ways were, the offset is wrong by at most half the delay. Of
//! the last eight exchanges the one that binds tightest is used, as in RFC 5905 §10's clock filter.
//!
//! How fast the clocks drift follows from the same eight: each is an interval that the true offset was in, so that two of
//! them, some time apart, leave only some slopes. What is left of [`DRIFT_MAX`] by all pairs bounds the drift; its middle
//! extrapolates an exchange to now, and its half width is added to the bound for each second since. Where nothing is left,
//! a clock was set or slewed, and what was known before is forgotten.

use std::collections::VecDeque;

use crate::clock::{Timestamp, parts};

/// Exchanges that are remembered: the length of RFC 5905's clock filter.
const EXCHANGES: usize = 8;

/// How fast two clocks may drift apart, in nanoseconds a second: quartz is within 50 ppm, and there are two.
pub const DRIFT_MAX: i64 = 100_000;

/// How much the drift may change within the memory of the filter (temperature, a time daemon's corrections), in
/// nanoseconds a second.
pub const WANDER: i64 = 5_000;

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

    /// The instant on our clock at which the offset is said to have been so.
    fn middle(&self) -> Timestamp {
        Timestamp::from_nanos(self.asked.as_nanos().midpoint(self.returned.as_nanos()))
    }

    /// The offset was wrong by at most so much: half the delay (rounded up, as the offset is rounded too), and what the
    /// clocks may have drifted while the exchange lasted.
    fn bound(&self) -> u64 {
        let lasted = i64::try_from(self.returned.since(self.asked).as_nanos()).unwrap_or(i64::MAX);
        self.delay().div_ceil(2).saturating_add(parts(lasted, DRIFT_MAX).unsigned_abs()).saturating_add(2)
    }
}

fn signed(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
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

/// What is known of another clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// When, on our clock.
    pub at: Timestamp,
    /// How far the clocks were apart then.
    pub offset: Offset,
    /// How fast the other clock gains on ours, in nanoseconds a second.
    pub drift: i64,
    /// By how much that may be wrong: the bound grows by so many nanoseconds a second.
    pub drift_bound: u64,
}

/// Estimates the offset from the exchanges so far.
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    exchanges: VecDeque<Exchange>,
    observed: u64,
    jumps: u64,
}

impl Estimator {
    /// Takes one more exchange; the ninth-last is forgotten, and so are those that contradict it.
    pub fn observe(&mut self, exchange: Exchange) {
        if self.exchanges.len() == EXCHANGES {
            self.exchanges.pop_front();
        }
        self.exchanges.push_back(exchange);
        self.observed += 1;
        let before = self.exchanges.len();
        while self.slopes().is_none() {
            self.exchanges.pop_front();
        }
        self.jumps += u64::from(self.exchanges.len() < before);
    }

    /// Exchanges so far.
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// How often exchanges contradicted earlier ones: a clock was set, or slewed by more than [`DRIFT_MAX`].
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The estimate that is tightest at `now` (on our clock); `None` before the first exchange.
    pub fn estimate(&self, now: Timestamp) -> Option<Estimate> {
        let (low, high) = self.slopes()?;
        let (drift, drift_bound) = (low.midpoint(high), (high - low).unsigned_abs().div_ceil(2) + 1);
        let offset = |exchange: &Exchange| {
            let age = signed(difference(now, exchange.middle())).max(0);
            // The growth of the bound is rounded up, and so is what rounding the drift may have cost.
            let growth = parts(age, drift_bound.cast_signed()).unsigned_abs() + 2;
            let nanos = exchange.offset().saturating_add(parts(age, drift));
            Offset { nanos, bound: exchange.bound().saturating_add(growth) }
        };
        let offset = self.exchanges.iter().map(offset).min_by_key(|o| o.bound)?;
        Some(Estimate { at: now, offset, drift, drift_bound })
    }

    /// The least and largest drift that all pairs of exchanges allow; `None` if there is none.
    fn slopes(&self) -> Option<(i64, i64)> {
        let (mut low, mut high) = (-DRIFT_MAX, DRIFT_MAX);
        for (i, earlier) in self.exchanges.iter().enumerate() {
            for later in self.exchanges.iter().skip(i + 1) {
                let apart = difference(later.middle(), earlier.middle());
                if apart <= 0 {
                    continue;
                }
                let rise = i128::from(later.offset()) - i128::from(earlier.offset());
                let bounds = i128::from(later.bound()) + i128::from(earlier.bound());
                let slope = |rise: i128| signed(rise * 1_000_000_000 / apart);
                low = low.max(slope(rise - bounds).saturating_sub(WANDER + 1));
                high = high.min(slope(rise + bounds).saturating_add(WANDER + 1));
            }
        }
        (low <= high).then_some((low, high))
    }
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
        assert_eq!(estimator.estimate(Timestamp::from_nanos(1_005_000)).unwrap().offset.nanos, 0);
        assert_eq!((estimator.observed(), estimator.jumps()), (2, 0));
    }

    /// An exchange at second `s` with a clock that is `ahead` then; 100 µs each way.
    fn at(s: u64, ahead: u64) -> Exchange {
        let t = s * 1_000_000_000;
        exchange([t, t + 100_000 + ahead, t + 100_000 + ahead, t + 200_000])
    }

    #[test]
    fn drift_is_found_and_extrapolated() {
        let mut estimator = Estimator::default();
        (0..30).for_each(|s| estimator.observe(at(s, 1_000_000 + s * 30_000)));
        let estimate = estimator.estimate(Timestamp::from_nanos(40_000_000_000)).unwrap();
        assert!((estimate.drift - 30_000).abs() < 1_000, "{estimate:?}");
        assert!(estimate.offset.nanos.abs_diff(2_200_000) < 10_000, "{estimate:?}");
        assert!(estimate.drift_bound < 40_000 && estimator.jumps() == 0, "{estimate:?}");
    }

    #[test]
    fn a_clock_that_is_set_makes_us_forget() {
        let mut estimator = Estimator::default();
        (0..8).for_each(|s| estimator.observe(at(s, 0)));
        estimator.observe(at(8, 50_000_000));
        let estimate = estimator.estimate(Timestamp::from_nanos(8_000_200_000)).unwrap();
        assert!(estimate.offset.nanos.abs_diff(50_000_000) <= estimate.offset.bound, "{estimate:?}");
        assert_eq!((estimator.jumps(), estimate.drift), (1, 0));
    }

    #[test]
    fn there_and_back_is_where_we_were() {
        let offset = Offset { nanos: -700, bound: 3 };
        let t = Timestamp::from_nanos(10_000);
        assert_eq!(offset.to_theirs(t), Timestamp::from_nanos(9_300));
        assert_eq!(offset.to_ours(offset.to_theirs(t)), t);
    }
}
