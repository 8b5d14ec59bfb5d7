//! A histogram of ours as OpenTelemetry's exponential one: the same samples in wider buckets.

use measure::Histogram;
use proto::otlp::ExponentialHistogramDataPoint as Point;
use proto::otlp::exponential_histogram_data_point::Buckets;

/// Buckets of at most 2.2 %: not so fine that ours, 0.1 % wide, often lie across the border of two.
const SCALE_MAX: i32 = 5;

/// As many as OpenTelemetry's own libraries use; a distribution over more octaves gets wider ones.
const BUCKETS_MAX: i32 = 160;

/// Values are microseconds, and seconds over there.
const MICROS_PER_S: f64 = 1e6;

/// The point of this histogram, without times and attributes.
pub(super) fn point(h: &Histogram) -> Point {
    let mut point = Point {
        count: h.count(),
        sum: Some(h.mean() * h.count() as f64 / MICROS_PER_S),
        scale: SCALE_MAX,
        ..Point::default()
    };
    if h.is_empty() {
        return point;
    }
    (point.min, point.max) = (Some(h.min() as f64 / MICROS_PER_S), Some(h.max() as f64 / MICROS_PER_S));
    let positive = || h.values().filter(|(micros, _)| *micros > 0);
    point.zero_count = h.count() - positive().map(|(_, n)| n).sum::<u64>();
    let (Some((first, _)), Some((last, _))) = (positive().next(), positive().last()) else { return point };
    while index(last, point.scale) - index(first, point.scale) >= BUCKETS_MAX {
        point.scale -= 1;
    }
    let offset = index(first, point.scale);
    let mut bucket_counts = Vec::new();
    for (micros, n) in positive() {
        let at = (index(micros, point.scale) - offset).unsigned_abs() as usize;
        bucket_counts.resize(bucket_counts.len().max(at + 1), 0);
        bucket_counts[at] += n;
    }
    point.positive = Some(Buckets { offset, bucket_counts });
    point
}

/// The bucket of a value at a scale: bucket `i` holds (base^i, base^(i + 1)], where base is 2^(2^-scale).
fn index(micros: u64, scale: i32) -> i32 {
    let buckets_an_octave = f64::from(scale).exp2();
    ((micros as f64 / MICROS_PER_S).log2() * buckets_an_octave).ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at a quantile by the buckets alone: its bucket's bounds.
    fn bounds(point: &Point, quantile: f64) -> (f64, f64) {
        let rank = (point.count as f64 * quantile).ceil() as u64;
        let (buckets, mut seen) = (point.positive.as_ref().unwrap(), point.zero_count);
        let found = buckets.bucket_counts.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        let at = f64::from(buckets.offset + found.unwrap() as i32);
        let base = (-f64::from(point.scale)).exp2().exp2();
        (base.powf(at), base.powf(at + 1.0))
    }

    #[test]
    fn every_sample_is_in_one_bucket_and_quantiles_lie_in_theirs() {
        let mut h = Histogram::new();
        let mut micros = 90_u64;
        for n in 0..5_000 {
            h.record(micros);
            micros = if n % 997 == 0 { 50_000_000 } else { 80 + micros * 7919 % 30_011 };
        }
        h.record_n(0, 3);
        let point = point(&h);
        let buckets = &point.positive.as_ref().unwrap().bucket_counts;
        assert_eq!((point.count, point.zero_count), (5_003, 3));
        assert_eq!(buckets.iter().sum::<u64>() + point.zero_count, point.count);
        assert!(buckets.len() <= BUCKETS_MAX as usize && buckets[0] > 0 && *buckets.last().unwrap() > 0);
        assert_eq!((point.min, point.max), (Some(0.0), Some(h.max() as f64 / 1e6)));
        assert_eq!(point.scale, 3, "80 µs to 50 s are 19.3 octaves of 8 buckets");
        for quantile in [0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (low, high) = bounds(&point, quantile);
            let ours = h.quantile(quantile) as f64 / 1e6;
            assert!(low < ours * 1.001 && ours <= high * 1.001, "{quantile}: {low} < {ours} <= {high}");
        }
    }

    #[test]
    fn borders_belong_to_the_bucket_below() {
        // 0.25 s = 2^-2, whatever the scale.
        for scale in 0..=SCALE_MAX {
            assert_eq!(index(250_000, scale), -2 * (1 << scale) - 1);
            assert_eq!(index(250_001, scale), -2 * (1 << scale));
        }
        assert_eq!(index(60_000_000, 0), 5, "32 s to 64 s");
    }

    #[test]
    fn nothing_and_only_zeros_are_points_too() {
        let mut h = Histogram::new();
        assert_eq!((point(&h).count, point(&h).positive), (0, None));
        h.record_n(0, 7);
        assert_eq!((point(&h).zero_count, point(&h).positive), (7, None));
    }
}
