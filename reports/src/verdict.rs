//! Passed, failed, or invalid, and why, in words that say what to do.

mod generator;
pub(crate) mod reached;

use measure::Counter;
use proto::telemetry::CloseRequest;

use crate::format::{count, counted, duration_us, number, run_time};
use crate::result::{Outcome, RunResult, ThresholdResult, VerdictInfo, WindowInfo};
use crate::run::{ABORTED, RunState};
use crate::{clocks, sources};

/// At least this share of the users that the schedule asks for must have been connected at once.
const USERS_REACHED_MIN: f64 = 0.99;

/// The verdict: invalid before failed before passed.
pub(crate) fn judge(run: &RunState, result: &RunResult, close: &CloseRequest) -> VerdictInfo {
    let mut invalid = close.invalid_reasons.clone();
    invalid.extend(lost_workers(result, &[&close.invalid_reasons[..], &close.allowed_losses].concat()));
    invalid.extend(incomplete(result));
    invalid.extend(generator::reasons(run, result));
    invalid.extend(clocks::unusable_thresholds(result));
    invalid.extend(nothing_measured(run, result));
    let mut failed: Vec<String> = stopped(run).into_iter().collect();
    // What stopped the run is told by the line that says so.
    let told = |threshold: &&ThresholdResult| !threshold.stopped_run || failed.is_empty();
    let broken: Vec<String> = result.thresholds.iter().filter(told).filter_map(broken).collect();
    failed.extend(broken);
    match users_missing(run, result) {
        Some(Shortfall::OfTheTarget(reason)) => failed.insert(0, reason),
        Some(Shortfall::OfTheGenerator(reason)) => invalid.push(reason),
        None => {}
    }
    failed.extend(unsettled(run));
    for shortfall in reached::sends(run, &result.gaps, close) {
        match shortfall {
            Shortfall::OfTheTarget(reason) => failed.push(reason),
            Shortfall::OfTheGenerator(reason) => invalid.push(reason),
        }
    }
    let outcome = match (invalid.is_empty(), failed.is_empty()) {
        (false, _) => Outcome::Invalid,
        (true, false) => Outcome::Failed,
        (true, true) => Outcome::Passed,
    };
    invalid.extend(failed);
    VerdictInfo { outcome, reasons: invalid, interrupted: close.interrupted }
}

/// Lost workers, but for those that the control plane has `told` of: as a reason, or as a loss that is allowed.
fn lost_workers(result: &RunResult, told: &[String]) -> impl Iterator<Item = String> {
    let lost = result.sources.iter().filter_map(|s| Some((s, s.lost_at_s?)));
    let known = |name: &str| told.iter().any(|reason| sources::mentions(reason, name));
    lost.filter(move |(s, _)| s.kind == "worker" && !known(&s.name)).map(|(s, at)| {
        let (name, users, at) = (&s.name, count(s.users_planned), number(at.max(0.0)));
        format!(
            "{name} was lost {at} s into the run with its {users} users: what they saw from then on is missing. \
             Its log says why; run again."
        )
    })
}

fn incomplete(result: &RunResult) -> Vec<String> {
    let mut reasons = Vec::new();
    for source in result.sources.iter().filter(|s| s.intervals_missing > 0) {
        let (n, name) = (count(source.intervals_missing), &source.name);
        reasons.push(format!(
            "{n} intervals of {name} never came: the connection to the data plane, or room for its spool, was gone too long."
        ));
    }
    let c = &result.conservation;
    if !c.holds {
        reasons.push(format!(
            "Recorders counted {} samples and {} counts, the report shows {} and {}: something was lost on the way.",
            count(c.recorded_samples),
            count(c.recorded_counts),
            count(c.shown_samples),
            count(c.shown_counts)
        ));
    }
    reasons
}

fn nothing_measured(run: &RunState, result: &RunResult) -> Option<String> {
    let c = &result.completeness;
    let received = run.total(Counter::MessagesReceived);
    if c.expected > 0 && c.delivered == 0 {
        return Some(format!(
            "None of {} expected events arrived: the users can't have been watching. Is the target the service you mean?",
            count(c.expected)
        ));
    }
    if run.total(Counter::Sent) > 0 && received == 0 {
        let sent = count(run.total(Counter::Sent));
        return Some(format!("{sent} messages were sent and none was received: nobody was watching these channels."));
    }
    (run.totals.samples() == 0)
        .then(|| "Nothing was measured: no worker shipped a single sample. The workers' logs say why.".to_owned())
}

enum Shortfall {
    OfTheTarget(String),
    OfTheGenerator(String),
}

