//! The true offset lies inside the bound, whatever the network does and however the clocks drift.

use measure::{Estimator, Exchange, Timestamp};
use proptest::prelude::*;

/// Two clocks against true time: ours drifts by `ours_ppb`, theirs by `theirs_ppb` and starts `skew` ahead.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    skew: i64,
    ours_ppb: i64,
    theirs_ppb: i64,
}

const EPOCH: i128 = 1_000_000_000_000_000;

impl Clocks {
    fn ours(&self, t: u64) -> Timestamp {
        Timestamp::from_nanos((EPOCH + drifted(t, self.ours_ppb)) as u64)
    }

    fn theirs(&self, t: u64) -> Timestamp {
        Timestamp::from_nanos((EPOCH + i128::from(self.skew) + drifted(t, self.theirs_ppb)) as u64)
    }

    fn truth(&self, t: u64) -> i128 {
        i128::from(self.theirs(t).as_nanos()) - i128::from(self.ours(t).as_nanos())
    }
}

fn drifted(t: u64, ppb: i64) -> i128 {
    i128::from(t) + i128::from(t) * i128::from(ppb) / 1_000_000_000
}

fn clocks() -> impl Strategy<Value = Clocks> {
    // 14.9 ppm each: just inside the allowance, whose own rounding is not what is tested.
    (-900_000_000_000_000..900_000_000_000_000_i64, -14_900..14_900_i64, -14_900..14_900_i64)
        .prop_map(|(skew, ours_ppb, theirs_ppb)| Clocks { skew, ours_ppb, theirs_ppb })
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
            let (received, answered, returned) = (t + there, t + there + inside, t + there + inside + back);
            estimator.observe(Exchange {
                asked: clocks.ours(t),
                received: clocks.theirs(received),
                answered: clocks.theirs(answered),
                returned: clocks.ours(returned),
            });
            t = returned;
        }
        let now = t + later;
        let estimate = estimator.estimate(clocks.ours(now)).unwrap();
        let error = (clocks.truth(now) - i128::from(estimate.nanos)).unsigned_abs();
        // Three readings of simulated clocks are cut to whole nanoseconds.
        prop_assert!(error <= u128::from(estimate.bound) + 3, "off by {error} ns, bound {} ns", estimate.bound);
    }

    #[test]
    fn a_short_way_makes_a_tight_bound(clocks in clocks(), there in 1..50_000_u64, back in 1..50_000_u64) {
        let mut estimator = Estimator::default();
        estimator.observe(Exchange {
            asked: clocks.ours(0),
            received: clocks.theirs(there),
            answered: clocks.theirs(there),
            returned: clocks.ours(there + back),
        });
        let estimate = estimator.estimate(clocks.ours(there + back)).unwrap();
        prop_assert!(estimate.bound <= (there + back) / 2 + 10, "{estimate:?}");
    }
}
