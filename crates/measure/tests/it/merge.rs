//! Merging is an addition: order, grouping and the way over the wire don't matter, and nothing gets lost.

use measure::{Histogram, Interval, Receipt};
use proptest::prelude::*;

use crate::any::{interval, micros};

fn sum(parts: &[&Interval]) -> Interval {
    let mut total = Interval::default();
    parts.iter().for_each(|p| total.merge(p));
    total
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn merge_is_associative_and_commutative_with_an_identity(a in interval(), b in interval(), c in interval()) {
        let left = sum(&[&sum(&[&a, &b]), &c]);
        prop_assert_eq!(&left, &sum(&[&a, &sum(&[&b, &c])]));
        prop_assert_eq!(&left, &sum(&[&c, &a, &b]));
        prop_assert_eq!(&sum(&[&a, &Interval::default()]), &a);
    }

    #[test]
    fn merge_keeps_every_sample_and_count(a in interval(), b in interval()) {
        let both = sum(&[&a, &b]);
        prop_assert_eq!(both.samples(), a.samples() + b.samples());
        prop_assert_eq!(both.counters.values().sum::<u64>(), a.counters.values().chain(b.counters.values()).sum::<u64>());
        let receivers = |i: &Interval| i.receipts.values().map(Receipt::count).sum::<u64>();
        prop_assert_eq!(receivers(&both), receivers(&a) + receivers(&b));
    }

    #[test]
    fn bytes_give_the_interval_back(a in interval()) {
        prop_assert_eq!(Interval::decode(&a.encode()).unwrap(), a);
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(a in interval(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = a.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = Interval::decode(&bytes);
        let _ = Interval::decode(&bytes[..at]);
    }

    #[test]
    fn percentiles_of_the_merged_are_those_of_the_pooled(
        values in prop::collection::vec(micros(), 1..200),
        cuts in prop::collection::vec(0..4_usize, 200),
        quantile in 0.0..=1.0_f64,
    ) {
        let mut parts = vec![Histogram::new(); 4];
        let mut pooled = Histogram::new();
        for (value, part) in values.iter().zip(cuts) {
            parts[part].record(*value);
            pooled.record(*value);
        }
        let mut merged = Histogram::new();
        parts.iter().for_each(|p| merged.merge(p));
        prop_assert_eq!(merged.quantile(quantile), pooled.quantile(quantile));
        prop_assert_eq!(merged, pooled);
    }

    #[test]
    fn a_receipt_split_over_sources_is_the_same_receipt(values in prop::collection::vec(micros(), 2..60), cut in any::<prop::sample::Index>()) {
        let shape = Histogram::new();
        let at = cut.index(values.len());
        let mut merged = Receipt::of(values[..at].to_vec(), &shape);
        merged.merge(&Receipt::of(values[at..].to_vec(), &shape));
        prop_assert_eq!(merged, Receipt::of(values, &shape));
    }
}
