//! How well latencies from one host to another are known: the bound of the sender's clock and that of the receiver's,
//! added, the worst pair of those that took part.
//!
//! What a source sends and receives itself is on one clock and exact. So is everything between sources whose bound is 0:
//! they share the control plane's host, and its clock.

use measure::{Counter, Gauge, Interval, Metric};
use scenarios::model::{Aggregate, Subject, Threshold};

use crate::format::{count, duration_us};
use crate::result::{Latency, RunResult, ThresholdResult};
use crate::run::RunState;

/// Metrics that begin on one source and end on another that holds users.
const DELIVERIES: [Metric; 6] = [
    Metric::Delivery,
    Metric::DeliveryService,
    Metric::FanoutFirst,
    Metric::FanoutMedian,
    Metric::FanoutP99,
    Metric::FanoutLast,
];

/// The largest bounds of a source's clock, in nanoseconds, by what it did meanwhile; `None`: it never did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    sent: Option<u64>,
    delivered: Option<u64>,
    canaries: Option<u64>,
    all: u64,
}

impl Bounds {
    /// Takes note of an interval.
    pub(crate) fn add(&mut self, interval: &Interval) {
        let bound = u64::try_from(interval.level(Gauge::ClockBoundNanos)).unwrap_or(0);
        let has = |metric: Metric| interval.histograms.keys().any(|series| series.metric == metric);
        let sends = interval.count(Counter::SendsDue) > 0 || has(Metric::Send) || has(Metric::CanarySend);
        for (did, most) in [
            (sends, &mut self.sent),
            (has(Metric::Delivery), &mut self.delivered),
            (has(Metric::CanaryDelivery), &mut self.canaries),
        ] {
            if did {
                *most = (*most).max(Some(bound));
            }
        }
        self.all = self.all.max(bound);
    }

    /// The largest of all.
    pub(crate) fn worst(&self) -> u64 {
        self.all
    }
}

/// The largest bound of a pair of sources, in microseconds, rounded up to a tenth: one that sends and another that
/// receives.
fn worst_pair(run: &RunState, received: impl Fn(&Bounds) -> Option<u64>) -> f64 {
    let senders = run.sources.iter().enumerate().filter_map(|(i, s)| Some((i, s.bounds.sent?)));
    let pairs = senders.flat_map(|(i, sent)| {
        let others = run.sources.iter().enumerate().filter(move |(j, _)| *j != i);
        others.filter_map(|(_, s)| received(&s.bounds)).map(move |received| sent.saturating_add(received))
    });
    (pairs.max().unwrap_or(0) as f64 / 100.0).ceil() / 10.0
}

/// Whether a metric begins on one source and ends on another.
pub(crate) fn is_between_sources(metric: Metric) -> bool {
    metric == Metric::CanaryDelivery || DELIVERIES.contains(&metric)
}

/// The bound of each metric that compares clocks, in microseconds.
pub(crate) fn bounds(run: &RunState) -> impl Iterator<Item = (Metric, f64)> {
    let delivered = worst_pair(run, |bounds| bounds.delivered);
    let canaries = worst_pair(run, |bounds| bounds.canaries);
    DELIVERIES.into_iter().map(move |metric| (metric, delivered)).chain([(Metric::CanaryDelivery, canaries)])
}

/// Gives each metric and threshold that compares clocks its bound, and says which are unusable.
pub(crate) fn bound(run: &RunState, result: &mut RunResult) {
    for (metric, bound_us) in bounds(run) {
        let by_cohort = result.metrics_by_cohort.values_mut();
        let all = std::iter::once(&mut result.metrics).chain(by_cohort);
        for latency in all.filter_map(|metrics| metrics.get_mut(metric.name())) {
            latency.bound_us = bound_us;
            latency.unusable = is_unusable(latency);
        }
    }
    let cohorts = &run.opened.scenario.cohorts;
    for (threshold, judged) in run.opened.scenario.thresholds.iter().zip(&mut result.thresholds) {
        let cohort = threshold.cohort.and_then(|c| cohorts.get(usize::from(c))).map(|c| c.name.as_str());
        let metrics = cohort.map_or(Some(&result.metrics), |name| result.metrics_by_cohort.get(name));
        let latency = metrics.zip(subject(threshold)).and_then(|(metrics, metric)| metrics.get(metric.name()));
        let Some(latency) = latency.filter(|_| judged.measured.is_some()) else { continue };
        judged.bound_us = latency.bound_us;
        judged.unusable = latency.unusable;
        if latency.unusable {
            judged.held = None;
        }
    }
}

