//! Thresholds over small runs, and over any run against a reference that knows all samples.

use measure::{Counter, Interval, Metric};
use proptest::prelude::*;
use proto::telemetry::NoteRequest;

use super::abort;
use crate::journal::Event;
use crate::result::{Outcome, RunResult, ThresholdResult};
use crate::testing::{START_NS, count, healthy, put, result, run};

/// Ten seconds; from the fifth on sends take 70 ms, and one message is lost in the seventh.
fn seconds() -> impl Iterator<Item = Interval> {
    (0..10).map(|s| {
        let mut interval = healthy();
        put(&mut interval, Metric::Send, if s < 4 { 1_000 } else { 70_000 }, 5);
        count(&mut interval, Counter::Lost, u64::from(s == 6));
        interval
    })
}

fn judged(thresholds: &str) -> Vec<ThresholdResult> {
    result(&run(thresholds, seconds())).thresholds
}

#[test]
fn it_is_known_when_each_first_failed() {
    let all = judged(
        "  - send: p(99) < 50ms\n  - lost: count == 0\n  - delivery: p(50) < 3ms\n  - sent: rate > 4/s\n  - sent: rate > 6/s\n",
    );
    let told: Vec<_> = all.iter().map(|t| (t.held, t.first_failed_at_s)).collect();
    let failed = |at| (Some(false), at);
    let held = (Some(true), None);
    assert_eq!(told, [failed(Some(4)), failed(Some(6)), held, held, failed(None)]);
    assert_eq!(all.iter().map(|t| t.unit.as_str()).collect::<Vec<_>>(), ["us", "count", "us", "per_s", "per_s"]);
    assert_eq!((all[1].measured, all[3].measured), (Some(1.0), Some(5.0)));
}

/// The run joins for two seconds and holds for eight.
#[test]
fn a_phase_is_judged_by_its_own_seconds() {
    let all = judged(
        "  - { send: max < 5ms, phase: join }\n  - { send: max < 5ms, phase: hold }\n  - { sent: rate > 4/s, phase: hold }\n  \
         - { sent: rate > 6/s, phase: hold }\n  - { sent: count == 10, phase: join }\n  - { sent: count == 40, phase: hold }\n",
    );
    let told: Vec<_> = all.iter().map(|t| (t.held, t.first_failed_at_s, t.measured)).collect();
    assert_eq!(told[0].0, Some(true));
    assert_eq!((told[1].0, told[1].1), (Some(false), Some(4)));
    assert_eq!(told[2..4], [(Some(true), None, Some(5.0)), (Some(false), None, Some(5.0))]);
    assert_eq!(told[4..], [(Some(true), None, Some(10.0)), (Some(true), None, Some(40.0))]);
    assert_eq!(all[1].text, "send: max < 5ms in phase hold");
}

#[test]
fn what_holds_over_the_run_may_fail_in_a_window() {
    let slow = |s| {
        let mut interval = healthy();
        put(&mut interval, Metric::Delivery, if s == 5 { 900_000 } else { 2_000 }, 4);
        interval
    };
    let thresholds = "  - delivery: p(99) < 50ms\n  - { delivery: p(99) < 50ms, window: 3s }\n";
    let result = result(&run(thresholds, (0..10).map(slow)));
    let [whole, window] = &result.thresholds[..] else { panic!("two") };
    assert_eq!((whole.held, window.held), (Some(true), Some(false)));
    let windows = window.window.expect("it has windows");
    assert_eq!((windows.judged, windows.failed, windows.empty), (8, 3, 0), "those that hold the sixth second");
    assert_eq!((windows.from_s, windows.to_s, window.first_failed_at_s), (3, 6, Some(5)));
    assert!(window.measured.is_some_and(|us| us >= 900_000.0), "{window:?}");
    assert_eq!(result.verdict.outcome, Outcome::Failed);
    let reason = &result.verdict.reasons[0].replace('\u{a0}', " ");
    assert!(reason.contains("in every 3s, measured 900 ms from 3 s to 6 s (3 of 8 windows failed)"), "{reason}");
}

/// A latency without samples has no number, and a threshold without any number has not held; a count of nothing is 0.
#[test]
fn a_window_or_phase_without_samples_judges_nothing() {
    let thresholds = "  - { connect: p(99) < 1s, window: 2s }\n  - { connect: p(99) < 1s, phase: hold }\n  - { errors: count \
                      == 0, window: 2s }\n  - { react: p(99) < 1s, phase: join, window: 1s }\n";
    let thresholds = thresholds.replace("react", "watch");
    let rare = |s| {
        let mut interval = healthy();
        if s == 0 {
            put(&mut interval, Metric::Connect, 4_000, 1);
        }
        interval
    };
    let all = result(&run(&thresholds, (0..10).map(rare))).thresholds;
    let windows = |t: &ThresholdResult| t.window.map(|w| (w.judged, w.empty));
    assert_eq!((all[0].held, windows(&all[0])), (Some(true), Some((1, 8))), "one window has the sample");
    assert_eq!((all[1].held, all[1].measured), (None, None));
    assert_eq!((all[2].held, windows(&all[2])), (Some(true), Some((9, 0))));
    assert_eq!((all[3].held, windows(&all[3])), (None, Some((0, 2))));
    assert_eq!(all[3].unjudged, "nothing was measured to judge it by");
}

