//! Commands that need no fleet, and words that are wrong.

use crate::harness::{SMALL, finish, throng};

#[test]
fn a_broken_scenario_is_told_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let broken =
        SMALL.replace("seed: 7", "sed: 7").replace("rate: 100/s", "rate: 100").replace("hold: 3s", "hold: 3 parsecs");
    std::fs::write(dir.path().join("s.yaml"), broken).unwrap();
    for command in ["validate", "run", "plan"] {
        let (code, _, stderr) = finish(throng().current_dir(dir.path()).args([command, "s.yaml"]));
        assert_eq!(code, 64, "{command}: {stderr}");
        for part in ["s.yaml:3:1", "sed", "s.yaml:9:", "s.yaml:12:", "parsecs", "^"] {
            assert!(stderr.contains(part), "{command}: {part}: {stderr}");
        }
    }
}

#[test]
fn what_is_no_scenario_is_64_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("binary.yaml"), [0xff, 0xfe, 0x00, 0x9f, 0x92]).unwrap();
    std::fs::write(dir.path().join("empty.yaml"), "").unwrap();
    std::fs::create_dir(dir.path().join("directory.yaml")).unwrap();
    for (file, word) in
        [("none.yaml", "none.yaml"), ("binary.yaml", "UTF-8"), ("empty.yaml", "empty"), ("directory.yaml", "directory")]
    {
        for command in ["validate", "run"] {
            let (code, _, stderr) = finish(throng().current_dir(dir.path()).args([command, file]));
            assert_eq!(code, 64, "{command} {file}: {stderr}");
            assert!(stderr.contains(word) && !stderr.contains("panicked"), "{command} {file}: {stderr}");
        }
    }
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    for line in ["fly", "run", "run x --workers none", "validate", "token", "run x --no-such-flag", "worker --listen x"]
    {
        let (code, _, stderr) = finish(throng().args(line.split(' ')));
        assert_eq!(code, 64, "{line}: {stderr}");
    }
    for line in ["--help", "--version", "run --help", "chat-server --help"] {
        let (code, stdout, _) = finish(throng().args(line.split(' ')));
        assert_eq!(code, 0, "{line}");
        assert!(stdout.contains("throng"), "{line}");
    }
}

#[test]
fn a_fleet_is_planned_for_hosts_that_there_are() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.yaml"), SMALL).unwrap();
    let plan = |flags: &[&str]| finish(throng().current_dir(dir.path()).args(["plan", "s.yaml"]).args(flags));
    let (code, stdout, stderr) = plan(&["--host", "c7i.large", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let fleet: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert!(
        fleet["fleet"]["hosts"].as_u64() >= Some(5) && fleet["fleet"]["usd_per_hour"].as_f64() > Some(0.0),
        "{fleet}"
    );
    let (code, stdout, _) = plan(&["--host", "c7i.large", "--explain"]);
    assert!(code == 0 && stdout.contains("70 % of 4 GiB") && stdout.contains("an hour"), "{stdout}");
    let (code, stdout, stderr) = plan(&["--host", "c7i.lrage"]);
    assert!(code == 64 && stdout.is_empty() && stderr.contains("c7i.large"), "{stderr}");
}

#[test]
fn a_plan_says_what_a_scenario_needs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.yaml"), SMALL).unwrap();
    let (code, stdout, stderr) = finish(throng().current_dir(dir.path()).args(["plan", "s.yaml", "--json"]));
    assert_eq!(code, 0, "{stderr}");
    let plan: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(plan["plan"]["users"], 100, "{plan}");
    assert_eq!(plan["this_machine"], "suffices", "{plan}");
    let (code, stdout, _) = finish(throng().current_dir(dir.path()).args(["plan", "s.yaml"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("100"), "{stdout}");
}

#[test]
fn the_schema_is_json() {
    let (code, stdout, _) = finish(throng().arg("schema"));
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert!(schema["properties"]["cohorts"].is_object(), "{schema}");
}

#[test]
fn a_token_is_signed_with_the_secret_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "secret\n").unwrap();
    let mut command = throng();
    let (code, stdout, stderr) =
        finish(command.current_dir(dir.path()).args(["token", "john", "--api-secret-file", "secret"]));
    assert_eq!(code, 0, "{stderr}");
    // Made with Python's hmac over {"user_id":"john"}.
    let john =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoiam9obiJ9.yrpLD2gUq_TIyxMKpDBHQO391KGCNrFl-RvMT-p90MU";
    assert_eq!(stdout.trim(), john);
    let (code, _, stderr) = finish(throng().args(["token", "john"]));
    assert_eq!(code, 64, "{stderr}");
}

#[test]
fn a_reader_that_is_gone_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.yaml"), SMALL).unwrap();
    for line in ["schema", "plan s.yaml", "validate s.yaml", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(line.split(' ')).stdout(writer));
        assert_eq!((code, stderr.as_str()), (0, ""), "{line}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (code, ..) = finish(throng().args(["validate", "none.yaml"]).stderr(writer));
    assert_eq!(code, 64);
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, _, stderr) = finish(throng().arg("schema").stdout(full));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("can't write to stdout") && !stderr.contains("panicked"), "{stderr}");
}
