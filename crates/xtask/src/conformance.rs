//! The cases of the Autobahn test suite, against both ends' WebSocket layers: the server's codec and the load
//! generator's client, each in an example that says everything again. The suite's runner is `kosoku`, a Python package.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use measure::Clock;
use serde_json::Value;

use crate::{repo, steps};

/// The runner, at the version whose cases these are.
const RUNNER: &str = "kosoku==0.1.0";
/// How long one end's cases may take.
const WITHIN: Duration = Duration::from_secs(240);
/// How long a process may take to say where it listens.
const START: Duration = Duration::from_secs(20);

/// Of the compression cases those with the longest messages take minutes, and test nothing that shorter ones don't: each
/// of their groups sends a thousand messages of up to 128 KiB.
const TOO_LONG: [u32; 8] = [9, 10, 13, 14, 15, 16, 17, 18];
/// Left out too where cases run one after the other.
const LONG: [u32; 3] = [7, 8, 12];

/// The compression cases in which the server asks the client to do without context.
const ALONE: [&str; 3] = ["13.2.*", "13.5.*", "13.6.*"];

/// Runs the cases against both ends.
///
/// # Errors
/// What could not be installed or started, or which cases failed.
pub(crate) fn run() -> Result<String> {
    let directory = repo::target().join("conformance");
    let runner = install(&directory)?;
    let examples = ["build", "--release", "--locked", "-p", "wire", "--example", "echo_server"];
    steps::run(repo::cargo().args(examples))?;
    let examples = ["build", "--release", "--locked", "-p", "client", "--example", "echo_client"];
    steps::run(repo::cargo().args(examples))?;
    let server = against_server(&runner, &directory.join("server"))?;
    let client = against_client(&runner, &directory.join("client"))?;
    Ok(format!("cases passed: {server} by the server, {client} by the client"))
}

/// Installs the runner into a Python environment of its own below `target`.
fn install(directory: &Path) -> Result<PathBuf> {
    let environment = directory.join("python");
    let runner = environment.join("bin/kosoku");
    if runner.exists() {
        return Ok(runner);
    }
    println!("installing {RUNNER} from PyPI into {}", environment.display());
    let help = "please install Python's venv and pip (Debian: python3-venv), or let pip reach PyPI";
    steps::run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).context(help)?;
    let mut pip = Command::new(environment.join("bin/pip"));
    steps::run(pip.args(["install", "--quiet", "--disable-pip-version-check", RUNNER])).context(help)?;
    Ok(runner)
}

fn against_server(runner: &Path, reports: &Path) -> Result<usize> {
    let mut server = Running::start(Command::new(example("echo_server")).arg("127.0.0.1:0").stdout(Stdio::piped()))?;
    let stdout = server.0.stdout.take().context("stdout was piped")?;
    let address = first_line(stdout, "")?;
    let mut command = Command::new(runner);
    command.args(["-m", "fuzzingclient", &address, "-p", "4"]).args(excluded(&TOO_LONG));
    let tested = Running::start(command.arg("-o").arg(reports).stdout(Stdio::null()))?.wait(WITHIN);
    judge(tested, reports, 300)
}

/// Twice: the suite's server asks for messages without context only where the client says that it does without.
fn against_client(runner: &Path, reports: &Path) -> Result<usize> {
    let but_alone = ALONE.iter().flat_map(|group| ["-x", group]);
    let alone = ALONE.iter().flat_map(|group| ["-i", group]);
    let passed = against_client_of(runner, &reports.join("full"), but_alone, &[], 300)?;
    Ok(passed + against_client_of(runner, &reports.join("alone"), alone, &["alone"], 20)?)
}

fn against_client_of<'a>(
    runner: &Path,
    reports: &Path,
    cases: impl Iterator<Item = &'a str>,
    arguments: &[&str],
    least: usize,
) -> Result<usize> {
    let mut command = Command::new(runner);
    command.args(["-m", "fuzzingserver", "127.0.0.1:0"]).args(cases).args(excluded(&TOO_LONG)).args(excluded(&LONG));
    command.arg("-o").arg(reports).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Running::start(&mut command)?;
    let stderr = server.0.stderr.take().context("stderr was piped")?;
    let url = first_line(stderr, "fuzzingserver listening on ")?;
    let mut client = Command::new(example("echo_client"));
    let said = Running::start(client.arg(url).args(arguments).stdout(Stdio::null()))?.wait(WITHIN);
    said.context("the client that says everything again")?;
    judge(server.wait(START), reports, least)
}

