//! Witnesses: what a report says, held against a target that knows what it did.
//!
//! Each says which method it is a witness for, and fails without it: where the number that one would have without the
//! method is at hand, it is computed, and shown not to pass.
//!
//! Other processes on a busy machine can only make a measurement worse than the method is, never better. So target and fleet
//! ask to go before others where they may, and a comparison within a tolerance may be tried again, at most [`ATTEMPTS`]
//! times; a wrong method fails each time. Counts are compared exactly, and once.

mod canaries;
mod clocks;
mod due;
mod fanout;
mod frozen;
mod ground;
mod lost;
mod role;
mod same;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use measure::Clock;
use serde_json::Value;
use tokio::sync::oneshot;
use truth::{Config, Ledger, TestTarget, quantile};

use crate::harness::Run;

/// How often a comparison within a tolerance is tried.
const ATTEMPTS: u32 = 3;
/// How many attempts a disturbed machine may spoil beside those.
const DISTURBED: u32 = 9;
/// How long a disturbed machine is waited for before the next attempt.
const CALM_WITHIN: Duration = Duration::from_secs(20);
/// The niceness of target and fleet, where we may choose it: a compiler next door then delays neither.
const BEFORE_OTHERS: i32 = -10;

/// A test target in threads of its own, until it is dropped.
struct Target {
    url: String,
    ledger: Arc<Ledger>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Target {
    /// Starts a target on a free port of this machine.
    fn start(configure: impl FnOnce(&mut Config)) -> Self {
        // Of this test's thread, and so of all threads and processes that it starts; who may not stays as it is.
        let _ = rustix::process::setpriority_process(None, BEFORE_OTHERS);
        let mut config = Config::new(([127, 0, 0, 1], 0).into());
        config.seed = 20_221;
        configure(&mut config);
        let (end, ended) = oneshot::channel::<()>();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let bound = TestTarget::bind(config).await.expect("a free port");
                ready.send((bound.local_addr(), bound.ledger())).expect("the test waits");
                bound.serve(async { drop(ended.await) }).await.expect("a thread for deliveries");
            });
        };
        let thread = Some(std::thread::spawn(serve));
        let (address, ledger) = started.recv().expect("the target listens");
        Self { url: format!("ws://{address}"), ledger, end: Some(end), thread }
    }

    /// Starts a run against it.
    fn run(&self, scenario: &str, workers: u32) -> Run {
        run_against(&self.url, scenario, workers)
    }
}

/// Starts a run against a target that checks no token.
fn run_against(url: &str, scenario: &str, workers: u32) -> Run {
    run_with(url, scenario, workers, &[])
}

/// The same on a fleet that is there already.
fn run_against_fleet(url: &str, scenario: &str, control_plane: &str, workers: u32) -> Run {
    run_with(url, scenario, workers, &["--control-plane", control_plane])
}

fn run_with(url: &str, scenario: &str, workers: u32, more: &[&str]) -> Run {
    let secret = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/witness/secret");
    let target = ["--target", url, "--api-key", "k", "--api-secret-file", secret];
    Run::start_with(scenario, &[&target[..], &["--workers", &workers.to_string()], more].concat())
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// Waits for the end of a run about which throng may say that the machine was too busy, and nothing else. Its counts hold
/// all the same.
fn finish(run: &mut Run) -> Value {
    let code = run.end();
    let result = run.result();
    let reasons: Vec<&str> =
        result["verdict"]["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fine = code == 0 || (code == 2 && !reasons.is_empty() && reasons.iter().all(|reason| is_busy(reason)));
    assert!(fine, "exit {code}, {reasons:?}\n{}", run.stderr());
    result
}

/// Whether a reason says that the machine was too busy to measure.
fn is_busy(reason: &str) -> bool {
    ["load generator was late", "at its limit", "due actions", "were asked to"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Tries a comparison until it holds.
///
/// # Panics
/// With all that was wrong, when it never does.
fn attempt(mut compare: impl FnMut() -> Result<(), String>) {
    let wrong: Vec<String> = (0..ATTEMPTS).map_while(|_| compare().err()).collect();
    assert!(wrong.len() < ATTEMPTS as usize, "in none of {ATTEMPTS} attempts:\n{}", wrong.join("\n"));
}

/// Why a comparison did not hold.
struct Miss {
    what: String,
    /// Threads that had nothing to do but wake up were late by more than the comparison allows.
    disturbed: bool,
}

/// The same as [`attempt`] for a comparison that one hiccup of the machine spoils: p99.9 of a few thousand deliveries is
/// wrong when all threads of a process stood still for a thousandth of the run, which a neighbour on a busy host brings
/// about in each of three attempts. A run that says so itself, by its event loops' delay, is no attempt, up to
/// [`DISTURBED`] times. The tolerance stays what it is, and a wrong method still fails each time.
fn attempt_undisturbed(mut compare: impl FnMut() -> Result<(), Miss>) {
    let (mut wrong, mut quiet) = (Vec::new(), 0);
    while quiet < ATTEMPTS && wrong.len() < (ATTEMPTS + DISTURBED) as usize {
        let Err(miss) = compare() else { return };
        quiet += u32::from(!miss.disturbed);
        if miss.disturbed {
            wait_for_calm();
        }
        wrong.push(format!("{}{}", miss.what, if miss.disturbed { " (the machine was disturbed)" } else { "" }));
    }
    panic!("in none of {} attempts:\n{}", wrong.len(), wrong.join("\n"));
}

/// Waits until a thread that only sleeps wakes up on time for a while, or for [`CALM_WITHIN`]: what disturbed an attempt may
/// go on for some seconds, and would spoil the next.
fn wait_for_calm() {
    let (clock, nap) = (Clock::System, Duration::from_millis(1));
    let begun = clock.now();
    let mut on_time = 0;
    while on_time < 1_000 && clock.now().since(begun) < CALM_WITHIN {
        let then = clock.now();
        std::thread::sleep(nap);
        on_time = if clock.now().since(then) < nap * 2 { on_time + 1 } else { 0 };
    }
}

/// One number of a metric of a result, in microseconds.
fn micros(result: &Value, metric: &str, number: &str) -> i64 {
    let found = &result["metrics"][metric][number];
    found.as_i64().unwrap_or_else(|| panic!("{metric}.{number}: {found}"))
}

/// How far a report's percentiles may be from the truth: 1 % and 500 µs.
fn is_true(reported: i64, truth: i64) -> bool {
    (reported - truth).abs() as f64 <= truth as f64 * 0.01 + 500.0
}

/// The report's percentiles of a metric that are not those of rising values; empty when all are.
fn untrue(result: &Value, metric: &str, rising: &[i64]) -> Vec<String> {
    let parts = [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p999_us", 0.999)];
    let compared = parts.into_iter().map(|(name, part)| {
        let truth = quantile(rising, part).expect("there are values");
        (name, micros(result, metric, name), truth)
    });
    let all: Vec<_> = compared.collect();
    eprintln!(
        "{metric}: {}",
        all.iter().map(|(n, r, t)| format!("{n} {r} ({:+})", r - t)).collect::<Vec<_>>().join(", ")
    );
    let wrong = all.iter().filter(|(_, reported, truth)| !is_true(*reported, *truth));
    wrong
        .map(|(name, reported, truth)| format!("{metric} {name}: reported {reported} µs, true are {truth} µs"))
        .collect()
}

/// A counter of a result.
fn counted(result: &Value, place: &str, name: &str) -> u64 {
    result[place][name].as_u64().unwrap_or_default()
}
