//! Latencies of both runs.

use measure::Metric;

use super::difference::Difference;
use super::seconds::comparable;
use crate::result::{Bands, Latency, RunResult};

/// What is the service's, what people ask for first. The rest is the generator's own (lag, event loops) or a part or a twin of these.
const JUDGED: [Metric; 13] = [
    Metric::Delivery,
    Metric::Send,
    Metric::FanoutLast,
    Metric::FanoutP99,
    Metric::FanoutMedian,
    Metric::FanoutFirst,
    Metric::Connect,
    Metric::Watch,
    Metric::React,
    Metric::Typing,
    Metric::Read,
    Metric::CanaryDelivery,
    Metric::CanarySend,
];

/// Shown beside them, because they say whether the comparison is fair.
const SHOWN: [Metric; 2] = [Metric::Lag, Metric::LoopDelay];

/// A percentile is compared where at least so many samples lie above it.
const BEYOND_MIN: f64 = 2.0;

/// A number of a distribution: of the whole run, and of each second.
struct Quantity {
    name: &'static str,
    /// The share of samples at or below it; `None` for the mean.
    quantile: Option<f64>,
    of_run: fn(&Latency) -> f64,
    of_second: fn(&Bands) -> Vec<Option<f64>>,
}

const QUANTITIES: [Quantity; 5] = [
    Quantity { name: "mean", quantile: None, of_run: |l| l.mean_us, of_second: |b| b.mean_us.clone() },
    Quantity { name: "p50", quantile: Some(0.5), of_run: |l| l.p50_us as f64, of_second: |b| floats(&b.p50_us) },
    Quantity { name: "p90", quantile: Some(0.9), of_run: |l| l.p90_us as f64, of_second: |b| floats(&b.p90_us) },
    Quantity { name: "p99", quantile: Some(0.99), of_run: |l| l.p99_us as f64, of_second: |b| floats(&b.p99_us) },
    Quantity { name: "p99.9", quantile: Some(0.999), of_run: |l| l.p999_us as f64, of_second: |b| floats(&b.p999_us) },
];

fn floats(values: &[Option<u64>]) -> Vec<Option<f64>> {
    values.iter().map(|value| value.map(|us| us as f64)).collect()
}

/// All latencies that either run has.
pub(super) fn differences(a: &RunResult, b: &RunResult) -> Vec<Difference> {
    let all = JUDGED.into_iter().map(|m| (m, true)).chain(SHOWN.into_iter().map(|m| (m, false)));
    all.flat_map(|(metric, judged)| of(metric, a, b).into_iter().map(move |d| Difference { judged, ..d })).collect()
}

fn of(metric: Metric, a: &RunResult, b: &RunResult) -> Vec<Difference> {
    let name = metric.name();
    let numbers = |result: &RunResult| result.metrics.get(name).filter(|m| m.count > 0).cloned();
    let (in_a, in_b) = (numbers(a), numbers(b));
    if in_a.is_none() && in_b.is_none() {
        return Vec::new();
    }
    let difference = |quantity: &Quantity| {
        let value = |latency: &Option<Latency>| {
            let enough = |l: &&Latency| quantity.quantile.is_none_or(|q| l.count as f64 * (1.0 - q) >= BEYOND_MIN);
            latency.as_ref().filter(enough).map(quantity.of_run)
        };
        let mut difference = Difference::new(name, quantity.name, "us", value(&in_a), value(&in_b));
        let bound = |latency: &Option<Latency>| latency.as_ref().map_or(0.0, |l| l.bound_us);
        (difference.a_bound, difference.b_bound) = (bound(&in_a), bound(&in_b));
        difference.unusable = [&in_a, &in_b].into_iter().flatten().any(|l| l.unusable);
        if difference.a.is_none() || difference.b.is_none() || difference.unusable {
            return difference;
        }
        difference.tested(&logarithms(a, name, quantity), &logarithms(b, name, quantity))
    };
    QUANTITIES.iter().map(difference).collect()
}

/// A latency's change is a ratio, and its spread is that of ratios: so the seconds are compared by their logarithms.
fn logarithms(result: &RunResult, metric: &str, quantity: &Quantity) -> Vec<f64> {
    let Some(bands) = result.timeline.latency.get(metric) else { return Vec::new() };
    let seconds = comparable(result, &(quantity.of_second)(bands));
    seconds.into_iter().map(|us| us.max(1.0).ln()).collect()
}
