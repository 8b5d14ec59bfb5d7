//! What happened a second, in both runs.

use super::difference::Difference;
use super::seconds::comparable;
use crate::result::{RunResult, Timeline};

/// Something that is counted by the second.
struct Rate {
    subject: &'static str,
    more_is_better: bool,
    of: fn(&Timeline) -> &[u64],
}

const RATES: [Rate; 3] = [
    Rate { subject: "deliveries", more_is_better: true, of: |t| &t.deliveries },
    Rate { subject: "messages sent", more_is_better: true, of: |t| &t.sends },
    Rate { subject: "errors", more_is_better: false, of: |t| &t.errors },
];

/// All rates that either run has, while (nearly) all users were there.
pub(super) fn differences(a: &RunResult, b: &RunResult) -> Vec<Difference> {
    let difference = |rate: &Rate| {
        let seconds = |result: &RunResult| {
            let series: Vec<_> = (rate.of)(&result.timeline).iter().map(|n| Some(*n as f64)).collect();
            comparable(result, &series)
        };
        let (in_a, in_b) = (seconds(a), seconds(b));
        let mean = |values: &[f64]| (!values.is_empty()).then(|| measure::statistics::mean(values));
        let (before, now) = (mean(&in_a), mean(&in_b));
        if before.unwrap_or(0.0) == 0.0 && now.unwrap_or(0.0) == 0.0 {
            return None;
        }
        let difference = Difference::new(rate.subject, "", "per_s", before, now).tested(&in_a, &in_b);
        Some(Difference { judged: true, more_is_better: rate.more_is_better, ..difference })
    };
    RATES.iter().filter_map(difference).collect()
}
