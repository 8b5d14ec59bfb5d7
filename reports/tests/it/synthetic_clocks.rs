//! A run over two hosts: what a report makes of clocks.

use reports::RunResult;
use reports::result::{Outcome, VerdictInfo};

/// The second worker's host is 250 ms behind and drifts; delivery is known well, the first receiver not at all, and a
/// threshold asked for it.
pub(crate) fn two_hosts() -> RunResult {
    let mut result = super::quickstart();
    let other = &mut result.sources[1];
    other.host = "other".into();
    (other.clock_offset_us, other.clock_bound_us) = (249_812.4, 901.2);
    (other.clock_drift_us_per_s, other.clock_exchanges) = (-30.1, 28);
    for (name, metric) in &mut result.metrics {
        if name.starts_with("delivery") || name.starts_with("fanout") || name == "canary_delivery" {
            metric.bound_us = 901.2;
            metric.unusable = metric.p50_us < 901;
        }
    }
    result.counters.insert("negative".into(), 17);
    result.thresholds[0].bound_us = 901.2;
    let mut asked = result.thresholds[0].clone();
    asked.text = "fanout_first: p(99) < 5ms".into();
    (asked.held, asked.unusable, asked.limit) = (None, true, 5_000.0);
    result.thresholds.push(asked);
    let reasons = vec![
        "Clocks of different hosts are known to within 901 µs, more than the median of what was asked for: fanout_first: \
         p(99) < 5ms can't be judged."
            .into(),
    ];
    result.verdict = VerdictInfo { outcome: Outcome::Invalid, reasons, interrupted: false };
    result
}
