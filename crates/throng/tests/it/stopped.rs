//! Runs that their user stops.

use crate::harness::{GONE_WITHIN, RUN_WITHIN, Run, SMALL, eventually, signal};

fn endless() -> String {
    SMALL.replace("hold: 3s", "hold: 10m")
}

fn stops_in_order(name: &str) {
    let mut run = Run::start(&endless());
    run.wait_until_under_way();
    signal(run.pid(), name);
    assert_eq!(run.end(), 130);
    let result = run.result();
    assert_eq!(result["verdict"]["interrupted"], true, "{}", result["verdict"]);
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert!(run.out().join("report.html").is_file());
    assert!(run.processes("").is_empty(), "nothing is left");
}

#[test]
fn ctrl_c_keeps_and_reports_what_was_measured() {
    stops_in_order("INT");
}

#[test]
fn sigterm_does_the_same() {
    stops_in_order("TERM");
}

#[test]
fn ctrl_c_twice_does_not_wait() {
    let mut run = Run::start(&endless());
    run.wait_until_under_way();
    signal(run.pid(), "INT");
    eventually("it stops", RUN_WITHIN, || run.stderr().contains("stopping"));
    signal(run.pid(), "INT");
    assert_eq!(run.end(), 130);
    eventually("no process is left", GONE_WITHIN, || run.processes("").is_empty());
}

#[test]
fn ctrl_c_before_the_run_began_is_130_too() {
    let mut run = Run::start(&endless());
    eventually("it starts", RUN_WITHIN, || run.stderr().contains("run "));
    signal(run.pid(), "INT");
    assert_eq!(run.end(), 130);
    eventually("no process is left", GONE_WITHIN, || run.processes("").is_empty());
}
