//! Users that fetch their events by long-polling, beside others on WebSockets.

use crate::harness::Run;

/// Those who stay, and those who come and go, on either transport.
const BOTH: &str = "\
name: both
seed: 7
channels:
  - { id: room, type: livestream, members: all }
cohorts:
  - name: sockets
    users: 30
    ramp: { rate: 100/s }
    actions:
      - send: { channel: room, rate: 5/s, size: 50..100B }
  - name: polls
    transport: longpoll
    users: 30
    ramp: { rate: 100/s }
    actions:
      - send: { channel: room, rate: 5/s, size: 50..100B }
  - name: guests
    transport: longpoll
    users: 10
    ramp: { rate: 50/s }
    lifetime: 500ms..1500ms
    rejoin: 200ms..600ms
hold: 4s
thresholds:
  - lost: count == 0
";

#[test]
fn who_polls_gets_what_the_others_get() {
    let mut run = Run::start(BOTH);
    // What throng says of a busy machine is another matter.
    let code = run.end();
    let result = run.result();
    assert!([0, 2].contains(&code), "exit {code}\n{}", run.stderr());
    for cohort in ["sockets", "polls", "guests"] {
        let account = &result["completeness_by_cohort"][cohort];
        assert_eq!((&account["lost"], &account["duplicated"]), (&0.into(), &0.into()), "{cohort}: {account}");
        assert_eq!(account["expected"], account["delivered"], "{cohort}: {account}");
        assert!(account["delivered"].as_u64() > Some(20), "{cohort}: {account}");
    }
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert!(result["counters"]["connected"].as_u64() > Some(70), "guests came again: {}", result["counters"]);
    let parts = &result["metrics_by_cohort"];
    assert_eq!(parts["polls"]["connect"]["count"], 30);
    assert!(parts["polls"]["connect_upgrade"].is_null() || parts["polls"]["connect_upgrade"]["count"] == 0);
    assert!(!result["errors"].to_string().contains("longpoll"), "{}", result["errors"]);
}
