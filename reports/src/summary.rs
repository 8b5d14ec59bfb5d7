//! From a run's state to what it says.

use std::collections::BTreeMap;

use measure::{Cohort, Counter, Interval, Metric};
use proto::telemetry::{CloseRequest, Gap, OpenRequest};
use wire::Stamp;

use crate::latency::{by_metric, numbers};
use crate::result::{
    Completeness, EventInfo, FanoutInfo, GapInfo, Latency, Outcome, PhaseSpan, Rehearsed, RunResult, SCHEMA,
    ScenarioInfo, SlowMessage, UserCounts, VerdictInfo,
};
use crate::run::RunState;
use crate::source::Source;
use crate::{by_event, clocks, doubts, hosts, lacking, sources, thresholds, timeline, verdict};

/// Metrics that are named in every result, measured or not, because scripts rely on them.
const ALWAYS: [Metric; 5] = [Metric::Connect, Metric::Send, Metric::Delivery, Metric::Lag, Metric::FanoutLast];

/// Everything that the report shows of a run that is over. Its messages should be final ([`RunState::finish`]).
pub(crate) fn summarize(run: &RunState, close: &CloseRequest) -> RunResult {
    let mut result = measured(run, Some(close));
    result.verdict = verdict::judge(run, &result, close);
    result.doubts.splice(0..0, close.allowed_losses.iter().map(|loss| format!("{loss}; the scenario allows it.")));
    result
}

/// The same of a run that goes on, and that is not judged yet.
pub(crate) fn so_far(run: &RunState) -> RunResult {
    let mut result = measured(run, None);
    result.verdict = VerdictInfo { outcome: Outcome::Running, ..VerdictInfo::default() };
    result
}

fn measured(run: &RunState, close: Option<&CloseRequest>) -> RunResult {
    let (request, scenario) = (&run.opened.request, &run.opened.scenario);
    let shipped_s = (run.slots.iter().len() as u32 * run.slots.width_s()).into();
    let ended_s = close.map_or(0.0, |close| run.told_at(close.ended_ns));
    let duration_s = if ended_s > 0.0 { ended_s } else { shipped_s };
    let timeline = timeline::timeline(run);
    let (by_event, examples) = by_event::tell(run, close.is_some());
    let mut result = RunResult {
        schema: SCHEMA.to_owned(),
        run: request.run.clone(),
        scenario: scenario_info(run),
        verdict: VerdictInfo::default(),
        started_at: date(request.start_unix_ns),
        duration_s,
        target: request.target.clone(),
        bundled: request.bundled,
        rehearsed: (request.rehearsal_speed > 0.0).then(|| Rehearsed::at(run.speed())),
        version: proto::VERSION.to_owned(),
        build: request.build.clone(),
        command: request.command.clone(),
        users: UserCounts {
            planned: scenario.users(),
            connected_max: timeline.users_connected.iter().copied().max().unwrap_or(0),
        },
        gaps: close.map(|close| gaps(run, close)).unwrap_or_default(),
        completeness: settled(run, close, completeness(&run.totals, None), open_visits(run)),
        completeness_by_cohort: cohorts(run, |c| {
            let counted = completeness(&run.totals, Some(c));
            // Sources don't tell cohorts apart: of visits that have ended, what was not lost was delivered.
            settled(run, close, counted, (counted.delivered + counted.lost).saturating_sub(counted.expected))
        }),
        metrics: metrics(run),
        metrics_by_cohort: cohorts(run, |c| metrics_of(run, c)),
        counters: counters(run),
        errors: timeline::errors(run),
        thresholds: thresholds::judge(run, duration_s, close.is_none()),
        timeline,
        phases: phases(run, duration_s),
        events: events(run),
        slowest_messages: slowest(run),
        sources: sources::sources(run, close),
        hosts: hosts::hosts(run),
        by_event,
        examples,
        fanout: FanoutInfo::default(),
        conservation: run.conservation(),
        doubts: Vec::new(),
    };
    clocks::bound(run, &mut result);
    result.fanout = lacking::lacking(run, &result.sources);
    result.doubts = doubts::doubts(run, &result);
    result
}

fn gaps(run: &RunState, close: &CloseRequest) -> Vec<GapInfo> {
    let info =
        |gap: &Gap| GapInfo { users: gap.users, from_s: run.told_at(gap.since_ns), to_s: run.told_at(gap.until_ns) };
    close.gaps.iter().map(info).collect()
}

fn scenario_info(run: &RunState) -> ScenarioInfo {
    let (request, scenario) = (&run.opened.request, &run.opened.scenario);
    ScenarioInfo {
        name: scenario.name.clone(),
        description: scenario.description.clone(),
        digest: digest(request),
        file: request.file_name.clone(),
        source: String::from_utf8_lossy(&request.scenario).into_owned(),
        overrides: request.overrides.clone(),
        seed: scenario.seed,
    }
}

