//! From values to places: linear, logarithmic, and the percentile axis, where each further nine is as wide as the last.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// How an axis maps its values; the bounds are never equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear {
        /// At the start of the axis.
        low: f64,
        /// At its end.
        high: f64,
    },
    /// By ratio; both bounds are above zero.
    Log {
        /// At the start of the axis.
        low: f64,
        /// At its end.
        high: f64,
    },
    /// Percentiles from 0 to below 100, by the logarithm of 1 / (1 − p).
    Nines {
        /// Where the axis ends, as a count of nines: 3 is 99.9 %.
        nines: f64,
    },
}

impl Scale {
    /// Linear from zero to a little above `max`, to a round number.
    pub fn from_zero(max: f64) -> Self {
        let max = if max > 0.0 && max.is_finite() { max } else { 1.0 };
        Self::Linear { low: 0.0, high: round_up(max * 1.02) }
    }

    /// Linear from zero to just above `max`, which the axis' end need not be a tick of.
    pub fn to(max: f64) -> Self {
        Self::Linear { low: 0.0, high: if max > 0.0 && max.is_finite() { max * 1.03 } else { 1.0 } }
    }

    /// Linear from zero to a round number of bytes above `max`.
    pub fn bytes(max: f64) -> Self {
        let unit = 1024f64.powf((max.max(1.0).ln() / 1024f64.ln()).floor());
        let Self::Linear { low, high } = Self::from_zero(max / unit) else { return Self::to(max) };
        Self::Linear { low, high: high * unit }
    }

    /// Logarithmic around all of `values`, to 1-2-5 bounds; a decade around 1 ms when there are none.
    pub fn log_around(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0f64);
        for value in values.into_iter().filter(|v| v.is_finite()) {
            let value = value.max(1.0);
            low = low.min(value);
            high = high.max(value);
        }
        if high == 0.0 {
            (low, high) = (300.0, 3_000.0);
        }
        let (low, mut high) = (step_125(low * 0.98, false), step_125(high * 1.02, true));
        while high < low * 9.9 {
            high = step_125(high * 1.01, true);
        }
        Self::Log { low, high }
    }

    /// Where a value lies, from 0 at the axis' start to 1 at its end; values outside are held at the edge.
    pub fn fraction(&self, value: f64) -> f64 {
        let at = match *self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(low) / low).ln() / (high / low).ln(),
            Self::Nines { nines } => nines_of(value).min(nines) / nines,
        };
        if at.is_finite() { at.clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.fraction(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        // Ticks and their words are made by `Axis`, which knows the room that a word takes.
        Vec::new()
    }

    fn range(&self) -> Range<f64> {
        match *self {
            Self::Linear { low, high } | Self::Log { low, high } => low..high,
            Self::Nines { nines } => 0.0..100.0 - 100.0 * 10f64.powf(-nines),
        }
    }
}

/// How many nines a percentile has: 90 → 1, 99.9 → 3.
pub(super) fn nines_of(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).max(1e-9).log10()
}

/// The nearest of 1, 2, 5 times a power of ten, at or above (or at or below) `value`.
pub(super) fn step_125(value: f64, up: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let candidates = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let tolerance = 1e-9 * value;
    if up {
        candidates.into_iter().find(|c| *c + tolerance >= value).unwrap_or(power * 10.0)
    } else {
        candidates.into_iter().rev().find(|c| *c <= value + tolerance).unwrap_or(power)
    }
}

/// A number with a short name at or above `value`, close enough that a chart isn't mostly air.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|c| *c >= value)
        .unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_round_and_hold_the_data() {
        assert_eq!(Scale::from_zero(1_000.0), Scale::Linear { low: 0.0, high: 1_200.0 });
        assert_eq!(Scale::from_zero(0.0), Scale::Linear { low: 0.0, high: 1.2 });
        let Scale::Log { low, high } = Scale::log_around([842.0, 33_000.0]) else { panic!("log") };
        assert!((low - 500.0).abs() < 1e-6 && (high - 50_000.0).abs() < 1e-6, "{low} {high}");
    }

    #[test]
    fn nothing_to_show_is_still_an_axis() {
        assert_eq!(Scale::log_around([]), Scale::Log { low: 200.0, high: 5_000.0 });
        let Scale::Log { low, high } = Scale::log_around([0.0]) else { panic!("log") };
        assert!(low > 0.0 && high >= low * 9.9);
    }

    #[test]
    fn each_nine_takes_the_same_room() {
        let scale = Scale::Nines { nines: 4.0 };
        for (percentile, at) in [(0.0, 0.0), (90.0, 0.25), (99.0, 0.5), (99.9, 0.75), (99.99, 1.0), (100.0, 1.0)] {
            assert!((scale.fraction(percentile) - at).abs() < 1e-6, "{percentile}");
        }
    }
}
