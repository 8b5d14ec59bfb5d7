//! The true offset lies inside the bound, whatever the network does and however the clocks drift.

use measure::offset::{DRIFT_MAX, WANDER};
use measure::{Course, Estimator, Exchange, SplitMix64, Timestamp};
use proptest::prelude::*;

/// Two clocks against true time: ours drifts by `ours_ppb`, theirs by `theirs_ppb` and starts `skew` ahead. Every
/// `turn` seconds of true time theirs changes its drift by up to `wander`.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    skew: i64,
    ours_ppb: i64,
    theirs_ppb: i64,
    wander: i64,
}

const EPOCH: i128 = 1_000_000_000_000_000;
/// How long their drift stays the same.
const TURN: u64 = 7_000_000_000;

impl Clocks {
    fn ours(&self, t: u64) -> Timestamp {
        Timestamp::from_nanos((EPOCH + drifted(t, self.ours_ppb)) as u64)
    }

    fn theirs(&self, t: u64) -> Timestamp {
        let wandered = drifted(t % TURN, self.wander) - i128::from(t % TURN);
        let wandered = if (t / TURN).is_multiple_of(2) {
            wandered
        } else {
            drifted(TURN, self.wander) - i128::from(TURN) - wandered
        };
        Timestamp::from_nanos((EPOCH + i128::from(self.skew) + drifted(t, self.theirs_ppb) + wandered) as u64)
    }

    fn truth(&self, t: u64) -> i128 {
        i128::from(self.theirs(t).as_nanos()) - i128::from(self.ours(t).as_nanos())
    }

    /// An exchange that begins at `t` and takes so long there, inside, and back.
    fn exchange(&self, t: u64, [there, inside, back]: [u64; 3]) -> Exchange {
        Exchange {
            asked: self.ours(t),
            received: self.theirs(t + there),
            answered: self.theirs(t + there + inside),
            returned: self.ours(t + there + inside + back),
        }
    }
}

fn drifted(t: u64, ppb: i64) -> i128 {
    i128::from(t) + i128::from(t) * i128::from(ppb) / 1_000_000_000
}

fn clocks() -> impl Strategy<Value = Clocks> {
    // Just inside the allowances, whose own rounding is not what is tested.
    let (most, wander) = (DRIFT_MAX / 2 - WANDER, WANDER / 2 - 50);
    (-900_000_000_000_000..900_000_000_000_000_i64, -most..most, -most..most, -wander..wander)
        .prop_map(|(skew, ours_ppb, theirs_ppb, wander)| Clocks { skew, ours_ppb, theirs_ppb, wander })
}

proptest! {
    #[test]
    fn the_truth_is_inside_the_bound(
        clocks in clocks(),
        ways in prop::collection::vec((0..10_000_000_000_u64, 1..200_000_000_u64, 0..5_000_000_u64, 1..200_000_000_u64), 1..30),
        later in 0..60_000_000_000_u64,
    ) {
        let (mut estimator, mut t) = (Estimator::default(), 0);
        for (pause, there, inside, back) in ways {
            t += pause;
            estimator.observe(clocks.exchange(t, [there, inside, back]));
            t += there + inside + back;
        }
        let now = t + later;
        let offset = estimator.estimate(clocks.ours(now)).unwrap().offset;
        let error = (clocks.truth(now) - i128::from(offset.nanos)).unsigned_abs();
        // Three readings of simulated clocks are cut to whole nanoseconds.
        prop_assert!(error <= u128::from(offset.bound) + 3, "off by {error} ns, bound {} ns", offset.bound);
        prop_assert_eq!(estimator.jumps(), 0);
    }

    #[test]
    fn a_short_way_makes_a_tight_bound(clocks in clocks(), there in 1..50_000_u64, back in 1..50_000_u64) {
        let mut estimator = Estimator::default();
        estimator.observe(clocks.exchange(0, [there, 0, back]));
        let estimate = estimator.estimate(clocks.ours(there + back)).unwrap();
        prop_assert!(estimate.offset.bound <= (there + back) / 2 + 30, "{estimate:?}");
    }
}

