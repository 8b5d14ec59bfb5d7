//! Another clock's time as it is read between two estimates of it: a line that never jumps.
//!
//! A new estimate differs from the last by as much as both may be wrong. To stamp by it at once would make run time jump,
//! backwards at times: what is on its way would be late or early by that, and intervals would overlap. So the course goes
//! on from where it is and reaches the estimate by and by, at most [`SLEW_MAX`] faster or slower than the clocks drift,
//! as NTP's discipline slews a clock (RFC 5905 §11.3); how far it still has to go is part of its bound.

use std::time::Duration;

use crate::clock::{Timestamp, parts};
use crate::offset::{Estimate, Offset};

/// How fast a course may approach its estimate, in nanoseconds a second: a latency is changed by 0.05 % at most, less than
/// the histograms' resolution.
pub const SLEW_MAX: i64 = 500_000;

/// How long it takes to reach an estimate that is near.
const SLEW_FOR: Duration = Duration::from_secs(1);

/// How far another clock is from ours, from an instant on until there is a newer estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// When it begins, on our clock.
    from: Timestamp,
    /// The offset then.
    nanos: i64,
    /// Nanoseconds that the other clock gains each second.
    drift: i64,
    /// Nanoseconds that are added each second, for so many nanoseconds, to reach the estimate.
    slew: i64,
    slew_for: i64,
    /// How wrong the estimate may have been, and how many nanoseconds that grows each second.
    bound: u64,
    bound_growth: u64,
}

impl Course {
    /// Both clocks are the same one.
    pub const SAME_CLOCK: Self =
        Self { from: Timestamp::from_nanos(0), nanos: 0, drift: 0, slew: 0, slew_for: 0, bound: 0, bound_growth: 0 };

    /// The course that begins with an estimate.
    pub const fn begin(estimate: &Estimate) -> Self {
        let Estimate { at, offset, drift, drift_bound } = *estimate;
        let Offset { nanos, bound } = offset;
        Self { from: at, nanos, drift, slew: 0, slew_for: 0, bound, bound_growth: drift_bound }
    }

    /// The course that goes on from this one, at the instant of a newer estimate, and approaches it.
    pub fn steer(&self, estimate: &Estimate) -> Self {
        let nanos = self.at(estimate.at).nanos;
        let to_go = i128::from(estimate.offset.nanos) - i128::from(nanos);
        // Rounded up: then the rest, as divided below, is nothing.
        let least = (to_go.unsigned_abs() * 1_000_000_000).div_ceil(u128::from(SLEW_MAX.unsigned_abs()));
        let slew_for = i64::try_from(least.max(SLEW_FOR.as_nanos())).unwrap_or(i64::MAX);
        let slew = i64::try_from(to_go * 1_000_000_000 / i128::from(slew_for)).unwrap_or(0);
        Self { nanos, slew, slew_for, ..Self::begin(estimate) }
    }

    /// The offset at an instant of our clock, and its bound.
    pub fn at(&self, ours: Timestamp) -> Offset {
        let passed = self.passed(ours);
        let to_go = self.slew_for.saturating_sub(passed.clamp(0, self.slew_for));
        let bound = self.bound.saturating_add(parts(passed.max(0), self.bound_growth.cast_signed()).unsigned_abs());
        let rest = i128::from(to_go) * i128::from(self.slew) / 1_000_000_000;
        // Two nanoseconds for what rounding costs; but nothing where both are one clock.
        let rest = u64::try_from(rest.unsigned_abs()).unwrap_or(u64::MAX).saturating_add(u64::from(self.bound > 0) * 2);
        Offset { nanos: self.nanos_after(passed), bound: bound.saturating_add(rest) }
    }

    /// An instant of our clock on the other one. Later instants are later there, too.
    pub fn to_theirs(&self, ours: Timestamp) -> Timestamp {
        ours.shifted(self.nanos_after(self.passed(ours)))
    }

    /// An instant of the other clock on ours, to two nanoseconds.
    pub fn to_ours(&self, theirs: Timestamp) -> Timestamp {
        let mut ours = theirs.shifted(self.nanos.saturating_neg());
        // What is left is the square, then the cube of a drift in millionths.
        for _ in 0..3 {
            ours = theirs.shifted(self.nanos_after(self.passed(ours)).saturating_neg());
        }
        ours
    }

    /// How fast the other clock gains on ours, in nanoseconds a second.
    pub const fn drift(&self) -> i64 {
        self.drift
    }

    const fn passed(&self, ours: Timestamp) -> i64 {
        ours.as_nanos().wrapping_sub(self.from.as_nanos()) as i64
    }

    const fn nanos_after(&self, passed: i64) -> i64 {
        let slewed = if passed < 0 {
            0
        } else if passed > self.slew_for {
            self.slew_for
        } else {
            passed
        };
        self.nanos.saturating_add(parts(passed, self.drift)).saturating_add(parts(slewed, self.slew))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(at_ms: u64, nanos: i64, drift: i64) -> Estimate {
        let at = Timestamp::from_nanos(at_ms * 1_000_000);
        Estimate { at, offset: Offset { nanos, bound: 1_000 }, drift, drift_bound: 10_000 }
    }

    #[test]
    fn one_clock_is_exact_for_ever() {
        let later = Timestamp::from_nanos(u64::MAX / 2);
        assert_eq!(Course::SAME_CLOCK.at(later), Offset::SAME_CLOCK);
        assert_eq!(Course::SAME_CLOCK.to_ours(later), later);
    }

    #[test]
    fn it_reaches_a_new_estimate_without_a_jump() {
        let first = Course::begin(&estimate(1_000, 50_000, 20_000));
        let second = first.steer(&estimate(3_000, 190_000, 20_000));
        let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
        assert_eq!(first.at(at(3_000)).nanos, 90_000);
        assert_eq!(second.at(at(3_000)), Offset { nanos: 90_000, bound: 1_000 + 100_000 + 2 });
        assert_eq!(second.at(at(3_500)).nanos, 150_000, "half of 100 µs, and drift");
        assert_eq!(second.at(at(5_000)), Offset { nanos: 230_000, bound: 21_002 });
    }

    #[test]
    fn far_or_near_it_never_runs_faster_than_it_may() {
        for far in [-900_000_000_i64, -40, 0, 7, 400_000_000] {
            let course = Course::begin(&estimate(0, 0, -100_000)).steer(&estimate(10, far, -100_000));
            let mut before = course.to_theirs(Timestamp::from_nanos(10_000_000)).as_nanos();
            for step in 1..4_000_u64 {
                let ours = Timestamp::from_nanos(10_000_000 + step * 1_000_000);
                let now = course.to_theirs(ours).as_nanos();
                assert!((999_300..=1_000_500).contains(&(now - before)), "{far}: {} in a millisecond", now - before);
                assert!(course.to_ours(Timestamp::from_nanos(now)).as_nanos().abs_diff(ours.as_nanos()) <= 2);
                let offset = course.at(ours);
                let line = far - (step as i64) * 100;
                assert!(offset.nanos.abs_diff(line) <= offset.bound, "{far}: {offset:?} is not {line}");
                before = now;
            }
        }
    }
}
