//! Rehearsals: the real control plane and data plane around simulated workers, also when something fails.

use serde_json::Value;

use crate::harness::{Run, finish, throng};

/// Ten thousand users in one room, whose run of 12 s is rehearsed in a fraction of that.
const CROWD: &str = "\
name: crowd
seed: 11
target: { url: \"wss://chat.invalid\", tokens: { secret: never-used } }
channels:
  - { id: room, type: livestream, members: all }
cohorts:
  - name: fans
    users: 10_000
    ramp: { rate: 5_000/s }
    actions:
      - send: { channel: room, rate: 2/s, size: 50..100B }
      - react: { channel: room, rate: 1/s }
phases:
  - { name: calm, hold: 4s }
  - { name: rush, spike: { for: 6s, to: 2x } }
probes: { canaries: 20, send: 1/s }
thresholds:
  - delivery: p(99) < 60ms
  - canary_delivery: p(50) < 60ms
  - lost: count == 0
";

fn rehearsed(run: &mut Run) -> Value {
    let result = run.result();
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert!(result["rehearsed"]["note"].as_str().expect("a note").contains("no service was measured"), "{result}");
    let page = std::fs::read_to_string(run.out().join("report.html")).expect("a report");
    assert!(page.contains("class=\"rehearsed\"") && page.contains("<title>crowd · rehearsed,"), "the page is marked");
    assert!(run.stdout().contains("no service was measured"), "{}", run.stdout());
    result
}

#[test]
fn ten_workers_of_a_thousand_users_are_rehearsed_to_the_last_number() {
    let mut run = Run::start_as("rehearse", CROWD, &["--workers", "10", "--speed", "2"]);
    assert_eq!(run.end(), 0, "{}{}", run.stdout(), run.stderr());
    let result = rehearsed(&mut run);
    assert_eq!(result["rehearsed"]["speed"], 2.0);
    assert_eq!(result["users"]["connected_max"], 10_000);
    let completeness = &result["completeness"];
    assert!(completeness["expected"].as_u64().unwrap() > 200_000, "{completeness}");
    assert_eq!(completeness["expected"], completeness["delivered"]);
    let sources = result["sources"].as_array().unwrap();
    assert_eq!(sources.iter().filter(|s| s["kind"] == "worker" && s["users_planned"] == 1_000).count(), 10);
    // Each of the run's seconds is there, and the phases are where the scenario has them, whatever the speed.
    let phases: Vec<_> = result["phases"].as_array().unwrap().iter().map(|p| p["start_s"].as_f64().unwrap()).collect();
    assert_eq!(phases, [0.0, 2.0, 6.0]);
    let started = result["events"].as_array().unwrap().iter().find(|e| e["text"].as_str().unwrap().contains("rush"));
    let at = started.expect("the phase is noted")["at_s"].as_f64().unwrap();
    assert!((5.9..9.0).contains(&at), "{at}");
    let connected: Vec<_> =
        result["timeline"]["users_connected"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert_eq!(connected[2..12], [10_000; 10], "on time or late, each second has what happened in it");
    for metric in ["delivery", "send", "connect", "connect_tls", "lag", "fanout_last", "canary_delivery", "loop_delay"]
    {
        assert!(result["metrics"][metric]["count"].as_u64().unwrap() > 0, "{metric}");
    }
}

#[test]
fn a_killed_worker_is_told_and_a_data_plane_that_comes_back_misses_nothing() {
    let faults = ["--fault", "kill-worker:3@7s", "--fault", "restart-data-plane@4s"];
    let flags = ["--workers", "5", "--speed", "2"];
    let mut run = Run::start_as("rehearse", CROWD, &[&flags[..], &faults[..]].concat());
    assert_eq!(run.end(), 2, "a lost worker: {}{}", run.stdout(), run.stderr());
    let result = rehearsed(&mut run);
    let lost: Vec<_> = result["sources"].as_array().unwrap().iter().filter(|s| s["lost_at_s"].is_number()).collect();
    assert!(lost.len() == 1 && lost[0]["name"] == "worker-3", "{lost:?}");
    let missing = result["sources"].as_array().unwrap().iter().map(|s| s["intervals_missing"].as_u64().unwrap());
    assert_eq!(missing.sum::<u64>(), 0, "what came while the data plane was away was sent again");
    let completeness = &result["completeness"];
    assert_eq!(completeness["lost"], 0);
    assert!(run.stderr().contains("data-plane serves again"), "{}", run.stderr());
}

#[test]
fn what_can_not_fail_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.yaml"), CROWD).unwrap();
    for (flags, word) in [
        (["--workers", "2", "--fault", "kill-worker:3@1s"], "there are 2 workers"),
        (["--workers", "2", "--fault", "fire@1s"], "nothing that can fail"),
        (["--workers", "2", "--speed", "0"], "real time"),
    ] {
        let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["rehearse", "s.yaml"]).args(flags));
        assert!(code == 64 && stderr.contains(word), "{code}: {stderr}");
    }
}

#[test]
fn a_hundred_workers_say_when_they_began_and_the_report_how_far_apart() {
    let mut run = Run::start_as("rehearse", CROWD, &["--workers", "100", "--speed", "2"]);
    let code = run.end();
    assert!([0, 2].contains(&code), "exit {code}\n{}", run.stderr());
    let result = rehearsed(&mut run);
    let events = result["events"].as_array().expect("events").iter();
    let told: Vec<_> = events.filter(|e| e["kind"] == "start_skew").filter_map(|e| e["text"].as_str()).collect();
    let [text] = told[..] else { panic!("told once: {told:?}") };
    println!("{text}");
    let rest = text.strip_prefix("all 100 workers began within ").expect(text);
    let (spread, rest) = rest.split_once(" ms (± 0.00 ms by their clocks)").expect(text);
    assert!(rest.ends_with(" ms after the start"), "{text}");
    // The aim is 10 ms; a machine that builds beside this may stand still for longer.
    assert!(spread.parse::<f64>().expect(text) < 1_000.0, "{text}");
}
