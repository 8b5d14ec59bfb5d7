//! Several runs on one fleet: side by side on workers of their own, and one after the other where there are too few.

use serde_json::Value;

use crate::by_hand::ByHand;
use crate::harness::{RUN_WITHIN, SMALL, eventually, well};

/// The small scenario in a room of its own, whose messages no other run's users see.
pub(crate) fn in_room(name: &str, hold: &str) -> String {
    let named = SMALL.replace("name: small", &format!("name: {name}")).replace("room", name);
    named.replace("hold: 3s", &format!("hold: {hold}"))
}

fn told(result: &Value, kind: &str) -> bool {
    result["events"].as_array().expect("events").iter().any(|event| event["kind"] == kind)
}

#[test]
fn two_runs_share_a_fleet_and_a_third_waits_until_both_workers_are_free() {
    let mut fleet = ByHand::start(2, str::to_owned);
    fleet.run(&in_room("first", "10s"), &["--workers", "1"]);
    fleet.wait_until_under_way();
    let mut second = fleet.another("second", &in_room("second", "5s"), &["--workers", "1"]);
    eventually("the second is under way", RUN_WITHIN, || second.stderr().contains("deliveries/s"));
    let mut third = fleet.another("third", &in_room("third", "2s"), &["--workers", "2"]);
    eventually("the third says why it waits", RUN_WITHIN, || third.stderr().contains("waits for 2 workers; 0 joined"));
    let code = second.end();
    let second = well(code, &second.out, &second.stderr());
    let code = fleet.end();
    let first = well(code, &fleet.out(), &fleet.stderr());
    let code = third.end();
    let third = well(code, &third.out, &third.stderr());
    for (result, workers) in [(&first, 1), (&second, 1), (&third, 2)] {
        assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
        assert_eq!(result["completeness"]["expected"], result["completeness"]["delivered"]);
        let sources = result["sources"].as_array().expect("sources").iter();
        let used = sources.filter(|s| s["name"].as_str().is_some_and(|name| name.starts_with("worker"))).count();
        assert_eq!(used, workers, "{}", result["sources"]);
    }
    assert!(told(&first, "beside") && told(&second, "beside") && told(&third, "waiting"), "{}", third["events"]);
}
