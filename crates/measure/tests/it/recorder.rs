//! A recorder gives back what was recorded, whenever it is taken.

use measure::{Counter, Interval, MessageKey, Metric, Receipt, Recorder, Series, SharedRecorder, Timestamp};
use proptest::prelude::*;

/// One call to a recorder.
#[derive(Clone, Debug)]
enum Call {
    Record(usize, Option<u16>, i64),
    Deliver(u64, u16, i64, i64),
    Count(usize, u64),
    Error(u8),
    Take,
}

fn call() -> impl Strategy<Value = Call> {
    let micros = -1_000..100_000_000_i64;
    prop_oneof![
        (0..Metric::ALL.len(), proptest::option::of(0..3_u16), micros.clone())
            .prop_map(|(m, c, v)| Call::Record(m, c, v)),
        (0..9_u64, 0..3_u16, micros.clone(), micros).prop_map(|(n, c, due, sent)| Call::Deliver(n, c, due, sent)),
        (0..Counter::ALL.len(), 1..9_u64).prop_map(|(c, n)| Call::Count(c, n)),
        (0..100_u8).prop_map(Call::Error),
        Just(Call::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_often_it_is_taken_nothing_is_lost_or_taken_twice(calls in prop::collection::vec(call(), 1..200)) {
        let shared = SharedRecorder::new(Recorder::new(3, Timestamp::from_nanos(0)));
        let (mut total, mut now) = (Interval::default(), 0);
        let (mut samples, mut deliveries, mut errors, mut counts) = (0, 0, 0, 0);
        for call in &calls {
            now += 1;
            match *call {
                Call::Record(metric, cohort, value) => {
                    samples += 1;
                    counts += u64::from(!(0..=60_000_000).contains(&value));
                    shared.with(|r| r.record(Series { metric: Metric::ALL[metric], cohort }, value));
                }
                Call::Deliver(number, cohort, due, sent) => {
                    samples += 2;
                    deliveries += 1;
                    counts += [due, sent].iter().filter(|v| !(0..=60_000_000).contains(*v)).count() as u64;
                    shared.with(|r| r.record_delivery(MessageKey::new(1, number), None, cohort, due, sent));
                }
                Call::Count(counter, n) => {
                    counts += n;
                    shared.with(|r| r.count(Counter::ALL[counter], None, n));
                }
                Call::Error(kind) => {
                    errors += 1;
                    counts += 1;
                    shared.with(|r| r.error(&format!("kind {kind}"), Some(0)));
                }
                Call::Take => total.merge(&shared.take(Timestamp::from_nanos(now))),
            }
        }
        total.merge(&shared.take(Timestamp::from_nanos(now + 1)));
        prop_assert_eq!(total.samples(), samples);
        prop_assert_eq!(total.receipts.values().map(Receipt::count).sum::<u64>(), deliveries);
        prop_assert_eq!(total.counters.values().sum::<u64>(), counts);
        let labelled = total.counters.iter().filter(|(k, _)| !k.label.is_empty()).map(|(_, n)| n).sum::<u64>();
        prop_assert_eq!(labelled, errors);
        prop_assert_eq!((total.start, total.end), (Some(Timestamp::from_nanos(0)), Some(Timestamp::from_nanos(now + 1))));
    }
}

#[test]
fn recording_allocates_nothing_but_for_the_first_sample_of_a_series() {
    let mut recorder = Recorder::new(2, Timestamp::default());
    let series = [Series::from(Metric::Lag), Series { metric: Metric::Send, cohort: Some(1) }];
    series.into_iter().for_each(|s| recorder.record(s, 5));
    let recording = || {
        for micros in 0..10_000 {
            series.into_iter().for_each(|s| recorder.record(s, micros * 7_919 % 70_000_000 - 5));
            recorder.count(Counter::Sent, Some(1), 1);
        }
    };
    let counted = allocation_counter::measure(recording);
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    let taking = allocation_counter::measure(|| drop(recorder.take(Timestamp::default())));
    assert!(taking.count_total > 0, "what allocates is seen");
}
