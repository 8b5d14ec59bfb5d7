//! What the load generator says against itself: late, starved, or not doing what was due. Each worker is judged by its own
//! numbers, because one late among a hundred is a hundredth of the load and no percentile of all sees it.

use measure::{Counter, Gauge, Histogram};

use crate::format::{count, duration_us, number, percent};
use crate::result::{HostInfo, RunResult, SourceInfo};
use crate::run::RunState;
use crate::source::Source;
use crate::timeline::levels;

/// The generator may start one action in a hundred so late, in microseconds. Latency is counted from the due time, so
/// a later start is the generator's own delay shown as the service's: 100 ms is what people notice, and more than a
/// chat service on a healthy host takes. An event loop that wakes so late stamps what it receives so late.
const LAG_P99_MAX_US: u64 = 100_000;

/// One in a hundred is nothing to speak of with fewer samples: then a worker is judged together with the others.
const SAMPLES_MIN: u64 = 100;

/// Workers that are named, the worst first.
const NAMED_MAX: usize = 5;

/// A worker that uses this share of its cores …
const CPU_SATURATED: f64 = 0.95;
/// … for so many seconds on end has no room left to be on time.
const CPU_SATURATED_S: u64 = 5;

/// With more than this share of all due actions dropped, the load was not the one that was asked for.
const DROPPED_MAX: f64 = 0.01;

/// All reasons.
pub(super) fn reasons(run: &RunState, result: &RunResult) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(late(run));
    reasons.extend(woke_late(run));
    let workers = result.sources.iter().enumerate().filter(|(_, s)| s.kind == "worker");
    let busy: Vec<String> = workers.filter_map(|(i, worker)| saturated(run, i, worker)).collect();
    // A worker that used all of its host has said so already.
    reasons.extend(if busy.is_empty() { saturated_hosts(run, result) } else { busy });
    reasons.extend(dropped(run));
    reasons.extend(starved(run));
    reasons
}

fn workers(run: &RunState) -> impl Iterator<Item = &Source> {
    run.sources.iter().filter(|source| source.is_worker())
}

