//! Benchmarks of the data plane at the size that it is for, by a rehearsal: a hundred workers of fifty thousand users.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use measure::Clock;
use serde_json::Value;

use super::rounds::median;
use super::{Aim, Figure};
use crate::repo;

/// Five million people in one room and three messages a second, who have all joined after ten seconds.
const STADIUM: &str = "scenarios/stadium-5m.yaml";
const SHORT: [&str; 4] = ["--set", "hold=40s", "--set", "cohorts.fans.ramp.rate=500000/s"];
/// Linux counts processor time in ticks of 10 ms.
const TICK_SECONDS: f64 = 0.01;
/// Seconds of the run that are not looked at: processes start and users join.
const WARM_UP: usize = 20;

/// Processor time and memory of the data plane at real time.
pub(super) fn at_real_time() -> Result<Vec<Figure>> {
    let out = directory("stadium")?;
    let mut rehearsal = Rehearsal::start(Path::new(STADIUM), &out, &[&SHORT[..], &["--workers", "100"]].concat())?;
    let (mut cores, mut most_bytes) = (Vec::new(), 0.0_f64);
    let clock = Clock::System;
    let mut before = None;
    while rehearsal.goes_on()? {
        std::thread::sleep(Duration::from_secs(1));
        let Some(pid) = rehearsal.data_plane() else { continue };
        let Some(ticks) = ticks(pid) else { continue };
        let now = clock.now();
        if let Some((then, earlier)) = before.replace((now, ticks)) {
            let passed = now.since(then).as_secs_f64();
            cores.push((ticks - earlier) as f64 * TICK_SECONDS / passed);
        }
        most_bytes = most_bytes.max(peak_bytes(pid).unwrap_or(0.0));
    }
    let result = rehearsal.result()?;
    let holds = result["conservation"]["holds"] == true;
    ensure!(
        holds && result["users"]["connected_max"] == 5_000_000,
        "the rehearsal is not whole: {}",
        result["verdict"]
    );
    ensure!(cores.len() > WARM_UP + 10, "the rehearsal ended early: {}", result["verdict"]);
    let steady = &cores[WARM_UP..cores.len() - 5];
    let least = steady.iter().copied().fold(f64::MAX, f64::min);
    let most = steady.iter().copied().fold(0.0, f64::max);
    let mib = most_bytes / f64::from(1 << 20);
    Ok(vec![
        Figure {
            bench: "rehearse",
            unit: "cores",
            value: median(steady),
            spread: (least, most),
            limit: None,
            aim: Aim::AtMost(1.0),
        },
        Figure {
            bench: "rehearse-memory",
            unit: "MiB",
            value: mib,
            spread: (mib, mib),
            limit: None,
            aim: Aim::AtMost(1_024.0),
        },
    ])
}

/// The report of a run of an hour with a million users, rendered again.
pub(super) fn hour() -> Result<Vec<Figure>> {
    let out = directory("hour")?;
    let size = ["--set", "hold=1h", "--set", "cohorts.fans.users=1000000", "--workers", "20", "--speed", "30"];
    let mut rehearsal = Rehearsal::start(Path::new(STADIUM), &out, &size)?;
    while rehearsal.goes_on()? {
        std::thread::sleep(Duration::from_millis(200));
    }
    let seconds = rehearsal.result()?["timeline"]["users_connected"].as_array().map_or(0, Vec::len);
    ensure!(seconds > 0, "the rehearsal has no seconds");
    let clock = Clock::System;
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = clock.now();
        let status = Command::new(binary()?).args(["report"]).arg(&out).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "throng report: {status}");
        took.push(clock.now().since(begun).as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    let spread = (took[0], took[took.len() - 1]);
    let value = median(&took);
    Ok(vec![Figure { bench: "rehearse-hour-report", unit: "s", value, spread, limit: None, aim: Aim::AtMost(3.0) }])
}

fn binary() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("throng"))
}

/// An empty place for a run.
fn directory(name: &str) -> Result<PathBuf> {
    let out = repo::root().join("target/bench").join(name);
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    Ok(out)
}

/// A running `throng rehearse`; ended with the benchmark.
struct Rehearsal {
    child: Child,
    out: PathBuf,
}

impl Rehearsal {
    fn start(scenario: &Path, out: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.current_dir(repo::root()).args(["rehearse", "--quiet", "--log", "error", "--out"]).arg(out);
        let child =
            command.arg(scenario).args(flags).stdout(Stdio::null()).spawn().context("throng can't be started")?;
        Ok(Self { child, out: out.to_owned() })
    }

    fn goes_on(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The process id of its data plane, while there is one.
    fn data_plane(&self) -> Option<u32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        // Any thread may have started it.
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).ok()?;
        let all = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        let all: String = std::iter::once(children).chain(all).collect::<Vec<_>>().join(" ");
        let is_it = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).nth(1) == Some(b"data-plane")
        };
        all.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).find(is_it)
    }

    fn result(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.out.join("result.json")).context("the rehearsal left no result")?;
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process: fields 14 and 15 of proc_pid_stat(5), counted behind its name.
fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The most memory that a process ever had resident.
fn peak_bytes(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib * 1_024.0)
}