/// What the simulation of a run says of one host.
#[derive(Debug, Default)]
struct Seen {
    worst_bound_us: u64,
    worst_error_us: u64,
    /// The same of stamps by the offset at the run's start, and of stamps that nobody corrects.
    worst_once_us: u64,
    worst_raw_us: u64,
}

/// A run of ten minutes with an exchange every two seconds, over a network of some mood, stamped a hundred times between
/// two exchanges: as an agent keeps its course and a worker stamps by it.
fn run(seed: u64) -> Seen {
    let mut random = SplitMix64::of(&[seed]);
    let mut below = |n: u64| (random.next_unit() * n as f64) as u64;
    let sign = if seed.is_multiple_of(2) { 1 } else { -1 };
    // The witness's clock: 250 ms and 30 µs a second; then others up to the allowance.
    let (skew, drift) =
        if seed < 2 { (250_000_000, 30_000) } else { (below(3_600_000_000_000) as i64, below(90_000) as i64) };
    let clocks = Clocks { skew: sign * skew, ours_ppb: 0, theirs_ppb: sign * drift, wander: below(2_400) as i64 };
    // The least delay of each way, and how much the rest may be: asymmetric, jittery, or both.
    let (there, back, jitter) = (50_000 + below(5_000_000), 50_000 + below(5_000_000), below(20_000_000));
    let mut estimator = Estimator::default();
    let (mut course, mut first, mut seen, mut t) = (None::<Course>, None, Seen::default(), 1_000_000_000);
    let mut stamped = Timestamp::default();
    for second in 0..300 {
        for _ in 0..if second == 0 { 8 } else { 1 } {
            let ways = [there + below(jitter + 1), below(300_000), back + below(jitter + 1)];
            // One exchange in twenty fails.
            if below(20) > 0 || second == 0 {
                estimator.observe(clocks.exchange(t, ways));
            }
            t += ways.iter().sum::<u64>();
        }
        let estimate = estimator.estimate(clocks.ours(t)).expect("eight exchanges came first");
        let now = course.map_or_else(|| Course::begin(&estimate), |c| c.steer(&estimate));
        course = Some(now);
        let once = *first.get_or_insert(estimate.offset);
        for _ in 0..100 {
            t += 20_000_000;
            let (ours, truth) = (clocks.ours(t), clocks.truth(t));
            let offset = now.at(ours);
            let error = (truth - i128::from(offset.nanos)).unsigned_abs();
            assert!(
                error <= u128::from(offset.bound) + 3,
                "seed {seed}, second {second}: off by {error} ns: {offset:?}"
            );
            let theirs = now.to_theirs(ours);
            assert!(theirs > stamped, "seed {seed}, second {second}: run time ran backwards");
            stamped = theirs;
            let micros = |error: i128| u64::try_from(error.unsigned_abs() / 1_000).expect("less than an hour");
            seen.worst_bound_us = seen.worst_bound_us.max(offset.bound / 1_000);
            seen.worst_error_us = seen.worst_error_us.max(micros(truth - i128::from(offset.nanos)));
            seen.worst_once_us = seen.worst_once_us.max(micros(truth - i128::from(once.nanos)));
            seen.worst_raw_us = seen.worst_raw_us.max(micros(truth));
        }
    }
    assert_eq!(estimator.jumps(), 0, "seed {seed}");
    seen
}

#[test]
fn a_run_is_stamped_within_its_bound_at_every_instant() {
    for seed in 0..40 {
        let seen = run(seed);
        // Half of the longest two ways, and what the drift may add until the next exchange.
        assert!(seen.worst_bound_us < 26_500, "seed {seed}: {seen:?}");
        assert!(seen.worst_error_us <= seen.worst_bound_us, "seed {seed}: {seen:?}");
    }
}

/// What the method is for: without it a stamp is wrong by the whole skew, and by the offset of the run's start alone by
/// what the clocks drifted since.
#[test]
fn stamps_that_nobody_corrects_are_wrong_by_the_skew() {
    for seed in 0..2 {
        let seen = run(seed);
        assert!(seen.worst_raw_us > 250_000, "{seen:?}");
        // 600 s of 30 µs, less what the network's asymmetry may have hidden at the start.
        assert!(seen.worst_once_us > 12_000 && seen.worst_error_us < 5_200, "{seen:?}");
    }
}
