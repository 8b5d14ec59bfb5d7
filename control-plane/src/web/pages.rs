//! The pages, rendered from templates that are checked when throng is built.

use askama::Template;
use measure::grouped;

use super::files;
use crate::run::{Outcome, RunState, Verdict};
use crate::view::{AgentView, RunView};

#[derive(Template)]
#[template(path = "frame.html")]
struct Frame<'a> {
    title: &'a str,
    /// Where the page's live part comes from; empty: it has none.
    part: &'a str,
    body: &'a str,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    /// Those that have agents, oldest first.
    on: Vec<&'a RunView>,
    waiting: usize,
    runs: &'a [RunView],
    fleet: &'a [AgentView],
    workers: usize,
    capacity: String,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    run: &'a RunView,
    files: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    text: &'a str,
}

/// A whole page around a part.
pub(super) fn frame(title: &str, part: &str, body: &str) -> String {
    finish(Frame { title, part, body }.render())
}

/// Fleet and runs.
pub(super) fn overview(fleet: &[AgentView], runs: &[RunView]) -> String {
    let waits = |run: &&RunView| run.state == RunState::Queued;
    let on = runs.iter().rev().filter(|run| run.state != RunState::Ended && !waits(run)).collect();
    let waiting = runs.iter().filter(waits).count();
    let workers = fleet.iter().filter(|a| a.kind == "worker");
    let capacity = grouped(workers.clone().fold(0, |sum: u64, a| sum.saturating_add(a.capacity)));
    finish(Overview { on, waiting, runs, fleet, workers: workers.count(), capacity }.render())
}

/// One run.
pub(super) fn run(run: &RunView) -> String {
    finish(RunPage { run, files: files::present(run) }.render())
}

/// Why there is nothing to see.
pub(super) fn problem(text: &str) -> String {
    frame("throng", "", &finish(ProblemPage { text }.render()))
}

fn finish(rendered: askama::Result<String>) -> String {
    rendered.unwrap_or_else(|error| {
        tracing::error!("a page could not be rendered: {error}");
        "<p>This page could not be rendered.</p>".to_owned()
    })
}

/// The verdict's mark, word and class of look.
fn verdict(verdict: Option<&Verdict>) -> (&'static str, &'static str, &'static str) {
    match verdict.map(|v| (v.outcome, v.interrupted)) {
        None => ("…", "on", "on"),
        Some((_, true)) => ("■", "interrupted", "invalid"),
        Some((Outcome::Passed, _)) => ("✓", "passed", "passed"),
        Some((Outcome::Failed, _)) => ("✗", "failed", "failed"),
        Some((Outcome::Invalid, _)) => ("?", "invalid", "invalid"),
    }
}

fn state_word(state: &RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Preparing => "preparing",
        RunState::Running => "running",
        RunState::Draining => "draining",
        RunState::Reporting => "reporting",
        RunState::Ended => "ended",
    }
}

// Templates pass everything by reference.

fn count(n: &u64) -> String {
    grouped(*n)
}

fn sum(a: &u64, b: &u64) -> String {
    grouped(a.saturating_add(*b))
}

/// Microseconds as people say them, three digits.
fn micros(us: &u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let us = *us as f64;
    match us {
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{} ms", three(us / 1e3)),
        us => format!("{} s", three(us / 1e6)),
    }
}

fn three(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn per_second(rate: &f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is rounded for people")]
    let whole = rate.max(0.0).round() as u64;
    match whole {
        _ if *rate <= 0.0 => "0".to_owned(),
        0..100 => three(*rate),
        _ => grouped(whole),
    }
}

fn seconds(s: &f64) -> String {
    let whole = s.abs();
    let sign = if *s < 0.0 { "−" } else { "" };
    if whole >= 60.0 {
        format!("{sign}{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        format!("{sign}{whole:.1} s")
    }
}

/// RFC 3339 as people write it.
fn date(rfc3339: &str) -> String {
    rfc3339.replace('T', " ").replace('Z', " UTC")
}

fn bytes(n: &u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let n = *n as f64;
    format!("{} GiB", three(n / f64::from(1 << 30)))
}

/// Percent of the planned time that has passed.
fn progress(run: &RunView) -> f64 {
    if run.state == RunState::Ended {
        100.0
    } else {
        (100.0 * run.elapsed_s / run.planned_s.max(0.001)).clamp(0.0, 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(micros(&842), "842 µs");
        assert_eq!(micros(&12_400), "12.4 ms");
        assert_eq!(micros(&1_400_000), "1.40 s");
        assert_eq!(per_second(&12_345.4), "12,345");
        assert_eq!(per_second(&2.0), "2.00");
        assert_eq!(per_second(&0.0), "0");
        assert_eq!(date("2026-11-24T03:42:42Z"), "2026-11-24 03:42:42 UTC");
        assert_eq!(seconds(&-0.3), "−0.3 s");
        assert_eq!(seconds(&125.0), "2 min 05 s");
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        assert!(problem("<script>").contains("&#60;script&#62;"));
    }

    #[test]
    fn an_empty_control_plane_has_a_page() {
        let page = frame("throng", "/part", &overview(&[], &[]));
        assert!(page.contains("No run yet") && page.contains("No agent has joined"), "{page}");
    }
}
