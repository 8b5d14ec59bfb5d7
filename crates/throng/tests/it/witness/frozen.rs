//! A service that freezes and never comes back: nothing more arrives, so nothing can be seen to be missing, and a run must
//! not pass for that.

use std::time::Duration;

use serde_json::Value;
use truth::StallSpec;

use super::{Target, counted};

const SCENARIO: &str = "\
name: frozen
seed: 8
channels:
  - { id: room, members: all }
cohorts:
  - name: people
    users: 10
    ramp: { rate: 10/s }
    actions:
      - send: { channel: room, rate: 10/s, size: 20..20B, arrivals: even }
hold: 5s
thresholds:
  - lost: count == 0
";

/// Without the method each user's own last event counts as the channel's last, and nothing was lost.
#[test]
fn a_service_that_freezes_to_the_end_does_not_pass() {
    let stall = StallSpec { lasts: Duration::from_secs(600), after: Duration::from_secs(3) };
    let target = Target::start(|config| config.stall = Some(stall));
    let mut run = target.run(SCENARIO, 1);
    let code = run.end();
    let result = run.result();
    let reasons = result["verdict"]["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let reasons: Vec<_> = reasons.collect();
    assert!(code == 99 || code == 2, "exit {code}: {reasons:?}");
    // The service may freeze in the middle of a message: who saw it knows for the others that they miss it.
    let truth = target.ledger.truth();
    let begun = truth.events.values().filter(|fate| fate.written > 0);
    let half_told: u64 = begun.map(|fate| fate.deliveries - fate.written).sum();
    let lost = counted(&result, "completeness", "lost");
    assert!(lost <= half_told && half_told < 10, "{lost} lost of {half_told} that somebody knows of");
    assert_eq!(result["thresholds"][0]["held"], lost == 0, "as far as anybody knows, nothing else is lost");
    assert_eq!(counted(&result, "counters", "unsettled"), 10, "one channel of each user");
    assert!(reasons.iter().any(|r| r.contains("could not be asked for")), "{reasons:?}");
}
