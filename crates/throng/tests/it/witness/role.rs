//! The test target as people start it: its own process, and the truth over HTTP.

use std::process::Command;

use serde_json::Value;

use super::{counted, finish, is_true, micros, run_against};
use crate::harness::Server;

const SCENARIO: &str = "\
name: by-hand
seed: 2
channels:
  - { id: room, members: all }
cohorts:
  - name: people
    users: 20
    ramp: { rate: 20/s }
    actions:
      - send: { channel: room, rate: 20/s, size: 20..60B }
hold: 3s
";

#[test]
fn the_truth_can_be_asked_for() {
    let flags = ["test-target", "--listen", "127.0.0.1:0", "--delay", "constant(80ms)", "--duplicate", "1/40"];
    let server = Server::start(&flags);
    let listen = server.ready["listen"].as_str().expect("an address");
    let mut run = run_against(&format!("ws://{listen}"), SCENARIO, 1);
    let result = finish(&mut run);
    let url = server.ready["truth"].as_str().expect("where the truth is");
    let out = Command::new("curl").args(["-sS", "--max-time", "10", url]).output().expect("curl");
    let truth: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let counts = &truth["counts"];
    assert!(counts["duplicated"].as_u64() > Some(10), "{truth}");
    assert_eq!(result["completeness"]["duplicated"], counts["duplicated"]);
    assert_eq!(result["completeness"]["delivered"], counts["written"]);
    assert_eq!(counted(&result["metrics"], "delivery", "count"), truth["delivery"]["count"].as_u64().expect("a count"));
    let median = truth["delivery"]["p50_us"].as_i64().expect("a median");
    assert!(median >= 80_000, "{truth}");
    let reported = micros(&result, "delivery", "p50_us");
    assert!(is_true(reported, median), "reported {reported}, true {truth}");
}
