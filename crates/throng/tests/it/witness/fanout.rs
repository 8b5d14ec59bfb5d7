//! Fan-out: when the first, half, 99 % and the last of a message's receivers had it, over all workers.
//!
//! Witness for receipts that are merged over workers before anything is said of a message. Without it one has a worker's
//! share of the receivers; the test computes what that says, and shows that it is another number.

use serde_json::{Value, json};
use truth::quantile;

use super::{Target, attempt, counted, finish, is_true, micros, untrue};
use crate::harness::signal;

/// A hundred and twenty in one room, spread over four workers: 99 % of them is one less than all.
const SCENARIO: &str = "\
name: fan-out
seed: 8
channels:
  - { id: room, members: all }
cohorts:
  - name: people
    users: 120
    ramp: { rate: 120/s }
    actions:
      - send: { channel: room, rate: 12/s, size: 20..60B }
hold: 7s
";
const DELAY: &str = "pareto(15ms,1.4,700ms)";

#[test]
fn of_each_message_the_first_median_and_last_receiver_are_known() {
    attempt(|| {
        let target = Target::start(|config| config.delay = DELAY.parse().expect("a distribution"));
        let mut run = target.run(SCENARIO, 4);
        let result = finish(&mut run);
        let truth = target.ledger.truth();
        let metrics = [("fanout_first", 0.0), ("fanout_median", 0.5), ("fanout_p99", 0.99), ("fanout_last", 1.0)];
        let mut wrong = Vec::new();
        for (metric, part) in metrics {
            assert_eq!(result["fanout"]["exact"], true, "{}", result["fanout"]);
            assert_eq!(counted(&result["metrics"], metric, "count"), truth.counts.messages, "one sample a message");
            wrong.extend(untrue(&result, metric, &truth.fan_out(part)));
        }
        // A quarter of the receivers, as one of four workers sees them.
        let mut share: Vec<i64> = truth.since_due.values().filter_map(|m| m.iter().step_by(4).max().copied()).collect();
        share.sort_unstable();
        let alone = quantile(&share, 0.5).expect("there are messages");
        assert!(!is_true(alone, micros(&result, "fanout_last", "p50_us")), "one worker's share says another number");
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    });
}

#[test]
fn with_a_lost_worker_the_report_says_what_is_missing() {
    let target = Target::start(|config| config.delay = DELAY.parse().expect("a distribution"));
    let mut run = target.run(SCENARIO, 4);
    run.wait_until_under_way();
    signal(run.processes("worker-3")[0], "KILL");
    assert_eq!(run.end(), 2, "{}", run.stderr());
    let result = run.result();
    let doubts = result["doubts"].to_string();
    assert!(doubts.contains("worker-3") && doubts.contains("fan-out"), "{doubts}");
    let fanout = &result["fanout"];
    assert_eq!((&fanout["exact"], &fanout["lacks"][0]["source"]), (&json!(false), &json!("worker-3")), "{fanout}");
    assert_eq!(fanout["lacks"].as_array().map(Vec::len), Some(1), "of the others all is there: {fanout}");
    assert_eq!(fanout["lacks"][0]["users"], 30, "a quarter of all: {fanout}");
    let from = fanout["lacks"][0]["from_s"].as_f64().expect("when");
    let noted = result["sources"].as_array().and_then(|all| all.iter().find(|s| s["name"] == "worker-3"));
    let noted = noted.and_then(|s| s["lost_at_s"].as_f64()).expect("when the loss was noted");
    assert!(from > 0.0 && from <= noted, "receipts are missing from {from} s on, the loss was noted at {noted} s");
    let said = "not exact: it lacks 30 users of worker-3 from";
    let shown = run.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(said), "the terminal says it beside the number: {shown}");
    let by_event = &result["by_event"];
    assert_eq!(by_event["agrees"], Value::Null, "there is nothing to hold it against: {by_event}");
    assert!(by_event["gaps"].to_string().contains("worker-3"), "{by_event}");
    let page = std::fs::read_to_string(run.out().join("report.html")).expect("a report");
    assert!(
        page.contains(&said.replace("30 users", "30\u{a0}users")) || page.contains(said),
        "the page says it beside the number"
    );
    // What the others saw is all there.
    let seen = counted(&result["metrics"], "delivery", "count");
    assert!(seen > 0 && seen <= target.ledger.truth().counts.written, "{seen}");
}