/// Whether the users that the schedule asked for were there. If connections failed, that is a finding about the target;
/// if not, the generator never tried, and the run says nothing about so many users.
fn users_missing(run: &RunState, result: &RunResult) -> Option<Shortfall> {
    let planned = result.timeline.users_planned.iter().copied().max().unwrap_or(0);
    let reached = result.users.connected_max;
    if reached as f64 >= planned as f64 * USERS_REACHED_MIN {
        return None;
    }
    let (of, reached, failed) = (count(planned), count(reached), run.total(Counter::ConnectFailed));
    if failed == 0 {
        return Some(Shortfall::OfTheGenerator(format!(
            "Only {reached} of {of} users were ever connected at once, though no connection failed: the generator was too \
             slow. Lower the ramp's rate or add workers."
        )));
    }
    let most = result.errors.first().map(|e| format!(", most often: {}", e.kind)).unwrap_or_default();
    Some(Shortfall::OfTheTarget(format!(
        "Only {reached} of {of} users were ever connected at once: {} connections failed{most}.",
        count(failed)
    )))
}

/// Users whose channels may have gone on without them: nobody could say where they ended.
fn unsettled(run: &RunState) -> Option<String> {
    let channels = run.total(Counter::Unsettled);
    (channels > 0).then(|| {
        let visits = counted(channels, "visit of a channel", "visits of a channel");
        format!(
            "The last numbers of {visits} could not be asked for: whether these users had everything is not known, and what is \
             lost of it is not among the lost. The service did not answer; its log may say why."
        )
    })
}

/// That a threshold has stopped the run: when, and which.
fn stopped(run: &RunState) -> Option<String> {
    run.events.iter().find(|event| event.kind == ABORTED).map(|event| event.text.clone())
}

fn broken(threshold: &ThresholdResult) -> Option<String> {
    if threshold.unusable {
        // That makes the run invalid, and is said there.
        return None;
    }
    let text = &threshold.text;
    match (threshold.held, threshold.measured) {
        (Some(true), _) => None,
        (Some(false), Some(measured)) => {
            let measured = match threshold.unit.as_str() {
                "us" => duration_us(measured),
                "per_s" => format!("{}/s", number(measured)),
                _ => count(measured.max(0.0) as u64),
            };
            let windows = threshold.window.map(|w| format!(" {}", windows(&w))).unwrap_or_default();
            Some(format!("asked {text}, measured {measured}{windows}"))
        }
        _ if threshold.unjudged.is_empty() => Some(format!("asked {text}, and nothing was measured to judge it by")),
        _ => Some(format!("asked {text}, and {}", threshold.unjudged)),
    }
}

