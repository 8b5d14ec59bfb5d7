//! Two runs against each other: what changed, and whether that is more than chance.
//!
//! A change is a regression when it is beyond the tolerance *and* significant. What is compared are the numbers of the
//! whole runs; significance comes from their seconds, by [`measure::statistics`]: Welch's test on the logarithms of
//! each second's latency (a change of latency is a ratio), with the effective size of each series, and Holm's
//! correction over all that is judged.

mod counts;
mod difference;
mod latency;
mod rates;
mod seconds;
mod setup;

use measure::statistics::holm;
use serde::Serialize;

pub use difference::{Difference, Finding};

use crate::result::{Outcome, RunResult};

/// The version of the format.
pub const SCHEMA: &str = "throng.comparison/1";

/// By chance alone, no more than one comparison in twenty calls anything a change that is none.
pub const LEVEL: f64 = 0.05;

/// What two runs say together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was before: the baseline.
    pub a: Side,
    /// What is now.
    pub b: Side,
    /// Changes up to this share are of no interest: 0.1 is 10 %.
    pub tolerance: f64,
    /// The word.
    pub outcome: Judgement,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// How the runs differ in what they were to do, and what they say against themselves.
    pub caveats: Vec<String>,
    /// Everything that was compared.
    pub differences: Vec<Difference>,
}

/// One of the runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Side {
    /// Its id.
    pub run: String,
    /// Its scenario's name.
    pub scenario: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// How it ended.
    pub outcome: Outcome,
    /// throng's version.
    pub version: String,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Something got worse, beyond the tolerance and beyond chance.
    Regression,
    /// Nothing did.
    NoRegression,
    /// One of the runs can't be trusted, or they measured nothing in common.
    Invalid,
}

/// Compares run `b` with the baseline `a`.
pub fn compare(a: &RunResult, b: &RunResult, tolerance: f64) -> Comparison {
    let mut differences = counts::differences(a, b);
    differences.extend(rates::differences(a, b));
    differences.extend(latency::differences(a, b));
    judge(&mut differences, tolerance);
    let (outcome, reasons) = verdict(a, b, &differences);
    Comparison {
        schema: SCHEMA,
        a: side(a),
        b: side(b),
        tolerance,
        outcome,
        reasons,
        caveats: unfair(&differences).chain(setup::caveats(a, b)).collect(),
        differences,
    }
}

fn side(result: &RunResult) -> Side {
    Side {
        run: result.run.clone(),
        scenario: result.scenario.name.clone(),
        started_at: result.started_at.clone(),
        outcome: result.verdict.outcome,
        version: result.version.clone(),
    }
}

/// Corrects the p-values for their number, and finds what each difference means.
fn judge(differences: &mut [Difference], tolerance: f64) {
    let tested = |d: &Difference| if d.judged { d.p } else { None };
    let corrected = holm(&differences.iter().filter_map(tested).collect::<Vec<_>>());
    let mut corrected = corrected.into_iter();
    for difference in differences {
        if tested(difference).is_some() {
            difference.p = corrected.next();
        }
        difference.find(tolerance);
    }
}

/// A generator that was not the same in both runs, in words.
fn unfair(differences: &[Difference]) -> impl Iterator<Item = String> + '_ {
    let lag = differences.iter().filter(|d| !d.judged && d.subject == "lag" && d.quantity == "mean");
    lag.filter_map(|d| {
        let slower = match d.finding {
            Finding::Better => "A",
            Finding::Worse => "B",
            Finding::Unknown | Finding::Same | Finding::Unclear => return None,
        };
        Some(format!(
            "The load generator itself was later in {slower} ({}): that is part of the latencies.",
            d.sentence()
        ))
    })
}

