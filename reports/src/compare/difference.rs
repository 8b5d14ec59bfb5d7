//! One number of both runs, and what its change means.

use measure::statistics::{Sample, welch};
use serde::Serialize;

use super::LEVEL;
use crate::format;

/// One number, measured in both runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// What it is of: `delivery`, `deliveries`, `lost`.
    pub subject: String,
    /// Which number of it: `p99`, `mean`, `per second`.
    pub quantity: &'static str,
    /// `us`, `per_s`, `count`, or `share`.
    pub unit: &'static str,
    /// In the baseline.
    pub a: Option<f64>,
    /// In the run that is compared with it.
    pub b: Option<f64>,
    /// `b / a − 1`; `None` where there is no such thing.
    pub change: Option<f64>,
    /// How often chance alone would bring such a difference, corrected for the number of tests; `None` where it can't be
    /// told.
    pub p: Option<f64>,
    /// How many independent observations the seconds of both runs are worth.
    pub sizes: Option<(f64, f64)>,
    /// By how much the clocks of different hosts may be wrong in the baseline's number, in the same unit; 0: it is exact.
    pub a_bound: f64,
    /// The same of the other.
    pub b_bound: f64,
    /// Whether in one of the runs the clocks may be wrong by more than the median: nothing is said of the service then.
    pub unusable: bool,
    /// Whether more is better.
    pub more_is_better: bool,
    /// Whether it is the service's, and so can be a regression; otherwise it is the generator's own.
    pub judged: bool,
    /// What it means.
    pub finding: Finding,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It can't be told: one of the runs has no such number, or too few seconds.
    #[default]
    Unknown,
    /// Within the tolerance.
    Same,
    /// Beyond the tolerance, and perhaps by chance, or by clocks that are not known any better.
    Unclear,
    /// Beyond the tolerance and beyond chance, in the good direction.
    Better,
    /// The same in the bad direction.
    Worse,
}

impl Finding {
    /// Its mark and word.
    pub fn said(self) -> &'static str {
        match self {
            Self::Unknown => "– can’t be told",
            Self::Same => "= same",
            Self::Unclear => "~ unclear",
            Self::Better => "✓ better",
            Self::Worse => "✗ worse",
        }
    }
}

impl Difference {
    /// Of these two numbers.
    pub(super) fn new(
        subject: &str,
        quantity: &'static str,
        unit: &'static str,
        a: Option<f64>,
        b: Option<f64>,
    ) -> Self {
        let change = a.zip(b).filter(|(a, b)| *a > 0.0 || *b == 0.0);
        let change = change.map(|(a, b)| if a == b { 0.0 } else { b / a - 1.0 });
        Self { subject: subject.to_owned(), quantity, unit, a, b, change, ..Self::default() }
    }

    /// Tests it by the seconds of both runs.
    pub(super) fn tested(self, a: &[f64], b: &[f64]) -> Self {
        let (a, b) = (Sample::of_series(a), Sample::of_series(b));
        Self { p: welch(&a, &b).map(|w| w.p), sizes: Some((a.size, b.size)), ..self }
    }

    /// Finds what it means.
    pub(super) fn find(&mut self, tolerance: f64) {
        let (Some(a), Some(b)) = (self.a, self.b) else { return };
        let beyond = match self.change {
            Some(change) => change.abs() > tolerance,
            // Something where there was nothing.
            None => true,
        };
        self.finding = match (beyond, self.p) {
            (false, _) => Finding::Same,
            (true, None) => Finding::Unknown,
            (true, Some(p)) if p >= LEVEL || (b - a).abs() <= self.a_bound + self.b_bound => Finding::Unclear,
            (true, Some(_)) if (b > a) == self.more_is_better => Finding::Better,
            (true, Some(_)) => Finding::Worse,
        };
    }

    /// The baseline's number with its unit, and the clocks' bound where it has one.
    pub fn a_said(&self) -> String {
        self.said(self.a, self.a_bound)
    }

    /// The same of the other.
    pub fn b_said(&self) -> String {
        self.said(self.b, self.b_bound)
    }

    fn said(&self, value: Option<f64>, bound: f64) -> String {
        match (value, self.unit) {
            (None, _) => "–".into(),
            (Some(value), "share") => format::percent(value, 1.0),
            (Some(value), "us") => format::bounded_us(value, bound),
            (Some(value), unit) => format::in_unit(value, unit),
        }
    }

    /// The change in percent, with its sign.
    pub fn change_said(&self) -> String {
        match self.change {
            None => "–".into(),
            Some(0.0) => "±0\u{a0}%".into(),
            Some(change) => {
                let sign = if change > 0.0 { '+' } else { '−' };
                format!("{sign}{}\u{a0}%", format::number((change * 100.0).abs()))
            }
        }
    }

    /// Its name: `delivery p99`.
    pub fn name(&self) -> String {
        format!("{} {}", self.subject.replace('_', " "), self.quantity).trim().to_owned()
    }

    /// The change as a sentence.
    pub fn sentence(&self) -> String {
        let rose = if self.b > self.a { "rose" } else { "fell" };
        let change = if self.change.is_some() { format!(" ({})", self.change_said()) } else { String::new() };
        format!("{} {rose} from {} to {}{change}", self.name(), self.a_said(), self.b_said())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clocks_may_have_made_is_no_finding() {
        let found = |bound| {
            let mut d = Difference::new("delivery", "p50", "us", Some(500.0), Some(900.0));
            (d.p, d.a_bound, d.b_bound) = (Some(1e-9), bound / 2.0, bound / 2.0);
            d.find(0.1);
            d.finding
        };
        assert_eq!((found(0.0), found(399.0), found(400.0)), (Finding::Worse, Finding::Worse, Finding::Unclear));
    }

    #[test]
    fn a_change_is_a_share_and_nothing_has_none() {
        let change = |a, b| Difference::new("x", "", "count", Some(a), Some(b)).change;
        assert_eq!((change(4.0, 5.0), change(0.0, 0.0), change(0.0, 3.0)), (Some(0.25), Some(0.0), None));
        assert_eq!(Difference::new("x", "", "count", None, Some(1.0)).change, None);
        let fell = Difference::new("delivery", "p99", "us", Some(2_000.0), Some(1_000.0));
        assert_eq!(fell.sentence(), "delivery p99 fell from 2.00\u{a0}ms to 1.00\u{a0}ms (−50.0\u{a0}%)");
    }
}
