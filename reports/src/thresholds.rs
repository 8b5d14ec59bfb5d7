//! What a scenario asks for against what was measured.

use std::collections::BTreeMap;

use measure::{Counter, CounterKey, Histogram, Series};
use scenarios::model::{Aggregate, Comparison, Subject, Threshold};

use crate::result::ThresholdResult;
use crate::run::RunState;

/// Judges all thresholds of a run that took `duration_s` seconds.
pub(crate) fn judge(run: &RunState, duration_s: f64) -> Vec<ThresholdResult> {
    let judge = |threshold: &Threshold| {
        let mut numbers = Numbers::of(threshold, &run.totals.histograms, &run.totals.counters);
        numbers.add(&Numbers::of(threshold, &run.fanouts.histograms, &BTreeMap::new()));
        let measured = numbers.aggregate(threshold, duration_s);
        ThresholdResult {
            text: threshold.text.clone(),
            held: measured.map(|m| threshold.comparison.holds(m, threshold.limit)),
            measured,
            limit: threshold.limit,
            unit: unit(threshold).to_owned(),
            first_failed_at_s: first_failure(run, threshold),
        }
    };
    run.opened.scenario.thresholds.iter().map(judge).collect()
}

fn unit(threshold: &Threshold) -> &'static str {
    match (threshold.aggregate, threshold.subject) {
        (Aggregate::Rate, _) => "per_s",
        (Aggregate::Count, _) | (_, Subject::Counter(_)) => "count",
        (_, Subject::Metric(_)) => "us",
    }
}

/// The first second after which what was measured until then was too much. A lower bound, or a count that is only
/// known when watching ends, says nothing before the end.
fn first_failure(run: &RunState, threshold: &Threshold) -> Option<u32> {
    let upper = matches!(threshold.comparison, Comparison::Less | Comparison::LessOrEqual | Comparison::Equal);
    let known_late = matches!(threshold.subject, Subject::Counter(Counter::Expected | Counter::Delivered));
    if !upper || known_late {
        return None;
    }
    let mut so_far = Numbers::default();
    run.slots.iter().zip(0_u32..).find_map(|(slot, i)| {
        let histograms = slot.series().filter(|s| concerns(threshold, *s));
        let histograms = histograms.filter_map(|s| Some((s, slot.histogram(s)?))).collect();
        so_far.add(&Numbers::of(threshold, &histograms, slot.counters()));
        let seconds = (i + 1) * run.slots.width_s();
        let measured = so_far.aggregate(threshold, f64::from(seconds))?;
        let too_much = match threshold.comparison {
            Comparison::Equal => measured > threshold.limit,
            comparison => !comparison.holds(measured, threshold.limit),
        };
        too_much.then_some(seconds - run.slots.width_s())
    })
}

fn concerns(threshold: &Threshold, series: Series) -> bool {
    threshold.subject == Subject::Metric(series.metric) && threshold.cohort.is_none_or(|c| series.cohort == Some(c))
}

/// What a threshold is about, added up.
#[derive(Default)]
struct Numbers {
    histogram: Option<Histogram>,
    count: u64,
}

impl Numbers {
    fn of(
        threshold: &Threshold,
        histograms: &BTreeMap<Series, Histogram>,
        counters: &BTreeMap<CounterKey, u64>,
    ) -> Self {
        let mut numbers = Self::default();
        for (_, histogram) in histograms.iter().filter(|(s, _)| concerns(threshold, **s)) {
            numbers.histogram.get_or_insert_default().merge(histogram);
        }
        let counted = counters.iter().filter(|(k, _)| threshold.subject == Subject::Counter(k.counter));
        let ours = counted.filter(|(k, _)| threshold.cohort.is_none_or(|c| k.cohort == Some(c)));
        numbers.count = ours.map(|(_, n)| n).sum();
        numbers
    }

    fn add(&mut self, other: &Self) {
        if let Some(histogram) = &other.histogram {
            self.histogram.get_or_insert_default().merge(histogram);
        }
        self.count += other.count;
    }

    fn aggregate(&self, threshold: &Threshold, duration_s: f64) -> Option<f64> {
        let samples = self.histogram.as_ref().map_or(0, Histogram::count);
        let count = match threshold.subject {
            Subject::Metric(_) => samples,
            Subject::Counter(_) => self.count,
        };
        match threshold.aggregate {
            Aggregate::Count => return Some(count as f64),
            Aggregate::Rate => return (duration_s > 0.0).then(|| count as f64 / duration_s),
            _ => {}
        }
        let histogram = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(match threshold.aggregate {
            Aggregate::Percentile(p) => histogram.quantile(p / 100.0) as f64,
            Aggregate::Mean => histogram.mean(),
            Aggregate::Min => histogram.min() as f64,
            Aggregate::Max | Aggregate::Count | Aggregate::Rate => histogram.max() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::result::ThresholdResult;
    use crate::testing::{count, healthy, put, result, run};
    use measure::{Counter, Metric};

    fn judged(thresholds: &str) -> Vec<ThresholdResult> {
        let seconds = (0..10).map(|s| {
            let mut interval = healthy();
            put(&mut interval, Metric::Send, if s < 4 { 1_000 } else { 70_000 }, 5);
            count(&mut interval, Counter::Lost, u64::from(s == 6));
            interval
        });
        result(&run(thresholds, seconds)).thresholds
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
}
