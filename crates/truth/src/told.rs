//! The truth, as `GET /truth` tells it.

use serde_json::{Value, json};

use crate::ledger::{Truth, quantile};

/// Numbers of latencies, in microseconds; exact, not those of a histogram.
fn numbers(rising: &[i64]) -> Value {
    let at = |part| quantile(rising, part);
    let mean = rising.iter().sum::<i64>() as f64 / rising.len().max(1) as f64;
    json!({"count": rising.len(), "mean_us": mean, "min_us": at(0.0), "p50_us": at(0.5), "p90_us": at(0.9),
        "p99_us": at(0.99), "p999_us": at(0.999), "max_us": at(1.0)})
}

impl Truth {
    /// Everything but the single samples, as `GET /truth` answers it: counts, and latencies in the words of throng's
    /// reports (`delivery`, `fanout_last`, …), so that the two can be laid side by side.
    pub fn told(&self) -> Value {
        let mut since_came = self.since_came.clone();
        since_came.sort_unstable();
        json!({
            "counts": self.counts,
            "users": self.users.len(),
            "whole": self.whole,
            "delivery": numbers(&self.pooled()),
            "delay": numbers(&since_came),
            "fanout_first": numbers(&self.fan_out(0.0)),
            "fanout_median": numbers(&self.fan_out(0.5)),
            "fanout_p99": numbers(&self.fan_out(0.99)),
            "fanout_last": numbers(&self.fan_out(1.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_did_nothing_says_so() {
        let told = Truth { whole: true, ..Truth::default() }.told();
        assert_eq!((&told["delivery"]["count"], &told["counts"]["dropped"]), (&json!(0), &json!(0)));
        assert_eq!(told["fanout_last"]["p50_us"], Value::Null);
    }
}
