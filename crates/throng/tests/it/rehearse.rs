//! Rehearsals: the real control plane and data plane around simulated workers, also when something fails.

use serde_json::Value;

use crate::harness::{Run, finish, throng};

/// The crowd, smaller and calm for longer, so that what fails has time to come back.
const LONGER: [&str; 4] = ["--set", "cohorts.fans.users=2000", "--set", "phases.calm.hold=12s"];

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

/// The row of a source, by its name.
fn source<'a>(result: &'a Value, name: &str) -> &'a Value {
    let mut sources = result["sources"].as_array().expect("sources").iter();
    sources.find(|s| s["name"] == name).unwrap_or_else(|| panic!("no {name} in {}", result["sources"]))
}

/// Nothing that was recorded is missing, and nothing that was sent.
fn assert_whole(result: &Value) {
    let missing = result["sources"].as_array().expect("sources").iter().map(|s| s["intervals_missing"].as_u64());
    assert_eq!(missing.map(|n| n.expect("a number")).sum::<u64>(), 0, "what waited was sent: {}", result["sources"]);
    assert_eq!(result["conservation"]["unaccounted"], serde_json::json!([]));
    let completeness = &result["completeness"];
    assert!(completeness["expected"].as_u64().expect("a number") > 20_000, "{completeness}");
    assert_eq!((&completeness["expected"], &completeness["lost"]), (&completeness["delivered"], &0.into()));
}

fn lost(result: &Value) -> Vec<&str> {
    let sources = result["sources"].as_array().expect("sources").iter();
    sources.filter(|s| s["lost_at_s"].is_number()).filter_map(|s| s["name"].as_str()).collect()
}

#[test]
fn a_cut_shorter_than_the_lease_loses_nothing_and_a_longer_one_the_worker_whose_measurements_come_later() {
    let faults = ["--workers", "4", "--fault", "cut-link:2+1500ms@4s", "--fault", "cut-link:3+5s@4s"];
    let mut run = Run::start_as("rehearse", CROWD, &[&LONGER[..], &faults[..]].concat());
    assert_eq!(run.end(), 2, "a lost worker: {}{}", run.stdout(), run.stderr());
    let result = rehearsed(&mut run);
    assert_eq!(lost(&result), ["worker-3"]);
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(reasons.contains("worker-3 is lost: it has said nothing for"), "{reasons}");
    // It went on until it was told to stop, and shipped that too.
    assert_whole(&result);
    let at = |row: &Value| row["lost_at_s"].as_f64().expect("a time");
    assert!((6.0..9.0).contains(&at(source(&result, "worker-3"))), "{}", source(&result, "worker-3"));
    let connected: Vec<_> =
        result["timeline"]["users_connected"].as_array().expect("seconds").iter().filter_map(Value::as_u64).collect();
    assert_eq!((connected[7], connected[19]), (2_000, 1_500), "{connected:?}");
    let events = result["events"].to_string();
    for words in ["the link of worker-2 is cut for 1.5 s at 4 s", "the link of worker-3 is cut for 5 s at 4 s"] {
        assert!(events.contains(words), "{events}");
    }
}

#[test]
fn a_link_that_is_cut_for_good_takes_its_worker_away_and_what_it_measured() {
    let faults = ["--workers", "4", "--fault", "cut-link:3@4s"];
    let mut run = Run::start_as("rehearse", CROWD, &[&LONGER[..], &faults[..]].concat());
    assert_eq!(run.end(), 2, "a lost worker: {}{}", run.stdout(), run.stderr());
    let result = rehearsed(&mut run);
    assert_eq!(lost(&result), ["worker-3"]);
    assert_eq!(result["conservation"]["unaccounted"], serde_json::json!(["worker-3"]));
    let came = |name: &str| source(&result, name)["intervals"].as_u64().expect("a number");
    assert!(came("worker-3") <= 5 && came("worker-2") >= 20, "{} and {}", came("worker-3"), came("worker-2"));
}

#[test]
fn both_planes_are_killed_and_take_up_where_they_were() {
    let faults = ["--fault", "restart-control-plane@4s", "--fault", "restart-data-plane@10s"];
    let mut run =
        Run::start_as("rehearse", CROWD, &[&LONGER[..], &["--workers", "4", "--speed", "2"], &faults[..]].concat());
    assert_eq!(run.end(), 0, "{}{}", run.stdout(), run.stderr());
    let result = rehearsed(&mut run);
    assert_whole(&result);
    assert_eq!(lost(&result), [""; 0]);
    let kinds: Vec<_> =
        result["events"].as_array().expect("events").iter().filter_map(|e| e["kind"].as_str()).collect();
    assert!(kinds.contains(&"control_plane_back") && kinds.contains(&"data_plane_restarted"), "{kinds:?}");
    let said = run.stderr();
    assert!(said.contains("the control plane is back") && said.contains("data-plane serves again"), "{said}");
    assert!(!run.out().join(".control-plane").exists(), "nothing is left of its state");
}

