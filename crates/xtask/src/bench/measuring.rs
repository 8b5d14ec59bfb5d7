//! What measuring itself costs.

use std::hint::black_box;
use std::time::Duration;

use measure::{Clock, Course, Estimate, Interval, MessageKey, Metric, Offset, Place, Recorder, Series, Timestamp};

use super::{Aim, Figure};

const ROUNDS: usize = 9;

/// The least, the median, and the most of `ROUNDS` rounds, of which each answers one number.
fn rounds(mut round: impl FnMut() -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[ROUNDS / 2], values[ROUNDS - 1])
}

/// Recording one sample into a thread's recorder, in nanoseconds.
pub(super) fn record() -> Figure {
    const SAMPLES: u32 = 2_000_000;
    let clock = Clock::System;
    let mut recorder = Recorder::new(4, clock.now());
    let (least, value, most) = rounds(|| {
        let start = clock.now();
        let mut micros = 1_u32;
        for _ in 0..SAMPLES {
            // A cheap sequence of latencies from 0 to 33 ms, which no branch predictor and no cache line foresees.
            micros = micros.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let series = Series { metric: Metric::Delivery, cohort: Some((micros & 3) as u16) };
            recorder.record(black_box(series), black_box(i64::from(micros >> 17)));
        }
        clock.now().since(start).as_nanos() as f64 / f64::from(SAMPLES)
    });
    black_box(recorder.take(clock.now()));
    Figure { bench: "record", unit: "ns", value, spread: (least, most), limit: None, aim: Aim::AtMost(25.0) }
}

/// An instant of this host on the run's clock, as every frame that comes is stamped on a host that isn't the control
/// plane's, in nanoseconds.
pub(super) fn stamp() -> Figure {
    const STAMPS: u64 = 20_000_000;
    let clock = Clock::System;
    let begun = clock.now();
    let estimate =
        |at, nanos| Estimate { at, offset: Offset { nanos, bound: 90_000 }, drift: 30_000, drift_bound: 9_000 };
    let second = begun + Duration::from_secs(2);
    let course = Course::begin(&estimate(begun, 250_000_000)).steer(&estimate(second, 250_090_000));
    let (least, value, most) = rounds(|| {
        let start = clock.now();
        let sum = (0..STAMPS).fold(0_u64, |sum, n| {
            let at = black_box(second + Duration::from_nanos(n * 150));
            sum.wrapping_add(black_box(&course).to_theirs(at).as_nanos())
        });
        black_box(sum);
        clock.now().since(start).as_nanos() as f64 / STAMPS as f64
    });
    Figure { bench: "stamp", unit: "ns", value, spread: (least, most), limit: None, aim: Aim::AtMost(10.0) }
}

/// Recording one delivery as a worker does: its latency from due and from sent, and its receipt; in nanoseconds. Once a
/// second the recorder is emptied, which counts, too.
pub(super) fn record_delivery() -> Figure {
    /// A second of a busy thread: so many messages to so many receivers each.
    const MESSAGES: u64 = 50;
    const RECEIVERS: u64 = 1_000;
    const SECONDS: u64 = 4;
    let clock = Clock::System;
    let mut recorder = Recorder::new(2, clock.now());
    let (least, value, most) = rounds(|| {
        let start = clock.now();
        let mut micros = 1_u32;
        for number in 0..SECONDS * MESSAGES {
            for _ in 0..RECEIVERS {
                micros = micros.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let latency = i64::from(500 + (micros >> 17));
                let message = black_box(MessageKey::new(0, number));
                let place = black_box(Some(Place { channel: 0, number, sent: start }));
                recorder.record_delivery(message, place, (micros >> 31) as u16, latency, latency - 50);
            }
            if number % MESSAGES == MESSAGES - 1 {
                black_box(recorder.take(clock.now()));
            }
        }
        clock.now().since(start).as_nanos() as f64 / (SECONDS * MESSAGES * RECEIVERS) as f64
    });
    let aim = Aim::AtMost(100.0);
    Figure { bench: "record-delivery", unit: "ns", value, spread: (least, most), limit: None, aim }
}

/// What the data plane does with the second of 100 workers: reads their intervals, merges them, and packs the sum; in
/// milliseconds.
pub(super) fn ingest() -> Figure {
    let clock = Clock::System;
    let shipped: Vec<Vec<u8>> = (0..100).map(|worker| interval_of(worker).encode()).collect();
    let (least, value, most) = rounds(|| {
        let start = clock.now();
        let mut sum = Interval::default();
        for bytes in &shipped {
            sum.merge(&Interval::decode(bytes).expect("it was encoded above"));
        }
        black_box(sum.encode());
        clock.now().since(start).as_nanos() as f64 / 1e6
    });
    Figure { bench: "ingest", unit: "ms", value, spread: (least, most), limit: None, aim: Aim::AtMost(100.0) }
}

/// Merging and encoding one second's intervals of 100 workers, in milliseconds.
pub(super) fn merge_and_encode() -> Figure {
    let clock = Clock::System;
    let intervals: Vec<Interval> = (0..100).map(interval_of).collect();
    let (least, value, most) = rounds(|| {
        let start = clock.now();
        let mut sum = Interval::default();
        for interval in &intervals {
            sum.merge(interval);
        }
        black_box(sum.encode());
        clock.now().since(start).as_nanos() as f64 / 1e6
    });
    Figure { bench: "merge-encode", unit: "ms", value, spread: (least, most), limit: None, aim: Aim::AtMost(100.0) }
}

/// A second of a worker with two cohorts, 2,000 deliveries of 20 messages and some sends.
fn interval_of(worker: u32) -> Interval {
    let mut recorder = Recorder::new(2, Timestamp::default());
    let mut micros = worker + 1;
    for n in 0..2_000_u32 {
        micros = micros.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let latency = i64::from(500 + (micros >> 17));
        let message = MessageKey::new(0, u64::from(n % 20));
        recorder.record_delivery(message, None, (n & 1) as u16, latency, latency - 50);
        if n % 100 == 0 {
            recorder.record(Series { metric: Metric::Send, cohort: Some(0) }, latency);
            recorder.record(Metric::Lag, latency / 100);
        }
    }
    recorder.take(Timestamp::from_nanos(1_000_000_000))
}
