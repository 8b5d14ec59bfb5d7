//! Runs that can't begin: said before anything is started, with the exit code that it means.

use std::process::Command;

use crate::harness::{SMALL, finish, throng};

fn directory_with(scenario: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("s.yaml"), scenario).expect("the scenario is written");
    dir
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let dir = directory_with(SMALL);
    std::fs::write(dir.path().join("runs"), "a file, where the directory should be").unwrap();
    let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["run", "s.yaml"]));
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("runs") && stderr.contains("--out DIR"), "{stderr}");
    // Even root can't write into procfs.
    let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["run", "s.yaml", "--out", "/proc/nowhere"]));
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("/proc/nowhere") && stderr.contains("--out DIR"), "{stderr}");
}

#[test]
fn a_directory_that_holds_a_run_is_not_written_over() {
    let dir = directory_with(SMALL);
    std::fs::create_dir(dir.path().join("old")).unwrap();
    std::fs::write(dir.path().join("old/result.json"), "{}").unwrap();
    let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["run", "s.yaml", "--out", "old"]));
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("holds a run already"), "{stderr}");
}

#[test]
fn too_few_files_are_told_with_the_arithmetic() {
    let dir = directory_with(&SMALL.replace("users: 100", "users: 100_000"));
    let shell = format!("ulimit -n 256 && exec {} run s.yaml", env!("CARGO_BIN_EXE_throng"));
    let (code, _, stderr) = finish(Command::new("sh").current_dir(dir.path()).args(["-c", &shell]));
    assert_eq!(code, 69, "{stderr}");
    for part in ["100000 users", "can hold ", "256 a process", "ulimit"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert!(!dir.path().join("runs").exists(), "nothing was begun");
}

#[test]
fn a_small_run_fits_few_files() {
    let dir = directory_with(&SMALL.replace("users: 100", "users: 50"));
    let shell = format!("ulimit -n 256 && exec {} run s.yaml --out run", env!("CARGO_BIN_EXE_throng"));
    let (code, _, stderr) = finish(Command::new("sh").current_dir(dir.path()).args(["-c", &shell]));
    assert!([0, 2].contains(&code), "{stderr}");
    let result = crate::harness::result(&dir.path().join("run"));
    assert_eq!(result["users"]["connected_max"], 50, "{stderr}");
    assert_eq!(result["completeness"]["lost"], 0, "{stderr}");
}

#[test]
fn users_that_do_not_fit_into_one_chat_server_are_spread_over_edges() {
    let dir = directory_with(&SMALL.replace("users: 100", "users: 300"));
    let shell = format!("ulimit -n 256 && exec {} run s.yaml --out run", env!("CARGO_BIN_EXE_throng"));
    let (code, _, stderr) = finish(Command::new("sh").current_dir(dir.path()).args(["-c", &shell]));
    assert!([0, 2].contains(&code), "{stderr}");
    assert!(stderr.contains("edges hold the connections"), "{stderr}");
    assert!(dir.path().join("run/logs/edge-2.log").exists(), "at least two edges");
    let result = crate::harness::result(&dir.path().join("run"));
    assert_eq!(result["users"]["connected_max"], 300, "{stderr}");
    let completeness = &result["completeness"];
    assert_eq!((&completeness["lost"], &completeness["duplicated"]), (&0.into(), &0.into()), "{stderr}");
    assert!(completeness["delivered"].as_u64() > Some(300) && completeness["delivered"] == completeness["expected"]);
}

#[test]
fn a_target_that_nobody_serves_is_69() {
    let dir = directory_with(SMALL);
    // Bound and dropped: a port at which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = format!("ws://127.0.0.1:{port}");
    let mut command = throng();
    command.current_dir(dir.path()).args(["run", "s.yaml", "--target", &target, "--api-key", "k"]);
    let (code, _, stderr) = finish(command.env("THRONG_API_SECRET", "hush-hush"));
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains(&target) && !stderr.contains("hush"), "{stderr}");
}

#[test]
fn a_target_needs_credentials() {
    let dir = directory_with(SMALL);
    let (code, _, stderr) =
        finish(throng().current_dir(dir.path()).args(["run", "s.yaml", "--target", "ws://127.0.0.1:1"]));
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("--api-key"), "{stderr}");
    let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["run", "s.yaml", "--target", "ftp://x"]));
    assert_eq!(code, 64, "{stderr}");
}

#[test]
fn a_control_plane_that_nobody_serves_is_69() {
    let dir = directory_with(SMALL);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("ws://{}", target.local_addr().unwrap());
    let mut command = throng();
    command.current_dir(dir.path()).args(["run", "s.yaml", "--control-plane", &url]);
    command.args(["--target", &target, "--api-key", "k"]).env("THRONG_API_SECRET", "s");
    let (code, _, stderr) = finish(&mut command);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("control plane") && stderr.contains(&url), "{stderr}");
}

#[test]
fn a_port_that_is_taken_is_69() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    for role in ["control-plane", "data-plane", "chat-server"] {
        let mut command = throng();
        command.current_dir(dir.path()).args([role, "--listen", &address]).env("THRONG_API_SECRET", "s");
        if role == "chat-server" {
            command.args(["--api-key", "k"]);
        }
        let (code, _, stderr) = finish(&mut command);
        assert_eq!(code, 69, "{role}: {stderr}");
        assert!(stderr.contains(&address), "{role}: {stderr}");
    }
}