fn example(name: &str) -> PathBuf {
    repo::target().join("release/examples").join(name)
}

/// Arguments that leave out these cases of each compression group.
fn excluded(cases: &[u32]) -> Vec<String> {
    let groups = (1..=5).map(|n| format!("12.{n}")).chain((1..=7).map(|n| format!("13.{n}")));
    groups.flat_map(|group| cases.iter().flat_map(move |case| ["-x".to_owned(), format!("{group}.{case}")])).collect()
}

/// Reads the runner's own account of every case.
fn judge(tested: Result<()>, reports: &Path, least: usize) -> Result<usize> {
    let index = reports.join("index.json");
    let text = match (std::fs::read_to_string(&index), tested) {
        (Ok(text), _) => text,
        (Err(_), Err(error)) => return Err(error.context("the cases were not run to their end")),
        (Err(error), Ok(())) => return Err(error).with_context(|| format!("{} can't be read", index.display())),
    };
    let tally = Tally::read(&text)?;
    ensure!(
        tally.failed.is_empty(),
        "{} failed, see {}: {}",
        tally.failed.len(),
        index.display(),
        tally.failed.join(", ")
    );
    ensure!(tally.passed >= least, "only {} cases ran", tally.passed);
    Ok(tally.passed)
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
}

impl Tally {
    fn read(text: &str) -> Result<Self> {
        let index: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_str(text).context("the report of the cases can't be read")?;
        let mut tally = Self::default();
        for (case, outcome) in index.values().flatten() {
            let good = |key: &str| matches!(outcome[key].as_str(), Some("OK" | "NON-STRICT" | "INFORMATIONAL"));
            if good("behavior") && good("behaviorClose") {
                tally.passed += 1;
            } else {
                tally.failed.push(case.clone());
            }
        }
        Ok(tally)
    }
}

/// The first line that begins so, without that. The rest is read and forgotten, so that nobody waits for room.
fn first_line(from: impl Read + Send + 'static, begins: &'static str) -> Result<String> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix(begins) {
                // Only the first one is waited for.
                let _ = sender.try_send(rest.trim().to_owned());
            }
        }
    });
    receiver.recv_timeout(START).context("it didn't say where it listens")
}

/// A process that ends with us.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("{command:?} can't be started"))?;
        Ok(Self(child))
    }

    fn wait(&mut self, within: Duration) -> Result<()> {
        let clock = Clock::System;
        let start = clock.now();
        loop {
            match self.0.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("it ended with {status}"),
                None if clock.now().since(start) > within => bail!("it took longer than {} s", within.as_secs()),
                None => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Who has ended already can't be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_cases_pass() {
        let case = |behavior: &str, close: &str| serde_json::json!({"behavior": behavior, "behaviorClose": close});
        let index = serde_json::json!({"agent": {
            "1.1.1": case("OK", "OK"),
            "6.4.1": case("NON-STRICT", "OK"),
            "7.1.6": case("INFORMATIONAL", "INFORMATIONAL"),
            "12.1.1": case("UNIMPLEMENTED", "OK"),
            "2.1": case("FAILED", "OK"),
            "3.1": case("OK", "UNCLEAN"),
        }});
        let tally = Tally::read(&index.to_string()).unwrap();
        assert_eq!(tally, Tally { passed: 3, failed: vec!["12.1.1".into(), "2.1".into(), "3.1".into()] });
        assert!(Tally::read("").is_err());
    }

    #[test]
    fn every_group_of_compression_cases_is_kept() {
        let left_out = excluded(&TOO_LONG);
        assert_eq!(left_out.len(), 2 * 12 * TOO_LONG.len());
        assert!(left_out.contains(&"13.7.18".to_owned()) && !left_out.contains(&"12.1.1".to_owned()));
    }
}
