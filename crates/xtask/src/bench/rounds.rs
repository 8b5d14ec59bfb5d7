//! Rounds of a measurement and of its limit, in turn (A B A B), so that both see the same noise.

use super::{Aim, Figure};

/// What the rounds of both sides gave.
#[derive(Default)]
pub(super) struct Paired {
    values: Vec<f64>,
    limits: Vec<f64>,
}

impl Paired {
    /// A round of both sides.
    pub(super) fn add(&mut self, value: f64, limit: f64) {
        self.values.push(value);
        self.limits.push(limit);
    }

    /// A round of what has no limit to be held against.
    pub(super) fn alone(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The medians, and the spread of the values.
    pub(super) fn figure(self, bench: &'static str, unit: &'static str, aim: Aim) -> Figure {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let limit = (!self.limits.is_empty()).then(|| median(&self.limits));
        Figure { bench, unit, value: median(&self.values), spread: (least, most), limit, aim }
    }
}

/// The middle value; of an even number the upper of the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
