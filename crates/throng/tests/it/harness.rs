//! Starting `throng run` in a directory of its own, finding its processes, and waiting for what should happen.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use measure::Clock;
use serde_json::Value;

/// How long any run here may take, at the most, on a busy machine.
pub(crate) const RUN_WITHIN: Duration = Duration::from_secs(90);
/// A fleet drains within 4 s; the design allows 5 s until nothing is left.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A hundred users in one room for a few seconds.
pub(crate) const SMALL: &str = "\
name: small
description: A hundred users in one room.
seed: 7
channels:
  - { id: room, type: livestream, members: all }
cohorts:
  - name: fans
    users: 100
    ramp: { rate: 100/s }
    actions:
      - send: { channel: room, rate: 5/s, size: 50..100B }
hold: 3s
thresholds:
  - lost: count == 0
";

/// The right to be the only fleet.
pub(crate) type Turn = MutexGuard<'static, ()>;

/// One fleet at a time: two on one machine would measure each other.
pub(crate) fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The binary under test, away from the environment of whoever runs the tests.
pub(crate) fn throng() -> Command {
    throng_by(env!("CARGO_BIN_EXE_throng"))
}

/// The same, started by another program.
fn throng_by(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THRONG_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end, and answers exit code, stdout and stderr.
pub(crate) fn finish(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("throng can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("throng writes UTF-8");
    (status.code().expect("throng ends by itself"), text(stdout), text(stderr))
}

/// A running `throng run`, alone on this machine until it is dropped.
pub(crate) struct Run {
    child: Child,
    mark: String,
    dir: tempfile::TempDir,
    _turn: Turn,
}

impl Run {
    /// Starts a scenario.
    pub(crate) fn start(scenario: &str) -> Self {
        Self::start_with(scenario, &[])
    }

    /// Starts a scenario with more flags.
    pub(crate) fn start_with(scenario: &str, flags: &[&str]) -> Self {
        Self::start_as("run", scenario, flags)
    }

    /// Starts a scenario where a process may open so many files.
    pub(crate) fn start_limited(open_files: u32, scenario: &str) -> Self {
        let mut shell = throng_by("sh");
        let limited = format!("ulimit -n {open_files} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, env!("CARGO_BIN_EXE_throng")]);
        Self::start_by(shell, "run", scenario, &[])
    }

    /// Starts a scenario by another command than `run`.
    pub(crate) fn start_as(command: &str, scenario: &str, flags: &[&str]) -> Self {
        Self::start_by(throng(), command, scenario, flags)
    }

    fn start_by(mut throng: Command, command: &str, scenario: &str, flags: &[&str]) -> Self {
        let turn = turn();
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("scenario.yaml"), scenario).expect("the scenario is written");
        let mark = dir.path().display().to_string();
        let file = |name: &str| std::fs::File::create(dir.path().join(name)).expect("a file for the output");
        let child = throng
            .current_dir(dir.path())
            .env("IT_MARK", &mark)
            .args([command, "scenario.yaml", "--out"])
            // In full, for a fleet that was started elsewhere.
            .arg(dir.path().join("out"))
            .args(flags)
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("throng can be started");
        Self { child, mark, dir, _turn: turn }
    }

    /// The run's directory.
    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The process id of `throng run` itself.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// What it said on stdout so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).unwrap_or_default()
    }

    /// Waits until it has ended, and answers its exit code.
    pub(crate) fn end(&mut self) -> i32 {
        let mut status: Option<ExitStatus> = None;
        eventually("throng run has ended", RUN_WITHIN, || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.and_then(|s| s.code()).unwrap_or_else(|| panic!("ended by a signal: {status:?}\n{}", self.stderr()))
    }

    /// Ends `throng run` as nothing can prevent.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Waits until messages are delivered, so that there is something to lose.
    pub(crate) fn wait_until_under_way(&self) {
        eventually("users are connected", RUN_WITHIN, || {
            let log = self.stderr();
            log.lines().any(|l| l.contains("users") && l.contains("deliveries/s") && !l.contains("users 0 of"))
        });
    }

    /// Live processes of this run that serve this role; all of them for "".
    pub(crate) fn processes(&self, role: &str) -> Vec<u32> {
        let mark = format!("IT_MARK={}", self.mark);
        let all = std::fs::read_dir("/proc").expect("procfs").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
        let ours = pids.filter(|pid| {
            let read = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let has = |bytes: Vec<u8>, word: &str| bytes.split(|b| *b == 0).any(|w| w == word.as_bytes());
            has(read("environ"), &mark) && (role.is_empty() || has(read("cmdline"), role))
        });
        ours.collect()
    }

    /// Waits for the end of a run in which nothing goes wrong but, on a busy machine, the generator's own pace and what is
    /// left of the processors, about which throng is honest. Answers the result.
    pub(crate) fn end_well(&mut self) -> Value {
        let code = self.end();
        well(code, &self.out(), &self.stderr())
    }

    /// The stored result.
    pub(crate) fn result(&self) -> Value {
        result(&self.out())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Its fleet ends by itself then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- stdout\n{}\n-- stderr\n{}", self.stdout(), self.stderr());
        }
    }
}

/// Whether a reason is of the generator's pace on a busy machine.
pub(crate) fn slow(reason: &str) -> bool {
    reason.starts_with("The load generator was late")
        || reason.contains(" due actions (")
        || reason.starts_with("The host ") && reason.contains("at its limit")
}

/// The result of a run that ended with this exit code and in which nothing went wrong; see [`Run::end_well`].
pub(crate) fn well(code: i32, dir: &Path, stderr: &str) -> Value {
    let result = result(dir);
    let reasons = result["verdict"]["reasons"].as_array().expect("reasons");
    let slow = |reason: &Value| reason.as_str().is_some_and(slow);
    match code {
        0 => assert_eq!(result["verdict"]["outcome"], "passed"),
        2 if !reasons.is_empty() && reasons.iter().all(slow) => {}
        _ => panic!("exit {code}, {reasons:?}\n{stderr}"),
    }
    result
}

/// `result.json` of a run's directory.
pub(crate) fn result(dir: &Path) -> Value {
    let path = dir.join("result.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("result.json is JSON")
}

/// Sends a signal by name.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().expect("kill");
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Waits for a condition.
///
/// # Panics
/// When it doesn't come about in time.
pub(crate) fn eventually(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::System;
    let start = clock.now();
    while !is_so() {
        assert!(clock.now().since(start) < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A role that serves until this is dropped.
pub(crate) struct Server {
    child: Child,
    /// What it said when it served.
    pub(crate) ready: Value,
}

impl Server {
    /// Starts a role and waits until it serves.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut command = throng();
        command.args(flags).arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().expect("throng can be started");
        let mut stdout = child.stdout.take().expect("stdout was piped");
        let mut line = Vec::new();
        let mut byte = [0_u8];
        while stdout.read(&mut byte).expect("stdout can be read") == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let ready = serde_json::from_slice(&line).expect("a role's first line is JSON");
        Self { child, ready }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().expect("our own child")?.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
