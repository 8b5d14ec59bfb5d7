//! Completeness: what the target dropped, repeated and swapped is what the report says is lost, duplicated and reordered,
//! to the last frame, while users come and go.
//!
//! Witness for the account by `seq`. Without it a tester can only compare what it received with what should have come, in
//! sum: then a repeat makes up for a loss. The test computes that number, and shows that it hides losses.

use truth::OneIn;

use super::{Target, counted, finish};

/// Six rooms of twenty, of whom half stay for a second or two and come back. A user who misses something waits 10 s for
/// it at its end, and so the run takes that much longer.
const SCENARIO: &str = "\
name: faults
seed: 6
channels:
  - { id: room, count: 6, members: all }
cohorts:
  - name: residents
    users: 60
    ramp: { rate: 60/s }
    actions:
      - send: { channel: room, rate: 60/s, size: 20..60B }
  - name: commuters
    users: 60
    ramp: { rate: 60/s }
    lifetime: 1s..2s
    rejoin: 200ms..500ms
hold: 5s
";

#[test]
fn every_frame_that_went_wrong_is_found() {
    let target = Target::start(|config| {
        config.delay = "lognormal(10ms,0.7,200ms)".parse().expect("a distribution");
        (config.drop, config.duplicate, config.swap) = (OneIn::new(700), OneIn::new(150), OneIn::new(200));
    });
    let mut run = target.run(SCENARIO, 2);
    let result = finish(&mut run);
    let truth = target.ledger.truth();
    let counts = truth.counts;
    assert!(counts.dropped > 3 && counts.duplicated > 10 && counts.swapped > 10, "{counts:?}");
    let found = |name| counted(&result, "completeness", name);
    assert_eq!(found("expected"), counts.deliveries, "{counts:?}");
    assert_eq!(found("delivered"), counts.written, "{counts:?}");
    assert_eq!(found("lost"), counts.dropped, "{counts:?}");
    assert_eq!(found("duplicated"), counts.duplicated, "{counts:?}");
    assert_eq!(found("reordered"), counts.swapped, "{counts:?}");
    assert_eq!(counts.undeliverable, 0, "nobody leaves before all that was told is there: {counts:?}");
    let visits = counted(&result, "counters", "connected");
    assert!(visits > 150, "users came and went in mid-run: {visits}");
    // What counting frames alone would say.
    let missing = counts.deliveries.saturating_sub(counts.written + counts.duplicated);
    assert_ne!(missing, counts.dropped, "repeats make up for losses where nobody looks at numbers");
}
