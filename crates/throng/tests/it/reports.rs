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
