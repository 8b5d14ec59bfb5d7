//! A small run for unit tests: one worker, as many seconds as wanted, and a hand on each of them.

use bytes::Bytes;
use measure::{Counter, CounterKey, Gauge, GaugeKey, Interval, Metric, Series, Timestamp};
use proto::telemetry::{CloseRequest, Goodbye, OpenRequest, SealedInterval, SourceHello};

use crate::journal::Event;
use crate::opened::understand;
use crate::result::RunResult;
use crate::run::{Opened, RunState};
use crate::summary::summarize;

pub(crate) const START_NS: u64 = 5_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// The scenario: 10 users join in 2 s, send 5 messages a second, and these thresholds hold.
fn scenario(thresholds: &str) -> String {
    format!(
        "name: small\nseed: 3\nchannels:\n  - {{ id: room, type: messaging, members: all }}\ncohorts:\n  - name: fans\n    \
         users: 10\n    ramp: {{ rate: 5/s }}\n    actions:\n      - send: {{ channel: room, rate: 5/s, size: 20..40B }}\n\
         hold: 8s\nthresholds:\n{thresholds}"
    )
}

/// A healthy second: ten users, five messages to each of them, 2 ms.
pub(crate) fn healthy() -> Interval {
    let mut interval = Interval::default();
    put(&mut interval, Metric::Delivery, 2_000, 50);
    put(&mut interval, Metric::Send, 1_000, 5);
    put(&mut interval, Metric::Lag, 100, 5);
    for (counter, n) in [
        (Counter::Due, 5),
        (Counter::Sent, 5),
        (Counter::MessagesReceived, 50),
        (Counter::Expected, 50),
        (Counter::Delivered, 50),
    ] {
        count(&mut interval, counter, n);
    }
    for gauge in [Gauge::UsersPlanned, Gauge::UsersConnected] {
        level(&mut interval, gauge, 10);
    }
    interval
}

pub(crate) fn put(interval: &mut Interval, metric: Metric, micros: u64, n: u64) {
    interval.histograms.entry(Series { metric, cohort: Some(0) }).or_default().record_n(micros, n);
}

pub(crate) fn count(interval: &mut Interval, counter: Counter, n: u64) {
    *interval.counters.entry(CounterKey { cohort: Some(0), ..counter.into() }).or_default() += n;
}

pub(crate) fn level(interval: &mut Interval, gauge: Gauge, level: i64) {
    interval.gauges.insert(GaugeKey { gauge, cohort: Some(0) }, level);
}

/// A run of these seconds, complete, with a goodbye that agrees.
pub(crate) fn run(thresholds: &str, seconds: impl IntoIterator<Item = Interval>) -> RunState {
    run_of(thresholds, [seconds])
}

/// The same of several workers, each with its seconds.
pub(crate) fn run_of<S: IntoIterator<Item = Interval>>(
    thresholds: &str,
    workers: impl IntoIterator<Item = S>,
) -> RunState {
    let request = OpenRequest {
        run: "r".into(),
        file_name: "small.yaml".into(),
        scenario: scenario(thresholds).into(),
        start_ns: START_NS,
        start_unix_ns: 1_795_000_000_000_000_000,
        expected_sources: vec!["worker-1".into()],
        expected_users: vec![10],
        ..OpenRequest::default()
    };
    let scenario = understand(&request).unwrap().into();
    let mut run = RunState::new(Opened { request, scenario, dir: "/nowhere".into() });
    for (seconds, number) in workers.into_iter().zip(1..) {
        work(&mut run, &format!("worker-{number}"), seconds);
    }
    run.finish();
    run
}

/// A worker's seconds, from hello to goodbye.
fn work(run: &mut RunState, source: &str, seconds: impl IntoIterator<Item = Interval>) {
    let hello = SourceHello { source: source.to_owned(), kind: "worker".into(), cores: 2, ..SourceHello::default() };
    run.step(&Event::Hello(hello));
    let mut goodbye = Goodbye { source: source.to_owned(), ..Goodbye::default() };
    for (mut interval, second) in seconds.into_iter().zip(0_u64..) {
        interval.start = Some(Timestamp::from_nanos(START_NS + second * SECOND_NS));
        interval.end = Some(Timestamp::from_nanos(START_NS + (second + 1) * SECOND_NS));
        goodbye.last_sequence = second + 1;
        goodbye.samples += interval.samples();
        goodbye.counts += interval.counters.values().sum::<u64>();
        let interval = Bytes::from(interval.encode());
        run.step(&Event::Interval(SealedInterval { sequence: second + 1, interval, source: source.to_owned() }));
    }
    run.step(&Event::Goodbye(goodbye));
}

/// What the run says when it is closed normally.
pub(crate) fn result(run: &RunState) -> RunResult {
    let close = CloseRequest { run: "r".into(), ended_ns: START_NS + 10 * SECOND_NS, ..CloseRequest::default() };
    summarize(run, &close)
}
