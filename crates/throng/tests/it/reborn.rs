//! A control plane that is killed, or ended by its init system, in mid-run and started again.

use std::os::unix::fs::PermissionsExt as _;

use crate::by_hand::ByHand;
use crate::harness::{RUN_WITHIN, SMALL, eventually, well};

#[test]
fn a_killed_control_plane_takes_its_workers_back_and_the_run_ends_well() {
    goes_on_without(ByHand::kill_control_plane);
}

#[test]
fn a_control_plane_that_its_init_system_starts_again_ends_no_run() {
    goes_on_without(ByHand::end_control_plane);
}

fn goes_on_without(gone: fn(&mut ByHand)) {
    let mut fleet = ByHand::start(2, str::to_owned);
    fleet.run(&SMALL.replace("hold: 3s", "hold: 15s"), &["--workers", "2"]);
    fleet.wait_until_under_way();
    gone(&mut fleet);
    let requests = || {
        let files = std::fs::read_dir(fleet.dir.path().join("state/runs")).expect("its runs").flatten();
        files.filter(|f| f.path().extension().is_some_and(|e| e == "request")).collect::<Vec<_>>()
    };
    let kept = requests();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].metadata().expect("it is there").permissions().mode() & 0o777, 0o600, "it has secrets");
    eventually("throng run misses it", RUN_WITHIN, || fleet.stderr().contains("the control plane is away"));
    fleet.restart_control_plane();
    let code = fleet.end();
    let stderr = fleet.stderr();
    assert!(stderr.contains("the control plane is back"), "{stderr}");
    let result = well(code, &fleet.out(), &stderr);
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert_eq!(result["conservation"]["unaccounted"], serde_json::json!([]));
    assert_eq!(result["completeness"]["expected"], result["completeness"]["delivered"]);
    let events = result["events"].to_string();
    assert!(events.contains("control_plane_back") && !events.contains("_lost"), "{events}");
    let left = std::fs::read_dir(fleet.dir.path().join("state/runs")).expect("its runs").flatten();
    assert_eq!(left.count(), 1, "the request and its secrets are gone with the run");
}
