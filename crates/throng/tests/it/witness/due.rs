//! Due time: latency begins when an action was due. A service that stands still is seen as slow by everybody who was due
//! meanwhile; a generator that stands still gives no verdict about the service.

use std::time::Duration;

use measure::Clock;
use serde_json::Value;
use truth::StallSpec;

use super::{Target, attempt, counted, finish, micros};
use crate::harness::{RUN_WITHIN, Run, eventually, signal};

/// One talker at an even 400 messages a second for 11 s: about 4,400 messages, of which a stall of 1.4 s delays 560, 13 %:
/// the slowest 1 % waited more than 1.29 s. The talker's thread has 24 connections for actions, which are all that can be
/// *sent* into the stall: 0.5 %, so that p99 of the uncorrected series knows nothing of it.
const SCENARIO: &str = "\
name: stalled
seed: 3
channels:
  - { id: room, members: all }
cohorts:
  - name: talker
    users: 1
    ramp: { rate: 1/s }
    actions:
      - send: { channel: room, rate: 400/s, size: 20..20B, arrivals: even }
  - name: listeners
    users: 2
    ramp: { rate: 10/s }
hold: 11s
";

/// wrk2's example, shortened. Without the method, `send` would be `send_service`, and `delivery` `delivery_service`; or a
/// second's percentiles would be averaged. Each of these is shown not to pass.
#[test]
fn a_service_that_stands_still_is_seen_by_all_that_were_due() {
    attempt(|| {
        let stall = StallSpec { lasts: Duration::from_millis(1_400), after: Duration::from_secs(5) };
        let target = Target::start(|config| config.stall = Some(stall));
        let wrong = misread(&finish(&mut target.run(SCENARIO, 1)));
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    });
}

/// What a result does not say of the stall.
fn misread(result: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ask = |holds: bool, what: String| wrong.extend((!holds).then_some(what));
    let sent = counted(&result["metrics"], "send", "count");
    ask(sent > 4_000, format!("{sent} messages are too few for the arithmetic"));
    for (corrected, uncorrected) in [("send", "send_service"), ("delivery", "delivery_service")] {
        let p99 = micros(result, corrected, "p99_us");
        let without = micros(result, uncorrected, "p99_us");
        ask(p99 > 1_000_000, format!("{corrected}: {p99} µs"));
        ask(without < 500_000, format!("{uncorrected}: {without} µs"));
    }
    let lag = micros(result, "lag", "p99_us");
    ask(lag < 50_000, format!("the generator was not at fault: {lag} µs"));
    let seconds = result["timeline"]["latency"]["delivery"]["p99_us"].as_array().expect("a value a second");
    let seconds: Vec<f64> = seconds.iter().filter_map(Value::as_f64).collect();
    let averaged = seconds.iter().sum::<f64>() / seconds.len() as f64;
    ask(averaged < 500_000.0, format!("the average of p99 hides it: {averaged} µs"));
    wrong
}

/// Fifty users, a message each 50 ms for 7 s: a worker that stands still for 1.5 s is late with a fifth of its share.
const STOPPED: &str = "\
name: stopped-generator
seed: 4
channels:
  - { id: room, members: all }
cohorts:
  - name: people
    users: 50
    ramp: { rate: 50/s }
    actions:
      - send: { channel: room, rate: 20/s, size: 20..20B, arrivals: even }
hold: 7s
";

/// Without `lag` the report would call the target slow: it answers everything at once.
#[test]
fn a_generator_that_stands_still_gives_no_verdict() {
    let target = Target::start(|_| {});
    let mut run = target.run(STOPPED, 2);
    run.wait_until_under_way();
    stop_for(&run, "worker-2", Duration::from_millis(1_500));
    assert_eq!(run.end(), 2, "{}", run.stderr());
    let result = run.result();
    assert_eq!(result["verdict"]["outcome"], "invalid");
    assert!(micros(&result, "lag", "p99_us") > 1_000_000, "{}", result["metrics"]["lag"]);
    let reasons = result["verdict"]["reasons"].as_array().expect("reasons").iter().filter_map(Value::as_str);
    let late: Vec<&str> = reasons.filter(|r| r.starts_with("The load generator was late")).collect();
    assert!(late.len() == 1 && late[0].contains("worker-2"), "the reason names the worker: {}", result["verdict"]);
    assert!(!late[0].contains("worker-1"), "and no other: {late:?}");
    let slow = target.ledger.truth().since_came.iter().filter(|micros| **micros > 500_000).count();
    assert_eq!(slow, 0, "the target was not at fault");
}

/// Stops a process of a run for less than the three seconds of its lease.
fn stop_for(run: &Run, name: &str, time: Duration) {
    let pid = *run.processes(name).first().expect("it runs");
    signal(pid, "STOP");
    let (clock, start) = (Clock::System, Clock::System.now());
    eventually("some time has passed", RUN_WITHIN, || clock.now().since(start) >= time);
    signal(pid, "CONT");
}