/// Half of the samples are smaller than they may be wrong. What is above the median may still be known well enough, but
/// not by this metric: a percentile of samples that are mostly error is no percentile of the service.
fn is_unusable(latency: &Latency) -> bool {
    latency.count > 0 && latency.bound_us > latency.p50_us as f64
}

/// The metric whose latency a threshold asks for; none where it only counts samples.
fn subject(threshold: &Threshold) -> Option<Metric> {
    match (threshold.subject, threshold.aggregate) {
        (_, Aggregate::Count | Aggregate::Rate) | (Subject::Counter(_), _) => None,
        (Subject::Metric(metric), _) => Some(metric),
    }
}

/// Why a run is invalid whose thresholds ask for what its clocks can't tell; with what to do.
pub(crate) fn unusable_thresholds(result: &RunResult) -> Option<String> {
    let unusable: Vec<&ThresholdResult> = result.thresholds.iter().filter(|t| t.unusable).collect();
    let bound = unusable.iter().map(|t| t.bound_us).fold(0.0, f64::max);
    let texts: Vec<&str> = unusable.iter().map(|t| t.text.as_str()).collect();
    (!texts.is_empty()).then(|| {
        format!(
            "Clocks of different hosts are known to within {}, more than the median of what was asked for: {} can't be judged. \
             {}",
            duration_us(bound),
            texts.join(", "),
            remedy(result)
        )
    })
}

/// What makes clocks better known.
fn remedy(result: &RunResult) -> String {
    let worst = result.sources.iter().max_by(|a, b| a.clock_bound_us.total_cmp(&b.clock_bound_us));
    let named = worst
        .filter(|s| s.clock_bound_us > 0.0)
        .map_or_else(String::new, |s| format!("It is worst for {} (± {}). ", s.name, duration_us(s.clock_bound_us)));
    format!(
        "{named}Bring the control plane nearer to the workers, for the bound is half of the shortest way there and back, or \
         have senders and receivers on one host; where clocks drift or jump, let chrony or PTP steady them."
    )
}

