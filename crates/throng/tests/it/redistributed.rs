//! `on_worker_loss: redistribute`: a worker that is killed in mid-run, and the others who take its users over.

use serde_json::Value;

use crate::harness::{Run, SMALL, signal, slow};

/// 99 users, a third of them for each of three workers.
fn scenario(hold: &str) -> String {
    let scenario = SMALL.replace("users: 100", "users: 99").replace("hold: 3s", &format!("hold: {hold}"));
    format!("{scenario}on_worker_loss: redistribute\n")
}

fn texts(result: &Value, kind: &str) -> Vec<String> {
    let events = result["events"].as_array().expect("events").iter().filter(|event| event["kind"] == kind);
    events.map(|event| event["text"].as_str().expect("a text").to_owned()).collect()
}

/// The levels of a line over time, with the second of each.
fn levels(result: &Value, line: &str) -> Vec<(u64, u64)> {
    let of = |name: &str| result["timeline"][name].as_array().expect("a line").iter().filter_map(Value::as_u64);
    of("seconds").zip(of(line)).collect()
}

/// What must hold of a run whose account has nothing but gaps.
fn sound(result: &Value) {
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    let completeness = &result["completeness"];
    assert!(completeness["expected"].as_u64().is_some_and(|n| n > 1_000), "{completeness}");
    assert_eq!(completeness["expected"], completeness["delivered"], "{completeness}");
    assert_eq!(completeness["lost"], 0, "{completeness}");
}

#[test]
fn a_killed_workers_users_are_taken_over_and_the_run_counts() {
    let mut run = Run::start_with(&scenario("45s"), &["--workers", "3"]);
    run.wait_until_under_way();
    signal(run.processes("worker")[0], "KILL");
    let (code, result) = (run.end(), run.result());
    let reasons = result["verdict"]["reasons"].as_array().expect("reasons").clone();
    // While a busy machine connects them, what is due for them is not started.
    let is_fair = |reason: &str| slow(reason) || reason.contains("were not started");
    assert!(reasons.iter().all(|reason| reason.as_str().is_some_and(is_fair)), "{reasons:?}");
    assert_eq!(code, if reasons.is_empty() { 0 } else { 2 }, "{reasons:?}");
    sound(&result);
    let lost = texts(&result, "worker_lost");
    assert!(lost.len() == 1 && lost[0].contains("its 33 users go to the others in 10 s"), "{lost:?}");
    let name = lost[0].split(' ').next().expect("a name");
    let told = texts(&result, "handed_over");
    assert!(told.len() == 1 && told[0].starts_with(&format!("{name} is lost")), "{told:?}");
    assert!(told[0].contains("it is not known what its 33 users saw and did from"), "{told:?}");
    let others = (1..=3).map(|n| format!("worker-{n}")).filter(|other| other != name);
    let keepers =
        others.map(|other| [17, 16].into_iter().find(|n| told[0].contains(&format!("{other} ({n})"))).unwrap_or(0));
    assert_eq!(keepers.sum::<u64>(), 33, "who has them: {told:?}");
    let doubts = result["doubts"].to_string();
    assert!(doubts.contains("the scenario allows it") && doubts.contains(&told[0]), "{doubts}");
    let gap = &result["gaps"][0];
    let (from, to) = (gap["from_s"].as_f64().expect("a start"), gap["to_s"].as_f64().expect("an end"));
    assert!(gap["users"] == 33 && to - from > 9.0, "no user may be there twice: {gap}");
    // Everybody is there again, and nobody twice.
    let connected = levels(&result, "users_connected");
    let last = connected.iter().rev().find(|(s, _)| *s < 45).expect("a level before the end");
    assert_eq!(last.1, 99, "{connected:?}");
    assert!(connected.iter().all(|(_, users)| *users <= 99), "{connected:?}");
    assert!(connected.iter().any(|(s, users)| *s as f64 > from && *users == 66), "{connected:?}");
}
