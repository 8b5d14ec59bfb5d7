//! Canaries' messages are messages: whoever gets one has a delivery, and the counts of a report agree with each other.

use wire::Stamp;

use super::{Target, counted, finish};

const SCENARIO: &str = "\
name: canaries
seed: 12
channels:
  - { id: room, members: all }
cohorts:
  - name: people
    users: 20
    ramp: { rate: 20/s }
    actions:
      - send: { channel: room, rate: 10/s, size: 20..60B }
hold: 6s
probes: { canaries: 2, send: 5/s }
";

#[test]
fn every_delivery_of_every_message_is_measured() {
    let target = Target::start(|config| config.delay = "constant(5ms)".parse().expect("a distribution"));
    let mut run = target.run(SCENARIO, 2);
    let result = finish(&mut run);
    let truth = target.ledger.truth();
    let tweets = truth.heard.iter().filter(|h| h.stamp.is_some_and(|(action, ..)| action == Stamp::CANARY)).count();
    assert!(tweets > 10 && truth.heard.len() > tweets + 30, "{tweets} of {}", truth.heard.len());
    let measured = counted(&result["metrics"], "delivery", "count");
    assert_eq!(measured, counted(&result, "counters", "messages_received"));
    assert_eq!(measured, counted(&result, "completeness", "delivered"));
    assert_eq!(counted(&result["metrics"], "fanout_last", "count"), truth.counts.messages);
    // What the target wrote went to the people or to the canaries.
    let canaries = counted(&result["metrics"], "canary_delivery", "count");
    assert!(canaries > 0 && measured + canaries <= truth.counts.written, "{measured} + {canaries}: {:?}", truth.counts);
}