#[test]
fn what_the_run_did_not_reach_has_not_held() {
    let thresholds = "  - { errors: count == 0, phase: hold }\n  - { errors: count == 0, window: 5s }\n";
    let all = result(&run(thresholds, (0..2).map(|_| healthy()))).thresholds;
    assert_eq!([all[0].held, all[1].held], [None, None]);
    assert_eq!(all[0].unjudged, "the run ended before a whole second of phase hold");
    assert_eq!(all[1].unjudged, "the run ended before a full window of 5 s");
}

/// Seconds of draining have no load, and so say nothing about whether there was enough.
#[test]
fn draining_is_no_lack_of_load() {
    let drained = |s| if s < 10 { healthy() } else { Interval::default() };
    let thresholds = "  - { sent: rate >= 5/s, window: 3s }\n  - { sent: rate >= 5/s, phase: hold }\n";
    let all = result(&run(thresholds, (0..14).map(drained))).thresholds;
    assert_eq!([all[0].held, all[1].held], [Some(true), Some(true)], "{all:?}");
    assert_eq!(all[0].window.map(|w| w.judged), Some(8));
}

fn aborted(thresholds: &str, seconds: usize) -> (String, RunResult) {
    let mut run = run(thresholds, self::seconds().take(seconds));
    let why = abort(&run);
    if !why.is_empty() {
        let at_ns = START_NS + seconds as u64 * 1_000_000_000;
        let text = format!("stopped at {seconds} s: {why}");
        run.step(&Event::Note(NoteRequest { at_ns, kind: "aborted".into(), text, ..NoteRequest::default() }));
    }
    (why.replace('\u{a0}', " "), result(&run))
}

#[test]
fn a_threshold_with_abort_stops_the_run_and_fails_it() {
    let (why, result) = aborted("  - { send: p(99) < 50ms, abort: true }\n  - lost: count == 0\n", 6);
    assert_eq!(why, "asked send: p(99) < 50ms, measured 70.0 ms from 0 s to 5 s");
    assert_eq!(result.verdict.outcome, Outcome::Failed);
    let reasons = &result.verdict.reasons;
    assert!(reasons.len() == 1 && reasons[0].starts_with("stopped at 6 s: asked send"), "{reasons:?}");
    assert!(result.thresholds[0].stopped_run && !result.thresholds[1].stopped_run);
    assert_eq!((result.thresholds[0].held, result.thresholds[1].held), (Some(false), Some(true)));
}

#[test]
fn an_abort_waits_as_long_as_it_is_told() {
    let check = |extent: &str, seconds, expected: &str| {
        let (why, _) = aborted(&format!("  - {{ send: p(99) < 50ms, {extent} }}\n"), seconds);
        assert!(if expected.is_empty() { why.is_empty() } else { why.ends_with(expected) }, "{extent}: {why}");
    };
    check("abort: false", 9, "");
    check("abort: true, after: 8s", 7, "");
    check("abort: true, after: 8s", 8, "from 0 s to 8 s");
    check("abort: true, window: 2s", 5, "in every 2s, measured 70.0 ms from 3 s to 5 s");
    check("abort: true, window: 2s, after: 7s", 7, "from 5 s to 7 s");
    check("abort: true, phase: hold, after: 4s", 5, "");
    check("abort: true, phase: hold, after: 4s", 6, "from 2 s to 6 s");
    check("abort: true, phase: join", 9, "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Windows in a whole run: as the seconds came in, and again from what is stored of them, against all samples of the
    /// window pooled and sorted.
    #[test]
    fn windows_are_judged_as_by_hand(
        seconds in proptest::collection::vec(proptest::collection::vec(1_u64..2_000_000, 0..4), 1..12),
        length in 1_u32..5,
        limit_ms in 1_u64..2_000,
        hold in any::<bool>(),
    ) {
        let intervals = seconds.iter().map(|samples| {
            let mut interval = Interval::default();
            samples.iter().for_each(|micros| put(&mut interval, Metric::Send, *micros, 1));
            interval
        });
        let phase = if hold { ", phase: hold" } else { "" };
        let threshold = format!("  - {{ send: max < {limit_ms}ms, window: {length}s{phase} }}\n");
        let run = run(&threshold, intervals);
        let first = if hold { 2 } else { 0 };
        let windows: Vec<Option<u64>> = seconds.get(first..).unwrap_or_default().windows(length as usize)
            .map(|window| window.iter().flatten().max().copied()).collect();
        let limit = limit_ms * 1_000;
        let is_clear = |max: &u64| max.abs_diff(limit) > limit / 500;
        prop_assume!(windows.iter().flatten().all(is_clear), "the histogram's resolution");
        let live = run.watches.tracks()[0].windows().expect("it has windows");
        let judged = &result(&run).thresholds[0];
        prop_assert_eq!(judged.window, Some(live));
        prop_assert_eq!(live.judged as usize, windows.iter().flatten().count());
        prop_assert_eq!(live.empty as usize, windows.len() - live.judged as usize);
        prop_assert_eq!(live.failed as usize, windows.iter().flatten().filter(|max| **max >= limit).count());
        let worst = windows.iter().flatten().max().copied();
        prop_assert_eq!(judged.measured.is_some(), worst.is_some());
        if let (Some(measured), Some(worst)) = (judged.measured, worst) {
            prop_assert!((measured - worst as f64).abs() <= worst as f64 / 500.0 + 1.0, "{measured} is not {worst}");
        }
    }
}