/// What there is to say about clocks in a run whose numbers can be trusted.
pub(crate) fn doubts(result: &RunResult, doubts: &mut Vec<String>) {
    let across = |m: &&Latency| m.count > 0 && m.bound_us > 0.0;
    let bound = result.metrics.values().filter(across).map(|m| m.bound_us).fold(0.0, f64::max);
    if bound > 0.0 {
        let bound = duration_us(bound);
        doubts.push(format!(
            "Clocks of different hosts are known to within {bound}; latencies from one host to another are off by at most that."
        ));
    }
    let unusable: Vec<&str> =
        result.metrics.iter().filter(|(_, m)| m.unusable).map(|(name, _)| name.as_str()).collect();
    if !unusable.is_empty() {
        doubts.push(format!(
            "Unusable: {}. The clocks' bound is larger than the median that it corrects, so that these numbers say nothing of \
             the service. {}",
            unusable.join(", "),
            remedy(result)
        ));
    }
    for source in result.sources.iter().filter(|s| s.clock_jumps > 0) {
        doubts.push(format!(
            "The clock of {} or of the control plane was set or slewed while the run went on ({} contradictions between \
             exchanges of time): the bound does not hold for what was on its way then.",
            source.name,
            count(source.clock_jumps)
        ));
    }
    for threshold in result.thresholds.iter().filter(|t| t.held.is_some() && t.bound_us > 0.0) {
        let near = threshold.measured.is_some_and(|m| (m - threshold.limit).abs() <= threshold.bound_us);
        if near {
            doubts.push(format!(
                "{}: what was measured is nearer to the limit than clocks are known (± {}), so that it may as well be on the \
                 other side.",
                threshold.text,
                duration_us(threshold.bound_us)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Outcome;
    use crate::testing::{healthy, put, result, run, run_of};

    const FAST: &str = "  - delivery: p(99) < 100ms\n  - lost: count == 0\n";

    fn second(bound_us: i64) -> Interval {
        let mut interval = healthy();
        interval.gauges.insert(Gauge::ClockBoundNanos.into(), bound_us * 1_000);
        interval.gauges.insert(Gauge::ClockExchanges.into(), 12);
        interval
    }

    fn seconds(bounds: [i64; 3]) -> Vec<Interval> {
        bounds.into_iter().map(second).collect()
    }

    #[test]
    fn one_source_is_exact_however_far_its_clock_is() {
        let result = result(&run(FAST, seconds([400, 900, 300])));
        let delivery = &result.metrics["delivery"];
        assert_eq!((delivery.bound_us, delivery.unusable), (0.0, false));
        assert_eq!((result.sources[0].clock_bound_us, result.sources[0].clock_exchanges), (900.0, 12));
        assert_eq!(result.verdict.outcome, Outcome::Passed);
    }

    #[test]
    fn a_pair_of_sources_has_both_bounds_at_their_worst() {
        let result = result(&run_of(FAST, [seconds([0, 0, 0]), seconds([300, 450, 300]), seconds([10, 20, 5])]));
        let bound = |name: &str| result.metrics[name].bound_us;
        assert_eq!((bound("delivery"), bound("fanout_last"), bound("send"), bound("lag")), (470.0, 470.0, 0.0, 0.0));
        assert_eq!(result.metrics_by_cohort["fans"]["delivery"].bound_us, 470.0);
        assert_eq!((result.thresholds[0].bound_us, result.thresholds[0].held), (470.0, Some(true)));
        assert_eq!(result.verdict.outcome, Outcome::Passed, "{:?}", result.verdict.reasons);
        assert!(result.doubts.iter().any(|d| d.contains("known to within 470\u{a0}µs")), "{:?}", result.doubts);
    }

    #[test]
    fn a_source_that_took_no_part_has_no_say() {
        let mut idle = seconds([90_000, 90_000, 90_000]);
        idle.iter_mut().for_each(|i| {
            i.histograms.clear();
            i.counters.clear();
        });
        let result = result(&run_of(FAST, [seconds([0, 0, 0]), seconds([40, 50, 60]), idle]));
        assert_eq!(result.metrics["delivery"].bound_us, 60.0);
    }

    #[test]
    fn a_bound_above_the_median_makes_a_threshold_invalid_and_a_count_not() {
        let thresholds = "  - delivery: p(99) < 100ms\n  - delivery: count > 10\n  - send: p(99) < 100ms\n";
        let result = result(&run_of(thresholds, [seconds([0, 0, 0]), seconds([2_001, 5, 5])]));
        assert!(result.metrics["delivery"].unusable && !result.metrics["send"].unusable);
        let held: Vec<_> = result.thresholds.iter().map(|t| (t.held, t.unusable)).collect();
        assert_eq!(held, [(None, true), (Some(true), false), (Some(true), false)]);
        assert_eq!(result.verdict.outcome, Outcome::Invalid);
        let reason = &result.verdict.reasons[0];
        assert!(reason.contains("delivery: p(99) < 100ms can't be judged") && reason.contains("chrony"), "{reason}");
        assert_eq!(result.verdict.reasons.len(), 1, "{:?}", result.verdict.reasons);
        assert!(result.doubts.iter().any(|d| d.starts_with("Unusable: delivery")), "{:?}", result.doubts);
    }

    #[test]
    fn without_a_threshold_on_it_an_unusable_metric_is_no_verdict() {
        let result = result(&run_of("  - lost: count == 0\n", [seconds([0, 0, 0]), seconds([9_000, 5, 5])]));
        assert!(result.metrics["delivery"].unusable);
        assert_eq!(result.verdict.outcome, Outcome::Passed);
    }

    #[test]
    fn a_limit_within_the_bound_is_said() {
        let near = |bound| {
            let mut slow = seconds([bound, bound, bound]);
            slow.iter_mut().for_each(|i| put(i, Metric::Delivery, 99_000, 900));
            result(&run_of(FAST, [seconds([0, 0, 0]), slow])).doubts.iter().any(|d| d.contains("nearer to the limit"))
        };
        assert!(near(1_500) && !near(500));
    }
}
