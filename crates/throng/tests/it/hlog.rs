//! `intervals.hlog` as others read it: PyPI's HdrHistogram, which shares no line with throng.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Run, SMALL};

/// A Python that has `hdrh`: the first in the path, or that of the environment that `cargo xtask test` makes.
pub(crate) fn python() -> PathBuf {
    let ours =
        Path::new(env!("CARGO_BIN_EXE_throng")).ancestors().nth(2).map(|target| target.join("python/bin/python"));
    let has = |python: &PathBuf| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import hdrh"]).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|s| s.success())
    };
    let found = [PathBuf::from("python3")].into_iter().chain(ours).find(has);
    found.expect("a Python with hdrhistogram; `cargo xtask test` installs it, or: pip install hdrhistogram")
}

#[test]
fn an_independent_reader_finds_the_same_counts_and_percentiles() {
    // Two cohorts, and enough of each that ranks fall between samples in all ways.
    let scenario = SMALL.replace(
        "hold: 3s",
        "  - name: talkers
    users: 20
    ramp: { rate: 20/s }
    actions:
      - send: { channel: room, rate: 7/s, size: 50..100B }
hold: 3s",
    );
    let mut run = Run::start_with(&scenario, &["--workers", "2"]);
    let result = run.end_well();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hlog_reader.py");
    let out = Command::new(python()).arg(script).arg(run.out().join("intervals.hlog")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut read: BTreeMap<String, Value> = serde_json::from_slice(&out.stdout).unwrap();

    let mut compared = 0;
    let mut compare = |tag: &str, ours: &Value| {
        if ours["count"] == 0 {
            return;
        }
        let theirs = read.remove(tag).unwrap_or_else(|| panic!("{tag} is not in the log"));
        for (name, value) in theirs.as_object().unwrap() {
            assert_eq!(value, &ours[name], "{name} of {tag}: theirs, ours");
        }
        compared += 1;
    };
    for (metric, ours) in result["metrics"].as_object().unwrap() {
        compare(metric, ours);
    }
    for (cohort, metrics) in result["metrics_by_cohort"].as_object().unwrap() {
        for (metric, ours) in metrics.as_object().unwrap() {
            compare(&format!("{metric}/{cohort}"), ours);
        }
    }
    assert!(read.is_empty(), "in the log only: {read:?}");
    assert!(compared > 20, "{compared} distributions");
}
