//! A data plane that stands still, for a while or for good.

use measure::Clock;

use crate::by_hand::{ByHand, report};
use crate::harness::{RUN_WITHIN, Run, SMALL, eventually, signal};

#[test]
fn a_frozen_data_plane_of_ours_is_started_again_and_nothing_is_lost() {
    let mut run = Run::start(&SMALL.replace("hold: 3s", "hold: 18s"));
    run.wait_until_under_way();
    signal(run.processes("data-plane")[0], "STOP");
    eventually("it is ended", RUN_WITHIN, || run.stderr().contains("data-plane does not answer for"));
    eventually("it serves again", RUN_WITHIN, || run.stderr().contains("data-plane serves again"));
    let result = run.end_well();
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert_eq!(result["completeness"]["expected"], result["completeness"]["delivered"]);
    assert!(!run.out().join("kept").exists(), "nothing is left behind");
}

#[test]
fn a_run_whose_data_plane_froze_for_good_ends_soon_and_everything_is_kept() {
    let mut fleet = ByHand::start(2, str::to_owned);
    fleet.run(&SMALL.replace("hold: 3s", "hold: 9s"), &[]);
    fleet.wait_until_under_way();
    let (clock, begun) = (Clock::System, Clock::System.now());
    signal(fleet.data_plane.as_ref().unwrap().pid(), "STOP");
    assert_eq!(fleet.end(), 69, "{}", fleet.stderr());
    // At most ten seconds of load were left.
    let took = clock.now().since(begun).as_secs();
    assert!(took <= 10 + 30, "{took} s");
    let said = fleet.stderr();
    let out = fleet.out();
    assert!(said.contains("the data plane could not close the run") && said.contains("are kept in"), "{said}");
    assert!(said.contains(&format!("throng report {}", out.display())), "{said}");
    fleet.stop();

    // All of it can be reported: what the journal has, and what workers and probe kept.
    assert!(out.join("intervals.journal").is_file() && !out.join("result.json").exists());
    let (code, summary, stderr) = fleet.reported();
    assert_eq!(code, 0, "{stderr}");
    assert!(summary.contains("never closed"), "{summary}");
    let whole: serde_json::Value = serde_json::from_str(&report(&out, &["--json"]).1).unwrap();
    assert_eq!(whole["verdict"]["outcome"], "invalid");
    assert_eq!((&whole["verdict"]["interrupted"], &whole["conservation"]["holds"]), (&true.into(), &true.into()));
    assert_eq!(whole["conservation"]["unaccounted"], serde_json::json!([]), "every source gave its account");
    assert!(whole["completeness"]["expected"].as_u64().unwrap() > 500);
    assert_eq!(whole["completeness"]["expected"], whole["completeness"]["delivered"]);
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("never closed"));

    // The journal alone has less, and a torn record at its end doesn't matter.
    std::fs::remove_dir_all(out.join("kept")).unwrap();
    let mut journal = std::fs::read(out.join("intervals.journal")).unwrap();
    journal.extend([77, 0, 0, 0, 1, 2]);
    std::fs::write(out.join("intervals.journal"), &journal).unwrap();
    let part: serde_json::Value = serde_json::from_str(&report(&out, &["--json"]).1).unwrap();
    let count = |result: &serde_json::Value| result["metrics"]["delivery"]["count"].as_u64().unwrap();
    assert!(0 < count(&part) && count(&part) < count(&whole));
    assert!(part["verdict"]["reasons"].to_string().contains("torn"), "{}", part["verdict"]);
    let (code, stdout, stderr) =
        crate::harness::finish(crate::harness::throng().arg("export").arg(&out).args(["--format", "hlog"]));
    assert!(code == 0 && stdout.starts_with("#[Histogram"), "{stdout:.80}{stderr}");
    assert_eq!(std::fs::read(out.join("intervals.journal")).unwrap(), journal, "it is only read");
}
