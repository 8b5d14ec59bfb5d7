//! A stored run, rendered again.

use std::process::Stdio;

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
    // On a busy machine it says that it can't be trusted, and then couldn't be compared.
    let mut result = reports::load(&before.out()).unwrap();
    result.verdict.outcome = reports::result::Outcome::Passed;
    std::fs::write(before.out().join("result.json"), serde_json::to_string(&result).unwrap()).unwrap();
    let (code, stdout, stderr) = finish(throng().arg("compare").args([before.out(), before.out()]));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("no regression") && before.out().join("comparison.html").is_file(), "{stdout}");

    let slower = tempfile::tempdir().unwrap();
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
    for format in ["hlog", "csv", "json"] {
        // `| head`, which has seen enough before anything was written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut export = throng();
        export.arg("export").arg(before.out()).args(["--format", format]).stdout(writer).stderr(Stdio::piped());
        let (code, _, stderr) = finish(&mut export);
        assert_eq!((code, stderr.as_str()), (0, ""), "{format}");
    }
    let (code, _, stderr) = finish(throng().args(["run", "x.yaml", "--baseline"]).arg(slower.path().join("none")));
    assert!(code == 64 && stderr.contains("result.json"), "{code} {stderr}");

    // One fleet at a time.
    drop(before);
    // A baseline that had more users: whatever else differs, there are fewer now.
    let larger = tempfile::tempdir().unwrap();
    result.users.connected_max = 1_000;
    std::fs::write(larger.path().join("result.json"), serde_json::to_string(&result).unwrap()).unwrap();
    let baseline = larger.path().display().to_string();
    let mut run = Run::start_with(SMALL, &["--baseline", &baseline, "--json"]);
    let (code, outcome) = (run.end(), run.result()["verdict"]["outcome"].clone());
    let stdout = run.stdout();
    let json: serde_json::Value = serde_json::from_str(&stdout).expect("one line of JSON and nothing else");
    let comparison = &json["comparison"];
    assert_eq!((&json["verdict"]["outcome"], &comparison["schema"]), (&outcome, &"throng.comparison/1".into()));
    assert_eq!((&comparison["a"]["run"], &comparison["b"]["run"]), (&result.run.as_str().into(), &json["run"]));
    // On a busy machine the run says of itself that it is invalid, and so is then what is compared with it.
    let expected = if outcome == "passed" { (99, "regression") } else { (2, "invalid") };
    assert_eq!((code, comparison["outcome"].as_str().unwrap()), expected, "{comparison}");
    let users = comparison["differences"].as_array().unwrap().iter().find(|d| d["subject"] == "users at once").unwrap();
    assert_eq!((&users["a"], &users["b"]), (&1_000.0.into(), &100.0.into()));
    let page = run.out().join("comparison.html");
    assert!(json["comparison_page"] == page.to_str().unwrap() && page.is_file(), "{json}");
}