/// The worst first, and how many more.
fn named<T: Copy + PartialOrd>(mut found: Vec<(&str, T)>, say: impl Fn(T) -> String) -> String {
    found.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    let more = found.len().saturating_sub(NAMED_MAX);
    let first: Vec<_> = found.iter().take(NAMED_MAX).map(|(name, value)| format!("{name} ({})", say(*value))).collect();
    let more = if more > 0 { format!(" and {} others", count(more as u64)) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// Workers whose own 99th percentile is too high; if it is that of all together, those with too few samples, too.
fn over_limit(run: &RunState, of: impl Fn(&Source) -> &Histogram) -> Vec<(&str, u64)> {
    let p99 = |source| of(source).quantile(0.99);
    let mut all = Histogram::new();
    workers(run).for_each(|worker| all.merge(of(worker)));
    let all_are = all.quantile(0.99) > LAG_P99_MAX_US;
    let enough = |source: &&Source| all_are || of(source).count() >= SAMPLES_MIN;
    let late = workers(run).filter(enough).map(|source| (source.name(), p99(source)));
    late.filter(|(_, us)| *us > LAG_P99_MAX_US).collect()
}

/// Workers that started what was due too late.
fn late(run: &RunState) -> Option<String> {
    let late = over_limit(run, |source| &source.lag);
    (!late.is_empty()).then(|| {
        let (named, max) = (named(late, |us| duration_us(us as f64)), duration_us(LAG_P99_MAX_US as f64));
        format!(
            "The load generator was late on {named}: one action in a hundred started so long or longer after it was due (at \
             most {max} is fair). Add workers or cores, or ask for less."
        )
    })
}

/// Workers whose event loop did not get to run: what they received meanwhile was stamped late.
fn woke_late(run: &RunState) -> Option<String> {
    let late = over_limit(run, |source| &source.loop_delay);
    (!late.is_empty()).then(|| {
        let (named, max) = (named(late, |us| duration_us(us as f64)), duration_us(LAG_P99_MAX_US as f64));
        format!(
            "The load generator was late to wake up on {named}: one time in a hundred its event loop had to wait so long (at \
             most {max} is fair), and all that it received meanwhile counts as so much later. Add workers or cores, or ask \
             for less."
        )
    })
}

/// Actions that fell due and were not started, of all workers or of a single one.
fn dropped(run: &RunState) -> Option<String> {
    let is_much = |due: u64, dropped: u64| due > 0 && dropped as f64 > due as f64 * DROPPED_MAX;
    let (due, dropped) = (run.total(Counter::Due), run.total(Counter::Dropped));
    let by = workers(run).filter(|w| w.due >= SAMPLES_MIN && is_much(w.due, w.dropped));
    let by: Vec<(&str, f64)> = by.map(|w| (w.name(), w.dropped as f64 / w.due as f64)).collect();
    if !is_much(due, dropped) && by.is_empty() {
        return None;
    }
    let share = number(dropped as f64 / due as f64 * 100.0);
    let of = if by.is_empty() { String::new() } else { format!(": {}", named(by, |part| percent(part, 1.0))) };
    Some(format!(
        "{} of {} due actions ({share} %) were not started{of}, because their user was not connected or too many calls were \
         on their way: the load was less than asked for. Ask for less, or find out why the target holds calls back.",
        count(dropped),
        count(due)
    ))
}

/// Workers that had no port or file left for another connection: then it is not the service that refused it.
fn starved(run: &RunState) -> Option<String> {
    let by: Vec<(&str, u64)> = workers(run).filter(|w| w.starved > 0).map(|w| (w.name(), w.starved)).collect();
    (!by.is_empty()).then(|| {
        let named = named(by, |n| format!("{} times", count(n)));
        format!(
            "No local port or file was left for a connection on {named}: that is the generator's own limit. Raise the limit of \
             open files, give its host more addresses, or add workers on other hosts."
        )
    })
}

fn saturated(run: &RunState, index: usize, worker: &SourceInfo) -> Option<String> {
    let cpu = levels(run, index, Gauge::ProcessCpuMilli).into_iter().map(|v| v.map(|milli| milli as f64 / 1e3));
    let longest = longest_at_limit(cpu, worker.cores) * u64::from(run.slots.width_s());
    (longest >= CPU_SATURATED_S).then(|| {
        let (name, most) = (&worker.name, number(worker.cpu_max / f64::from(worker.cores.max(1)) * 100.0));
        format!("{name} was at its limit for {longest} s (up to {most} % of its processor time): add workers, or ask for less.")
    })
}

/// A host of workers that had no processor time left, though no single one of them used it all. One that they share
/// with the service is a doubt and no verdict: there it may be the service that was at its limit.
fn saturated_hosts(run: &RunState, result: &RunResult) -> Vec<String> {
    let on = |host: &HostInfo, kind: &str| {
        let ours = result.sources.iter().filter(|s| s.kind == kind && s.host == host.name);
        ours.map(|s| s.name.clone()).collect::<Vec<_>>()
    };
    let reason = |host: &HostInfo| {
        let longest = longest_at_limit(host.cpu.iter().copied(), host.cores) * u64::from(run.slots.width_s());
        let workers = on(host, "worker");
        if longest < CPU_SATURATED_S || workers.is_empty() || !on(host, "node").is_empty() {
            return None;
        }
        let (name, workers) = (&host.name, workers.join(", "));
        Some(format!("The host {name} of {workers} was at its limit for {longest} s: add hosts, or ask for less."))
    };
    result.hosts.iter().filter_map(reason).collect()
}

/// The most slots on end in which so many cores were in use as a machine has.
fn longest_at_limit(cpu: impl Iterator<Item = Option<f64>>, cores: u32) -> u64 {
    let full = f64::from(cores.max(1)) * CPU_SATURATED;
    let (mut longest, mut now) = (0, 0);
    for used in cpu {
        now = if used.is_some_and(|used| used >= full) { now + 1 } else { 0 };
        longest = longest.max(now);
    }
    longest
}
