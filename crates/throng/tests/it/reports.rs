//! A stored run, rendered again.

use crate::harness::{Run, SMALL, finish, throng};

#[test]
fn a_report_is_rendered_again_from_what_is_stored() {
    let mut run = Run::start(SMALL);
    run.end_well();
    let page = run.out().join("report.html");
    let before = std::fs::read_to_string(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    let (code, stdout, stderr) = finish(throng().arg("report").arg(run.out()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("report.html"), "{stdout}");
    assert_eq!(std::fs::read_to_string(&page).unwrap(), before, "the same page");
}

#[test]
fn what_is_no_run_is_64() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, stderr) = finish(throng().arg("report").arg(dir.path()));
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("result.json"), "{stderr}");
}

#[test]
fn a_run_is_compared_with_a_baseline_and_with_itself_and_exported() {
    let mut before = Run::start(SMALL);
    before.end_well();
    let (code, stdout, stderr) = finish(throng().arg("compare").args([before.out(), before.out()]));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("no regression") && before.out().join("comparison.html").is_file(), "{stdout}");

    let slower = tempfile::tempdir().unwrap();
    let mut result = reports::load(&before.out()).unwrap();
    result.completeness.lost += 7;
    std::fs::write(slower.path().join("result.json"), serde_json::to_string(&result).unwrap()).unwrap();
    let (code, stdout, stderr) = finish(throng().arg("compare").arg(before.out()).arg(slower.path()).arg("--json"));
    assert_eq!(code, 99, "{stdout}{stderr}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&json["schema"], &json["outcome"]), (&"throng.comparison/1".into(), &"regression".into()));

    for (format, start) in [("hlog", "#[Histogram"), ("csv", "second,users_planned,"), ("json", "{")] {
        let (code, stdout, stderr) = finish(throng().arg("export").arg(before.out()).args(["--format", format]));
        assert!(code == 0 && stdout.starts_with(start), "{format}: {stdout:.80}{stderr}");
    }
    let (code, _, stderr) = finish(throng().args(["run", "x.yaml", "--baseline"]).arg(slower.path().join("none")));
    assert!(code == 64 && stderr.contains("result.json"), "{code} {stderr}");
}