#[test]
fn clocks_that_are_off_are_estimated_and_their_bounds_reported() {
    let faults = ["--fault", "skew-clock:2+250ms+30us/s@0s", "--fault", "skew-clock:3-3s@0s", "--workers", "3"];
    let flags = [&["--set", "cohorts.fans.users=2000"], &faults[..]].concat();
    let mut run = Run::start_as("rehearse", CROWD, &flags);
    let code = run.end();
    let result = rehearsed(&mut run);
    assert_whole(&result);
    assert_eq!(lost(&result), [""; 0]);
    let of = |name: &str, key: &str| {
        let row = source(&result, name);
        row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"))
    };
    let mut bounds = Vec::new();
    // A clock that is ahead has an offset below 0; what it gains in the two minutes that a test may take comes on top.
    for (name, ahead, gains) in [("worker-1", 0.0, 0.0), ("worker-2", 250_000.0, 3_600.0), ("worker-3", -3e6, 0.0)] {
        let (offset, bound) = (of(name, "clock_offset_us"), of(name, "clock_bound_us"));
        println!("{name}: {offset} ± {bound} µs");
        assert!((-ahead - gains - bound..=-ahead + bound).contains(&offset), "{name}: {offset} ± {bound}");
        assert_eq!((bound > 0.0, of(name, "clock_exchanges") > 8.0), (ahead != 0.0, ahead != 0.0), "{name}");
        bounds.push(bound);
    }
    let delivery = &result["metrics"]["delivery"];
    let stated = delivery["bound_us"].as_f64().expect("a bound");
    // The worst second of sender and receiver together; each row has its own worst one.
    assert!(stated > 0.0 && stated <= bounds.iter().sum::<f64>() + 1.0, "{stated} of {bounds:?}");
    // A busy machine may answer so slowly that the bound says less than the measurement; then the run must say so.
    let unusable = stated > delivery["p50_us"].as_f64().expect("a median");
    assert!(code == 0 || code == 2 && unusable, "exit {code}: {}", result["verdict"]);
}

#[test]
fn what_can_not_fail_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.yaml"), CROWD).unwrap();
    let of_two = |fault| vec!["--workers", "2", "--fault", fault];
    for (flags, word) in [
        (of_two("kill-worker:3@1s"), "there are 2 workers"),
        (of_two("cut-link:3+1s@1s"), "there are 2 workers"),
        (of_two("cut-link:1+1@1s"), "does not say for how long"),
        (of_two("skew-clock:1+1ms@1s"), "off from the start on"),
        ([of_two("skew-clock:1+1ms@0s"), vec!["--speed", "2"]].concat(), "needs --speed 1"),
        (of_two("fire@1s"), "nothing that can fail"),
        (vec!["--workers", "2", "--speed", "0"], "real time"),
    ] {
        let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["rehearse", "s.yaml"]).args(flags));
        assert!(code == 64 && stderr.contains(word), "{code}: {stderr}");
    }
}

#[test]
fn a_hundred_workers_say_when_they_began_and_the_report_how_far_apart() {
    // Long enough for the last of a hundred to say so on a machine that is busy with something else.
    let mut run = Run::start_as("rehearse", CROWD, &[&LONGER[..], &["--workers", "100"]].concat());
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

#[test]
fn users_of_workers_that_are_killed_or_cut_off_are_taken_over_and_the_account_says_since_when() {
    let hold = ["--set", "on_worker_loss=redistribute", "--set", "cohorts.fans.users=2000", "--set"];
    let faults = [
        "phases.calm.hold=50s",
        "--workers",
        "4",
        "--speed",
        "2",
        "--fault",
        "kill-worker:3@4s",
        "--fault",
        "cut-link:2@6s",
    ];
    let mut run = Run::start_as("rehearse", CROWD, &[&hold[..], &faults[..]].concat());
    assert_eq!(run.end(), 0, "others have them: {}{}", run.stdout(), run.stderr());
    let result = rehearsed(&mut run);
    let mut gone = lost(&result);
    gone.sort_unstable();
    assert_eq!(gone, ["worker-2", "worker-3"]);
    let completeness = &result["completeness"];
    assert!(completeness["expected"].as_u64().expect("a number") > 50_000, "{completeness}");
    assert_eq!((&completeness["expected"], &completeness["lost"]), (&completeness["delivered"], &0.into()));
    // Each was heard last when it failed, and others had its users 13 s of real time after that.
    let gaps = result["gaps"].as_array().expect("gaps");
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    for (gap, failed) in gaps.iter().zip([4.0, 6.0]) {
        let (from, to) = (gap["from_s"].as_f64().expect("a start"), gap["to_s"].as_f64().expect("an end"));
        assert!(gap["users"] == 500 && from < failed + 10.0 && to - from > 15.0, "{gap}");
    }
    let connected: Vec<_> =
        result["timeline"]["users_connected"].as_array().expect("seconds").iter().filter_map(Value::as_u64).collect();
    assert!(connected.iter().all(|users| *users <= 2_000), "nobody is there twice: {connected:?}");
    assert!(connected[10..40].contains(&1_000), "{connected:?}");
    assert!(connected[40..].contains(&2_000), "all are back: {connected:?}");
    let told = result["events"].as_array().expect("events").iter().filter(|event| event["kind"] == "handed_over");
    let told: Vec<_> = told.filter_map(|event| event["text"].as_str()).collect();
    assert!(told.len() == 2 && told.iter().all(|text| text.contains("since then they are with")), "{told:?}");
}
