//! A fleet seen and steered with `throng ctl`.

use serde_json::Value;

use crate::by_hand::ByHand;
use crate::harness::{RUN_WITHIN, eventually, finish, result, throng};
use crate::side_by_side::in_room;

/// What a command of `throng ctl --json` prints, line by line.
fn lines(fleet: &ByHand, words: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = fleet.ctl(&[words, &["--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn runs_are_listed_and_cancelled_and_a_drained_worker_finishes_its_run_and_goes() {
    let mut fleet = ByHand::start(2, str::to_owned);
    fleet.run(&in_room("first", "60s"), &["--workers", "1"]);
    fleet.wait_until_under_way();
    let mut second = fleet.another("second", &in_room("second", "3s"), &["--workers", "2"]);
    eventually("the second waits", RUN_WITHIN, || second.stderr().contains("waits for 2 workers"));
    let runs = lines(&fleet, &["runs"]);
    let states: Vec<_> = runs.iter().map(|run| (&run["scenario"], &run["state"])).collect();
    assert_eq!(states, [(&"second".into(), &"queued".into()), (&"first".into(), &"running".into())]);
    let id = |run: &Value| run["run"].as_str().expect("an id").to_owned();
    let (code, stdout, _) = fleet.ctl(&["cancel", &id(&runs[0]), "--reason", "not today"]);
    assert_eq!((code, stdout.contains("it had not begun")), (0, true), "{stdout}");
    assert_eq!(second.end(), 130);
    assert!(second.stderr().contains("not today"), "{}", second.stderr());

    let busy =
        lines(&fleet, &["workers"]).into_iter().find(|agent| agent["kind"] == "worker" && agent["state"] == "busy");
    let busy = busy.expect("a busy worker")["agent"].as_str().expect("a name").to_owned();
    let (code, stdout, _) = fleet.ctl(&["drain", &busy]);
    assert_eq!((code, stdout.contains("finishes the run")), (0, true), "{stdout}");
    let (_, table, _) = fleet.ctl(&["agents"]);
    assert!(table.lines().any(|line| line.starts_with(&busy) && line.contains("draining")), "{table}");
    assert_eq!(fleet.exit_code(&busy), None, "it finishes its run first");
    let (code, stdout, _) = fleet.ctl(&["cancel", &id(&runs[1])]);
    assert_eq!((code, stdout.contains("what was measured is reported")), (0, true), "{stdout}");
    assert_eq!(fleet.end(), 130);
    let result = result(&fleet.out());
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert!(result["completeness"]["delivered"].as_u64().is_some_and(|n| n > 0), "{}", result["completeness"]);
    eventually("the drained worker has ended", RUN_WITHIN, || fleet.exit_code(&busy) == Some(0));
    eventually("nobody counts on it", RUN_WITHIN, || {
        lines(&fleet, &["agents"]).iter().all(|a| a["agent"] != busy.as_str())
    });

    for (words, says) in [(["cancel", "nothing"], "no run `nothing`"), (["drain", "nobody"], "no agent `nobody`")] {
        let (code, _, stderr) = fleet.ctl(&words);
        assert_eq!((code, stderr.contains(says)), (64, true), "{stderr}");
    }
    let (code, _, stderr) = fleet.ctl(&["cancel", &id(&runs[1])]);
    assert_eq!((code, stderr.contains("has ended already")), (64, true), "{stderr}");
    let nowhere = finish(throng().args(["ctl", "runs", "--control-plane", "http://127.0.0.1:1"]));
    assert_eq!(nowhere.0, 69, "{}", nowhere.2);
}
