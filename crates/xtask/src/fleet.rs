//! A fleet on one machine: network namespaces as hosts, which boot as terraform's do and start the same unit files. What the
//! documents promise of faults is held against it.
//!
//! All of it lives in namespaces of its own (processes, mounts, network): whatever becomes of us, the kernel leaves nothing
//! of it.

mod boot;
mod cases;
mod host;
mod network;
mod outcome;
mod unit;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use measure::Clock;

use crate::{packages, repo, steps};

/// Builds throng, and lets the fleet run where it can harm nobody.
///
/// # Errors
/// What could not be built, or which promise was not kept.
pub(crate) fn run(only: Option<&str>) -> Result<String> {
    if let Some(why) = impossible()? {
        return Ok(format!("SKIPPED, nothing was checked: {why}"));
    }
    // The same build as that of the tests: what they built serves here, too.
    steps::run(repo::cargo().args(["test", "--quiet", "--workspace", "--locked", "--no-run"]))?;
    let mut inside = apart();
    inside.arg(std::env::current_exe().context("our own program can't be found")?).arg("fleet-inside");
    inside.args(only);
    let mut last = String::new();
    let ran = steps::run_reading(&mut inside, |line| line.clone_into(&mut last));
    ensure!(ran.is_ok(), "{last}");
    Ok(last)
}

/// Boots the fleet and goes through the cases; we are alone in our namespaces. The last line says what came of it.
///
/// # Errors
/// Which promise was not kept; it has been said already.
pub(crate) fn inside(only: Option<&str>) -> Result<()> {
    match cases::all(only) {
        Ok(said) => {
            println!("{said}");
            Ok(())
        }
        Err(error) => {
            // In one line, for the summary.
            eprintln!("{error:#}");
            println!("{}", format!("{error:#}").replace('\n', " | "));
            bail!("the fleet's logs are in {}", directory().display())
        }
    }
}

/// Why there can be no fleet here, if there can't be.
fn impossible() -> Result<Option<String>> {
    if !packages::is_root() {
        return Ok(Some("namespaces need root: please run it as root".to_owned()));
    }
    packages::ensure_for_fleet()?;
    let mut tried = apart();
    let tried =
        tried.args(["sh", "-c", "mount -t tmpfs none /run && ip link add tried type bridge && ip netns add tried"]);
    let tried = tried.stdin(Stdio::null()).output().context("unshare can't be started")?;
    let said = String::from_utf8_lossy(&tried.stderr);
    let said = said.lines().next().unwrap_or_default();
    Ok((!tried.status.success()).then(|| format!("this machine lets nobody make network namespaces ({said})")))
}

/// What follows has processes, mounts and network of its own, all of which end with us.
fn apart() -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command
}

/// Where the hosts' files are.
fn directory() -> PathBuf {
    repo::target().join("fleet")
}

/// Runs a tool to its end; what it said belongs to the error.
fn tool(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} can't be started"))?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), "{command:?} ended with {}: {}", done.status, err.trim());
    Ok(out.into_owned())
}

/// How long we look away between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until something is there, and looks after the hosts meanwhile.
///
/// # Errors
/// When it doesn't come in time.
fn eventually<T>(
    what: &str,
    within: Duration,
    hosts: &mut boot::Fleet,
    mut look: impl FnMut(&mut boot::Fleet) -> Result<Option<T>>,
) -> Result<T> {
    let clock = Clock::System;
    let start = clock.now();
    loop {
        hosts.tend()?;
        if let Some(found) = look(hosts)? {
            return Ok(found);
        }
        ensure!(clock.now().since(start) < within, "not within {} s: {what}", within.as_secs());
        std::thread::sleep(LOOK);
    }
}