/// SHA-256 of the file, followed by a zero byte and the text of each override: the same load has the same digest.
fn digest(request: &OpenRequest) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&request.scenario);
    for text in &request.overrides {
        context.update(&[0]);
        context.update(text.as_bytes());
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn date(unix_ns: u64) -> String {
    let at = jiff::Timestamp::from_nanosecond(unix_ns.into()).unwrap_or_default();
    at.round(jiff::Unit::Millisecond).unwrap_or(at).to_string()
}

fn completeness(totals: &Interval, cohort: Option<Cohort>) -> Completeness {
    let count = |counter: Counter| {
        let of = totals.counters.iter().filter(|(k, _)| k.counter == counter);
        of.filter(|(k, _)| cohort.is_none() || k.cohort == cohort).map(|(_, n)| n).sum()
    };
    Completeness {
        expected: count(Counter::Expected),
        delivered: count(Counter::Delivered),
        lost: count(Counter::Lost),
        duplicated: count(Counter::Duplicated),
        reordered: count(Counter::Reordered),
    }
}

/// The account of a run that is over, of visits that have ended alone. What a lost worker's users had got on visits that never
/// did is in no account: nobody knows what else they should have got.
fn settled(run: &RunState, close: Option<&CloseRequest>, counted: Completeness, open: u64) -> Completeness {
    let over = close.is_some() && lost_workers(run).next().is_some();
    Completeness { delivered: counted.delivered - if over { open.min(counted.delivered) } else { 0 }, ..counted }
}

fn lost_workers(run: &RunState) -> impl Iterator<Item = &Source> {
    run.sources.iter().filter(|source| source.is_worker() && source.goodbye.is_none())
}

/// What the lost workers' users had got on visits that never ended: of a visit that has, all is expected that was delivered or
/// lost.
fn open_visits(run: &RunState) -> u64 {
    let of = |source: &Source, counter: Counter| source.by_name.get(counter.name()).copied().unwrap_or(0);
    let open = |source: &Source| {
        (of(source, Counter::Delivered) + of(source, Counter::Lost)).saturating_sub(of(source, Counter::Expected))
    };
    lost_workers(run).map(open).sum()
}

/// A value for each cohort by its name.
fn cohorts<T>(run: &RunState, f: impl Fn(Cohort) -> T) -> BTreeMap<String, T> {
    let cohorts = run.opened.scenario.cohorts.iter().zip(0..);
    cohorts.map(|(spec, cohort)| (spec.name.clone(), f(cohort))).collect()
}

fn metrics(run: &RunState) -> BTreeMap<String, Latency> {
    let mut sums = by_metric(run.totals.histograms.iter().chain(&run.fanouts.histograms));
    for metric in ALWAYS {
        sums.entry(metric).or_default();
    }
    sums.iter().map(|(metric, h)| (metric.name().to_owned(), numbers(h))).collect()
}

fn metrics_of(run: &RunState, cohort: Cohort) -> BTreeMap<String, Latency> {
    let ours = run.totals.histograms.iter().filter(|(s, _)| s.cohort == Some(cohort));
    by_metric(ours).iter().map(|(metric, h)| (metric.name().to_owned(), numbers(h))).collect()
}

fn counters(run: &RunState) -> BTreeMap<String, u64> {
    let counted = Counter::ALL.iter().map(|c| (c.name().to_owned(), run.total(*c)));
    counted.filter(|(_, n)| *n > 0).collect()
}

fn phases(run: &RunState, duration_s: f64) -> Vec<PhaseSpan> {
    let timeline = run.opened.scenario.timeline();
    let spans = timeline.phases.iter().map(|(name, start, end)| PhaseSpan {
        name: name.clone(),
        start_s: start.as_secs_f64(),
        end_s: end.as_secs_f64().min(duration_s),
    });
    spans.filter(|span| span.start_s < span.end_s).collect()
}

fn events(run: &RunState) -> Vec<EventInfo> {
    let mut events = run.events.clone();
    events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    events
}

/// What a message is called in the run: by its action, or by who sent it if that is no action of the scenario.
fn name(key: measure::MessageKey) -> String {
    match key.action() {
        Stamp::CANARY => format!("canary-{}", key.number()),
        action => format!("{action}-{}", key.number()),
    }
}

fn slowest(run: &RunState) -> Vec<SlowMessage> {
    let info = |(key, message): &(measure::MessageKey, crate::fanout::Message)| {
        let receipt = &message.receipt;
        SlowMessage {
            message: name(*key),
            at_s: message.first_s.into(),
            receivers: receipt.count(),
            first_us: receipt.first().unwrap_or(0),
            median_us: receipt.quantile(0.5).unwrap_or(0),
            p99_us: receipt.quantile(0.99).unwrap_or(0),
            last_us: receipt.last().unwrap_or(0),
        }
    };
    run.fanout.slowest().iter().map(info).collect()
}

#[cfg(test)]
mod tests {
    use measure::{Counter, Interval};

    use crate::testing::{healthy, result, run_of};

    #[test]
    fn what_a_lost_workers_users_had_got_on_open_visits_is_in_no_account() {
        let open = |_| {
            let mut interval = healthy();
            interval.counters.retain(|key, _| key.counter != Counter::Expected);
            interval
        };
        let seconds = [(0..10).map(|_| healthy()).collect(), (0..10).map(open).collect::<Vec<Interval>>()];
        let mut run = run_of("  - lost: count == 0\n", seconds);
        let counted = result(&run).completeness;
        assert_eq!((counted.expected, counted.delivered), (500, 1_000), "both said goodbye: this is told as it is");
        run.sources[1].goodbye = None;
        let told = result(&run);
        for account in [told.completeness, told.completeness_by_cohort["fans"]] {
            assert_eq!((account.expected, account.delivered, account.lost), (500, 500, 0));
        }
        assert_eq!(told.counters["delivered"], 1_000, "what was counted stands where counts stand");
    }
}
