//! Processes that die in mid-run.

use crate::harness::{GONE_WITHIN, RUN_WITHIN, Run, SMALL, eventually, signal};

fn longer() -> String {
    SMALL.replace("hold: 3s", "hold: 12s")
}

#[test]
fn killing_throng_run_leaves_no_process_and_a_report() {
    let mut run = Run::start(&longer());
    run.wait_until_under_way();
    assert!(run.processes("").len() >= 6, "a whole fleet");
    run.kill();
    eventually("no process is left", GONE_WITHIN, || run.processes("").is_empty());
    assert!(run.out().join("report.html").is_file());
    let result = run.result();
    assert_eq!(result["verdict"]["interrupted"], true, "{}", result["verdict"]);
    assert!(result["metrics"]["delivery"]["count"].as_u64().unwrap() > 0, "what was measured is kept");
}

#[test]
fn a_killed_worker_makes_the_run_invalid() {
    let mut run = Run::start_with(&longer(), &["--workers", "2"]);
    run.wait_until_under_way();
    signal(run.processes("worker")[0], "KILL");
    assert_eq!(run.end(), 2);
    let result = run.result();
    assert_eq!(result["verdict"]["outcome"], "invalid");
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(reasons.contains("worker-"), "the reason names the worker: {reasons}");
    assert!(run.stderr().contains("was killed (signal 9)"), "{}", run.stderr());
}

#[test]
fn a_killed_data_plane_comes_back_and_nothing_is_lost() {
    let mut run = Run::start(&longer());
    run.wait_until_under_way();
    signal(run.processes("data-plane")[0], "KILL");
    eventually("it serves again", RUN_WITHIN, || run.stderr().contains("data-plane serves again"));
    let result = run.end_well();
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert_eq!(result["completeness"]["expected"], result["completeness"]["delivered"]);
}

#[test]
fn a_killed_chat_server_stops_the_run() {
    let mut run = Run::start(&longer());
    run.wait_until_under_way();
    signal(run.processes("chat-server")[0], "KILL");
    assert_eq!(run.end(), 2);
    let reasons = run.result()["verdict"]["reasons"].to_string();
    assert!(reasons.contains("chat server"), "{reasons}");
}

#[test]
fn a_killed_control_plane_ends_the_run_with_a_report() {
    let mut run = Run::start(&longer());
    run.wait_until_under_way();
    signal(run.processes("control-plane")[0], "KILL");
    assert_eq!(run.end(), 69);
    assert!(run.stderr().contains("control plane was lost"), "{}", run.stderr());
    assert!(run.out().join("report.html").is_file());
    assert_eq!(run.result()["verdict"]["outcome"], "invalid");
    eventually("no process is left", GONE_WITHIN, || run.processes("").is_empty());
}

#[test]
fn a_killed_probe_makes_the_run_invalid() {
    let mut run = Run::start(&longer());
    run.wait_until_under_way();
    signal(run.processes("probe")[0], "KILL");
    assert_eq!(run.end(), 2, "{}", run.stderr());
}
