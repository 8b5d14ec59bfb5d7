//! A histogram in numbers.

use std::collections::BTreeMap;

use measure::{Histogram, Metric, Series};

use crate::result::Latency;

/// Points of the spectrum for each halving of the distance to 100 %, as HdrHistogram's tools draw it.
const TICKS_PER_HALF: f64 = 5.0;

/// The numbers of a distribution.
pub(crate) fn numbers(h: &Histogram) -> Latency {
    Latency {
        count: h.count(),
        mean_us: (h.mean() * 10.0).round() / 10.0,
        min_us: h.min(),
        p50_us: h.quantile(0.5),
        p90_us: h.quantile(0.9),
        p99_us: h.quantile(0.99),
        p999_us: h.quantile(0.999),
        p9999_us: h.quantile(0.9999),
        max_us: h.max(),
        spectrum: spectrum(h),
        ..Latency::default()
    }
}

fn spectrum(h: &Histogram) -> Vec<(f64, u64)> {
    if h.is_empty() {
        return Vec::new();
    }
    let (mut points, mut percentile) = (vec![(0.0, h.min())], 0.0);
    let last = 100.0 - 100.0 / h.count() as f64;
    while percentile < last {
        let halvings = (100.0 / (100.0_f64 - percentile)).log2().floor();
        percentile += 100.0 / (TICKS_PER_HALF * (halvings + 1.0).exp2());
        if percentile < last {
            points.push((percentile, h.quantile(percentile / 100.0)));
        }
    }
    points.push((100.0, h.max()));
    points
}

/// Distributions by metric, over all cohorts.
pub(crate) fn by_metric<'a>(series: impl Iterator<Item = (&'a Series, &'a Histogram)>) -> BTreeMap<Metric, Histogram> {
    let mut sums: BTreeMap<Metric, Histogram> = BTreeMap::new();
    series.for_each(|(s, h)| sums.entry(s.metric).or_default().merge(h));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spectrum_rises_to_the_maximum() {
        let mut h = Histogram::new();
        (1..=10_000).for_each(|v| h.record(v));
        let numbers = numbers(&h);
        assert!(numbers.spectrum.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1));
        assert_eq!(numbers.spectrum.last(), Some(&(100.0, h.max())));
        assert!((40..100).contains(&numbers.spectrum.len()), "{}", numbers.spectrum.len());
        assert!(super::numbers(&Histogram::new()).spectrum.is_empty());
    }

    #[test]
    fn one_sample_has_a_spectrum() {
        let mut h = Histogram::new();
        h.record(7);
        assert_eq!(numbers(&h).spectrum, vec![(0.0, 7), (100.0, 7)]);
    }
}