/// Where the worst window was, and how many failed.
pub(crate) fn windows(window: &WindowInfo) -> String {
    let (from, to) = (run_time(window.from_s.into()), run_time(window.to_s.into()));
    format!("from {from} to {to} ({} of {} failed)", count(window.failed), counted(window.judged, "window", "windows"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{count, healthy, level, put, result, run};
    use measure::{Gauge, Interval, Metric};

    const FAST: &str = "  - delivery: p(99) < 100ms\n";

    fn judged(thresholds: &str, change: impl Fn(usize, &mut Interval)) -> (Outcome, Vec<String>) {
        let second = |i| {
            let mut interval = healthy();
            change(i, &mut interval);
            interval
        };
        let verdict = result(&run(thresholds, (0..10).map(second))).verdict;
        (verdict.outcome, verdict.reasons)
    }

    #[test]
    fn a_healthy_run_passes_without_a_reason() {
        assert_eq!(judged(FAST, |_, _| {}), (Outcome::Passed, vec![]));
    }

    #[test]
    fn a_threshold_fails_with_both_numbers() {
        let (outcome, reasons) = judged("  - delivery: p(99) < 1ms\n  - lost: count == 0\n", |_, _| {});
        assert_eq!((outcome, reasons.len()), (Outcome::Failed, 1));
        assert!(reasons[0].contains("asked delivery: p(99) < 1ms, measured 2.00"), "{reasons:?}");
    }

    #[test]
    fn a_threshold_without_anything_to_judge_fails() {
        let (outcome, reasons) = judged("  - connect: p(99) < 1s\n", |_, _| {});
        assert_eq!(outcome, Outcome::Failed, "{reasons:?}");
        assert!(reasons[0].contains("nothing was measured"), "{reasons:?}");
    }

    #[test]
    fn a_late_generator_is_no_verdict_about_the_service() {
        let (outcome, reasons) = judged("  - delivery: p(99) < 1ms\n", |_, i| put(i, Metric::Lag, 300_000, 5));
        assert_eq!((outcome, reasons.len()), (Outcome::Invalid, 2), "invalid first, and what failed is still said");
        assert!(
            reasons[0].contains("load generator was late on worker-1 (300\u{a0}ms): one")
                && reasons[1].contains("asked"),
            "{reasons:?}"
        );
    }

    /// A hundred workers, of which one is late with all that it does: of all actions together not even one in a hundred.
    #[test]
    fn one_late_worker_among_many_is_named_and_no_other() {
        let mut run = run(FAST, (0..10).map(|_| healthy()));
        run.sources[0].lag.record_n(100, 100_000);
        let mut late = crate::source::Source::named("worker-57");
        late.lag.record_n(412_000, 900);
        run.sources.push(late.clone());
        let reasons = result(&run).verdict.reasons;
        let told: Vec<_> = reasons.iter().filter(|r| r.contains("late on worker-57 (412\u{a0}ms)")).collect();
        assert!(told.len() == 1 && !told[0].contains("worker-1"), "{reasons:?}");
        run.sources[1].lag = measure::Histogram::new();
        run.sources[1].loop_delay.record_n(250_000, 900);
        let reasons = result(&run).verdict.reasons;
        assert!(reasons.iter().any(|r| r.contains("late to wake up on worker-57 (250\u{a0}ms)")), "{reasons:?}");
    }

    #[test]
    fn what_a_single_worker_did_not_start_or_had_no_port_for_names_it() {
        let mut run = run(FAST, (0..10).map(|_| healthy()));
        let mut other = crate::source::Source::named("worker-2");
        (other.due, other.dropped, other.starved) = (200, 20, 7);
        run.sources.push(other);
        let reasons = result(&run).verdict.reasons.join(" ").replace('\u{a0}', " ");
        assert!(reasons.contains("were not started: worker-2 (10.0 %)"), "{reasons}");
        assert!(reasons.contains("left for a connection on worker-2 (7 times)"), "{reasons}");
    }

    #[test]
    fn a_service_that_is_silent_to_the_end_has_not_passed() {
        let (outcome, reasons) = judged(FAST, |s, i| count(i, Counter::Unsettled, if s == 9 { 10 } else { 0 }));
        assert_eq!(outcome, Outcome::Failed);
        assert!(reasons[0].contains("numbers of 10\u{a0}visits of a channel could not be asked for"), "{reasons:?}");
    }

    #[test]
    fn a_worker_at_its_limit_for_long_is_invalid_and_for_a_moment_is_not() {
        let busy = |i: &mut Interval| level(i, Gauge::ProcessCpuMilli, 1_950);
        assert_eq!(
            judged(FAST, |s, i| if s < 4 {
                busy(i);
            })
            .0,
            Outcome::Passed
        );
        let (outcome, reasons) = judged(FAST, |s, i| {
            if s < 6 {
                busy(i);
            }
        });
        assert!(outcome == Outcome::Invalid && reasons[0].contains("worker-1 was at its limit for 6 s"), "{reasons:?}");
    }

    #[test]
    fn a_host_that_workers_fill_together_is_invalid_and_one_shared_with_the_service_is_not() {
        let busy = |i: &mut Interval| {
            level(i, Gauge::ProcessCpuMilli, 900);
            level(i, Gauge::HostCpuMilli, 2_000);
            level(i, Gauge::HostCores, 2);
        };
        let (outcome, reasons) = judged(FAST, |_, i| busy(i));
        assert!(outcome == Outcome::Invalid && reasons[0].contains("of worker-1 was at its limit"), "{reasons:?}");
        let mut run = run(
            FAST,
            (0..10).map(|_| {
                let mut interval = healthy();
                busy(&mut interval);
                interval
            }),
        );
        let mut node = crate::source::Source::named("node-1");
        node.hello.kind = "node".into();
        run.sources.push(node);
        assert_eq!(result(&run).verdict.outcome, Outcome::Passed);
    }

    #[test]
    fn dropped_actions_make_another_load() {
        let (outcome, reasons) = judged(FAST, |s, i| count(i, Counter::Dropped, u64::from(s == 3)));
        assert!(outcome == Outcome::Invalid && reasons[0].contains("1 of 50"), "{reasons:?}");
    }

    #[test]
    fn users_that_the_target_turned_away_are_a_finding_and_others_are_not() {
        let short = |i: &mut Interval| level(i, Gauge::UsersConnected, 7);
        let (outcome, reasons) = judged(FAST, |_, i| {
            short(i);
            count(i, Counter::ConnectFailed, 3);
        });
        assert!(outcome == Outcome::Failed && reasons[0].contains("7 of 10"), "{reasons:?}");
        let (outcome, reasons) = judged(FAST, |_, i| short(i));
        assert!(outcome == Outcome::Invalid && reasons[0].contains("generator was too"), "{reasons:?}");
    }

    #[test]
    fn nothing_is_not_a_success() {
        let empty = |_: usize, i: &mut Interval| *i = Interval::default();
        assert_eq!(judged("  - lost: count == 0\n", empty).0, Outcome::Invalid);
        let (outcome, reasons) = judged(FAST, |_, i| i.counters.retain(|k, _| k.counter != Counter::Delivered));
        assert!(outcome == Outcome::Invalid && reasons[0].contains("None of 500"), "{reasons:?}");
    }

    #[test]
    fn a_contradiction_between_recorders_and_report_is_found() {
        let mut run = run(FAST, (0..10).map(|_| healthy()));
        run.sources[0].goodbye.as_mut().unwrap().samples += 1;
        let result = result(&run);
        assert!(!result.conservation.holds && result.verdict.outcome == Outcome::Invalid);
        assert!(result.verdict.reasons[0].contains("601 samples"), "{:?}", result.verdict.reasons);
    }
}
