//! The one histogram shape: 1 µs to 60 s at three digits, so that any two can be added.

use std::time::Duration;

use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::codec::DecodeError;

/// Largest value that is told apart, in microseconds; larger ones are recorded as this one.
pub const MAX_MICROS: u64 = 60_000_000;
/// Significant decimal digits: a value is off by at most 0.1 %.
pub const DIGITS: u8 = 3;

/// A latency distribution, in microseconds. 17,408 counters of 8 bytes, 136 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self(hdrhistogram::Histogram::new_with_bounds(1, MAX_MICROS, DIGITS).expect("the fixed shape is valid"))
    }

    /// Records one sample; values above [`MAX_MICROS`] are recorded as that.
    pub fn record(&mut self, micros: u64) {
        self.record_n(micros, 1);
    }

    /// Records `count` samples of the same value.
    pub fn record_n(&mut self, micros: u64, count: u64) {
        self.0.record_n(micros.min(MAX_MICROS), count).expect("the value is inside the fixed bounds");
    }

    /// Adds all samples of `other`; the percentiles of the sum are those of the pooled samples.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the one shape");
    }

    /// How many samples.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value below or at which the fraction `quantile` (0 to 1) of the samples lies, in microseconds; 0 if empty.
    ///
    /// It is the sample at the rank nearest to `quantile` × count, halves up, as in PyPI's `hdrhistogram`, so that it says
    /// the same of our files to the last digit (a test holds that). Rust's `hdrhistogram` rounds the rank up, which is at
    /// most one sample further.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let count = self.count() as f64;
        if quantile <= 0.0 || count == 0.0 {
            return self.0.value_at_quantile(0.0);
        }
        // In the order in which those compute it: of 500 samples, 99.9 % is a half, and the last bit decides.
        let rank = ((quantile.min(1.0) * 100.0) * count / 100.0 + 0.5).floor().max(1.0);
        // The library rounds up, and what it rounds lies in the middle between two ranks here.
        self.0.value_at_quantile((rank - 0.5) / count)
    }

    /// The arithmetic mean, in microseconds; 0 if empty.
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// The smallest sample, in microseconds; 0 if empty.
    pub fn min(&self) -> u64 {
        self.0.min()
    }

    /// The largest sample, in microseconds, to the histogram's resolution; 0 if empty.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// How many samples are at or below `limit`.
    pub fn count_at_or_below(&self, limit: Duration) -> u64 {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(MAX_MICROS).min(MAX_MICROS);
        self.0.count_between(0, micros)
    }

    /// The recorded values with their counts, rising.
    pub fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()))
    }

    /// The histogram in HdrHistogram's V2 format, deflated.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).expect("writing to memory succeeds");
        bytes
    }

    /// Reads what [`Histogram::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no such histogram, or one of another shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let read: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut &*bytes).map_err(|e| DecodeError::Histogram(format!("{e:?}")))?;
        let mut histogram = Self::new();
        histogram.0.add(&read).map_err(|e| DecodeError::Histogram(format!("{e:?}")))?;
        Ok(histogram)
    }

    /// The library's own type, for writing `.hlog` files.
    pub fn as_hdr(&self) -> &hdrhistogram::Histogram<u64> {
        &self.0
    }
}

/// The value that stands for `micros` at the histogram's resolution.
pub(crate) fn representative(shape: &Histogram, micros: u64) -> u64 {
    shape.0.highest_equivalent(micros.min(MAX_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_keeps_every_sample() {
        let mut h = Histogram::new();
        for micros in [0, 1, 999, 1_000, 123_456, MAX_MICROS, MAX_MICROS * 9] {
            h.record_n(micros, 3);
        }
        assert_eq!(Histogram::decode(&h.encode()).unwrap(), h);
        assert_eq!(h.count(), 21);
    }

    #[test]
    fn a_quantile_is_the_sample_at_the_nearest_rank() {
        let mut h = Histogram::new();
        assert_eq!((h.quantile(0.5), h.quantile(0.0)), (0, 0), "of nothing");
        for n in 1..=1_000_u64 {
            h.record(n);
            // The formula of `get_target_count_at_percentile` in PyPI's hdrhistogram.
            let rank = |percentile: f64| ((percentile * n as f64 / 100.0 + 0.5) as u64).max(1);
            for (quantile, percentile) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (0.999, 99.9), (0.9999, 99.99)] {
                assert_eq!(h.quantile(quantile), rank(percentile), "{percentile} % of {n}");
            }
            assert_eq!((h.quantile(0.0), h.quantile(1.0), h.quantile(2.0)), (1, n, n));
        }
    }

    #[test]
    fn garbage_is_refused() {
        assert!(Histogram::decode(b"not a histogram").is_err());
    }
}