fn verdict(a: &RunResult, b: &RunResult, differences: &[Difference]) -> (Judgement, Vec<String>) {
    let untrusted = |name: &str, result: &RunResult| {
        (result.verdict.outcome == Outcome::Invalid).then(|| {
            let why = result.verdict.reasons.first().map_or("it says no reason", String::as_str);
            format!("Run {name} ({}) is invalid, so its numbers can't be compared: {why}", result.run)
        })
    };
    let mut invalid: Vec<String> = [untrusted("A", a), untrusted("B", b)].into_iter().flatten().collect();
    let judged = || differences.iter().filter(|d| d.judged);
    if judged().all(|d| d.finding == Finding::Unknown) {
        invalid.push("The runs have measured nothing in common.".to_owned());
    }
    if !invalid.is_empty() {
        return (Judgement::Invalid, invalid);
    }
    let worse: Vec<String> = judged().filter(|d| d.finding == Finding::Worse).map(Difference::sentence).collect();
    if worse.is_empty() { (Judgement::NoRegression, worse) } else { (Judgement::Regression, worse) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{count, healthy, level, put, result, run};
    use measure::{Counter, Gauge, Interval, Metric, SplitMix64};

    /// A run of 40 seconds whose latencies vary from second to second, `slower` times as slow as usual.
    fn measured(seed: u64, slower: f64, change: impl Fn(&mut Interval)) -> RunResult {
        let mut random = SplitMix64::new(seed);
        let seconds = (0..40).map(|_| {
            let mut interval = healthy();
            interval.histograms.clear();
            for _ in 0..100 {
                let micros = (2_000.0 + 3_000.0 * random.next_unit()) * slower;
                put(&mut interval, Metric::Delivery, micros as u64, 1);
            }
            put(&mut interval, Metric::Send, 1_000 + random.below(500), 20);
            put(&mut interval, Metric::Lag, 100 + random.below(50), 5);
            change(&mut interval);
            interval
        });
        result(&run("  - lost: count == 0\n", seconds))
    }

    fn found<'a>(comparison: &'a Comparison, subject: &str, quantity: &str) -> &'a Difference {
        let mut all = comparison.differences.iter();
        all.find(|d| d.subject == subject && d.quantity == quantity).expect("it was compared")
    }

    #[test]
    fn the_same_again_is_no_regression_and_neither_is_a_run_against_itself() {
        let (a, b) = (measured(1, 1.0, |_| {}), measured(2, 1.0, |_| {}));
        for (a, b) in [(&a, &b), (&a, &a)] {
            let comparison = compare(a, b, 0.05);
            assert_eq!(comparison.outcome, Judgement::NoRegression, "{:?}", comparison.reasons);
            assert_eq!(found(&comparison, "delivery", "p50").finding, Finding::Same);
        }
    }

    #[test]
    fn slower_is_a_regression_and_the_other_way_round_it_is_better() {
        let (a, b) = (measured(1, 1.0, |_| {}), measured(2, 1.3, |_| {}));
        let comparison = compare(&a, &b, 0.1);
        assert_eq!(comparison.outcome, Judgement::Regression);
        assert!(comparison.reasons.iter().any(|r| r.contains("delivery p50 rose")), "{:?}", comparison.reasons);
        assert_eq!(found(&comparison, "send", "p50").finding, Finding::Same);
        let back = compare(&b, &a, 0.1);
        assert_eq!(back.outcome, Judgement::NoRegression);
        assert_eq!(found(&back, "delivery", "p50").finding, Finding::Better);
        assert_eq!(compare(&a, &b, 0.5).outcome, Judgement::NoRegression, "within what is tolerated");
    }

    #[test]
    fn one_slow_second_is_beyond_the_tolerance_and_no_more_than_chance() {
        let a = measured(1, 1.0, |_| {});
        let mut b = measured(2, 1.0, |_| {});
        b.timeline.latency.get_mut("delivery").unwrap().p99_us[9] = Some(900_000);
        b.metrics.get_mut("delivery").unwrap().p99_us = 900_000;
        let comparison = compare(&a, &b, 0.1);
        assert_eq!(found(&comparison, "delivery", "p99").finding, Finding::Unclear);
        assert_eq!(comparison.outcome, Judgement::NoRegression);
    }

    #[test]
    fn the_generators_own_figures_are_shown_and_not_judged() {
        let a = measured(1, 1.0, |_| {});
        let b = measured(2, 1.0, |i| put(i, Metric::Lag, 9_000, 50));
        let comparison = compare(&a, &b, 0.1);
        assert!(!found(&comparison, "lag", "p50").judged);
        assert!(comparison.caveats[0].contains("itself was later in B"), "{:?}", comparison.caveats);
        assert_eq!(comparison.outcome, Judgement::NoRegression);
    }

    #[test]
    fn what_was_never_lost_before_may_not_be_lost_now() {
        let a = measured(1, 1.0, |_| {});
        let mut b = measured(2, 1.0, |_| {});
        b.completeness.lost = 1;
        let comparison = compare(&a, &b, 0.1);
        assert_eq!(comparison.outcome, Judgement::Regression);
        assert!(comparison.reasons[0].contains("lost"), "{:?}", comparison.reasons);
    }

    #[test]
    fn fewer_deliveries_a_second_are_worse() {
        let a = measured(1, 1.0, |_| {});
        let b = measured(2, 1.0, |i| {
            i.counters.retain(|k, _| k.counter != Counter::MessagesReceived);
            count(i, Counter::MessagesReceived, 30);
        });
        let comparison = compare(&a, &b, 0.1);
        assert!(comparison.reasons.iter().any(|r| r.contains("deliveries fell")), "{:?}", comparison.reasons);
    }

    #[test]
    fn runs_that_cannot_be_trusted_are_not_compared_and_nothing_is_not_a_success() {
        let a = measured(1, 1.0, |_| {});
        let b = measured(2, 1.0, |i| level(i, Gauge::UsersConnected, 3));
        let comparison = compare(&a, &b, 0.1);
        assert_eq!(comparison.outcome, Judgement::Invalid);
        assert!(comparison.reasons[0].contains("Run B"), "{:?}", comparison.reasons);
        let passed = || {
            let mut nothing = RunResult::default();
            nothing.verdict.outcome = Outcome::Passed;
            nothing
        };
        assert_eq!(compare(&passed(), &passed(), 0.1).outcome, Judgement::Invalid);
    }

    #[test]
    fn another_scenario_is_said() {
        let a = measured(1, 1.0, |_| {});
        let mut b = a.clone();
        assert!(compare(&a, &b, 0.1).caveats.is_empty(), "{:?}", compare(&a, &b, 0.1).caveats);
        b.scenario.digest = "another".into();
        b.version = "9".into();
        let caveats = compare(&a, &b, 0.1).caveats;
        assert!(caveats.len() == 2 && caveats[0].contains("not the same scenario"), "{caveats:?}");
    }
}
