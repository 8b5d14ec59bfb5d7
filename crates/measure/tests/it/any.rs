//! Arbitrary measurements.

use std::collections::BTreeMap;

use measure::{
    Counter, CounterKey, Coverage, Example, Examples, Gauge, GaugeKey, Histogram, Interval, MessageKey, Metric, Mishap,
    Named, Receipt, Series, Steps, Timestamp,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn cohort() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![Just(None), (0..4_u16).prop_map(Some)]
}

/// A latency, of any magnitude, in microseconds.
pub(crate) fn micros() -> impl Strategy<Value = u64> {
    (0..32_u32, any::<u64>()).prop_map(|(bits, x)| x & ((1 << bits) - 1))
}

fn histogram() -> impl Strategy<Value = Histogram> {
    vec((micros(), 1..9_u64), 1..12).prop_map(|samples| {
        let mut h = Histogram::new();
        samples.into_iter().for_each(|(value, n)| h.record_n(value, n));
        h
    })
}

fn receipts() -> impl Strategy<Value = BTreeMap<MessageKey, Receipt>> {
    let receipt = vec(micros(), 1..9).prop_map(|values| Receipt::of(values, &Histogram::new()));
    btree_map((0..3_u16, 0..5_u64).prop_map(|(action, n)| MessageKey::new(action, n)), receipt, 0..5)
}

fn steps() -> impl Strategy<Value = Steps> {
    vec((0..30_u64, 0..30_u64, -2..4_i64), 0..6).prop_map(|ranges| {
        let mut steps = Steps::default();
        ranges.into_iter().for_each(|(from, to, n)| steps.add(from, to, n));
        steps
    })
}

fn named() -> impl Strategy<Value = Named> {
    (0..3_u16, 0..5_u64, any::<u32>()).prop_map(|(action, number, sent)| Named {
        message: MessageKey::new(action, number),
        sent: Timestamp::from_nanos(sent.into()),
    })
}

fn coverage() -> impl Strategy<Value = BTreeMap<String, Coverage>> {
    let one = (steps(), steps(), steps(), btree_map(0..30_u64, named(), 0..4))
        .prop_map(|(watched, missed, aside, messages)| Coverage { watched, missed, aside, messages })
        .prop_filter("an empty one is none", |coverage| !coverage.is_empty());
    btree_map("[a-c]", one, 0..3)
}

fn examples() -> impl Strategy<Value = Examples> {
    let example = (0..3_usize, 0..40_u64, 0..4_u64, "[a-c]", 0..9_u64, 0..3_u64);
    vec(example, 0..25).prop_map(|all| {
        let mut examples = Examples::default();
        for (mishap, at, user, channel, first, more) in all {
            let example = Example { at: Timestamp::from_nanos(at), user, channel, first, last: first + more };
            examples.add(Mishap::ALL[mishap], example);
        }
        examples
    })
}

/// An interval of a few series.
pub(crate) fn interval() -> impl Strategy<Value = Interval> {
    let series = (0..Metric::ALL.len(), cohort()).prop_map(|(m, cohort)| Series { metric: Metric::ALL[m], cohort });
    let counter = (0..Counter::ALL.len(), cohort(), "[a-c]?").prop_map(|(c, cohort, label)| CounterKey {
        counter: Counter::ALL[c],
        cohort,
        label,
    });
    let gauge = (0..Gauge::ALL.len(), cohort()).prop_map(|(g, cohort)| GaugeKey { gauge: Gauge::ALL[g], cohort });
    (
        any::<u32>(),
        0..5_000_000_000_u64,
        btree_map(series, histogram(), 0..4),
        btree_map(counter, 1..1_000_u64, 0..6),
        btree_map(gauge, -1_000..1_000_i64, 0..6),
        receipts(),
        (coverage(), 0..3_u64, examples()),
    )
        .prop_map(|(start, length, histograms, counters, gauges, receipts, (coverage, uncovered, examples))| {
            Interval {
                start: Some(Timestamp::from_nanos(u64::from(start))),
                end: Some(Timestamp::from_nanos(u64::from(start) + length)),
                histograms,
                counters,
                gauges,
                receipts,
                coverage,
                uncovered,
                examples,
            }
        })
}
