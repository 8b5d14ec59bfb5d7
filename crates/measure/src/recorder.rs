//! The mutable side of measuring: one recorder a thread, emptied once a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::histogram::{Histogram, MAX_MICROS};
use crate::interval::{CounterKey, GaugeKey, Interval};
use crate::metric::{Cohort, Counter, Gauge, Metric, Series};
use crate::receipt::{MessageKey, Receipt};

/// Kinds of errors that are told apart; the rest counts as `other`, so that a server can't fill our memory.
const LABELS_MAX: usize = 64;

/// Records what one thread measures.
///
/// Recording takes an array index and no allocation, but for the first sample of a series in an interval.
#[derive(Debug)]
pub struct Recorder {
    /// One slot for "no cohort" and one for each cohort.
    slots: usize,
    histograms: Vec<Option<Box<Histogram>>>,
    counters: Vec<u64>,
    labelled: BTreeMap<CounterKey, u64>,
    gauges: BTreeMap<GaugeKey, i64>,
    deliveries: HashMap<MessageKey, Vec<u64>>,
    shape: Histogram,
    started: Timestamp,
}

impl Recorder {
    /// A recorder for a scenario with `cohorts` cohorts, whose first interval starts at `now`.
    pub fn new(cohorts: usize, now: Timestamp) -> Self {
        let slots = cohorts + 1;
        Self {
            slots,
            histograms: vec![None; Metric::ALL.len() * slots],
            counters: vec![0; Counter::ALL.len() * slots],
            labelled: BTreeMap::new(),
            gauges: BTreeMap::new(),
            deliveries: HashMap::new(),
            shape: Histogram::new(),
            started: now,
        }
    }

    fn slot(&self, id: u32, cohort: Option<Cohort>) -> usize {
        let within = cohort.map_or(0, |c| usize::from(c) + 1);
        debug_assert!(within < self.slots, "cohort {cohort:?} is not of this scenario");
        id as usize * self.slots + within.min(self.slots - 1)
    }

    /// Records one duration. Negative ones (two clocks that disagree) count as zero and in [`Counter::Negative`];
    /// those above the histogram's range count as its end and in [`Counter::Saturated`].
    pub fn record(&mut self, series: impl Into<Series>, micros: i64) {
        let Series { metric, cohort } = series.into();
        let slot = self.slot(metric.id(), cohort);
        if micros < 0 {
            self.count(Counter::Negative, cohort, 1);
        } else if micros.unsigned_abs() > MAX_MICROS {
            self.count(Counter::Saturated, cohort, 1);
        }
        self.histograms[slot].get_or_insert_default().record(micros.max(0).unsigned_abs());
    }

    /// Records the delivery of one message to one user: its latency from due and from sent, and its receipt.
    pub fn record_delivery(&mut self, message: MessageKey, cohort: Cohort, since_due: i64, since_sent: i64) {
        self.record(Series { metric: Metric::Delivery, cohort: Some(cohort) }, since_due);
        self.record(Series { metric: Metric::DeliveryService, cohort: Some(cohort) }, since_sent);
        self.deliveries.entry(message).or_default().push(since_due.max(0).unsigned_abs());
    }

    /// Adds to a counter.
    pub fn count(&mut self, counter: Counter, cohort: Option<Cohort>, n: u64) {
        let slot = self.slot(counter.id(), cohort);
        self.counters[slot] += n;
    }

    /// Counts an error of this kind. Keep kinds few: they are for people, and after 64 of them the rest is `other`.
    pub fn error(&mut self, kind: &str, cohort: Option<Cohort>) {
        let key = |label: &str| CounterKey { counter: Counter::Errors, cohort, label: label.to_owned() };
        let known = self.labelled.len() < LABELS_MAX || self.labelled.contains_key(&key(kind));
        *self.labelled.entry(key(if known { kind } else { "other" })).or_default() += 1;
    }

    /// Sets a level, which stays until it is set again.
    pub fn set(&mut self, gauge: Gauge, cohort: Option<Cohort>, level: i64) {
        self.gauges.insert(GaugeKey { gauge, cohort }, level);
    }

    /// Moves a level up or down.
    pub fn add(&mut self, gauge: Gauge, cohort: Option<Cohort>, by: i64) {
        *self.gauges.entry(GaugeKey { gauge, cohort }).or_default() += by;
    }

    /// Freezes what was recorded since the last time, and starts the next interval at `now`. Levels stay.
    pub fn take(&mut self, now: Timestamp) -> Interval {
        let slots = self.slots;
        let cohort_of = |slot: usize| Cohort::try_from(slot % slots).ok().and_then(|c| c.checked_sub(1));
        let histograms = self.histograms.iter_mut().enumerate().filter_map(|(slot, h)| {
            let metric = Metric::ALL[slot / slots];
            Some((Series { metric, cohort: cohort_of(slot) }, *h.take()?))
        });
        let histograms = histograms.collect();
        let mut counters = std::mem::take(&mut self.labelled);
        for (slot, n) in self.counters.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
            let key = CounterKey { cohort: cohort_of(slot), ..Counter::ALL[slot / slots].into() };
            counters.insert(key, std::mem::take(n));
        }
        let receipts = self.deliveries.drain().map(|(key, micros)| (key, Receipt::of(micros, &self.shape))).collect();
        let start = std::mem::replace(&mut self.started, now);
        Interval { start: Some(start), end: Some(now), histograms, counters, gauges: self.gauges.clone(), receipts }
    }
}

/// A recorder that its thread and its process's probe share. The probe takes it for an instant once a second, so the
/// lock is as good as never contended.
#[derive(Clone, Debug)]
pub struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    /// Shares a recorder.
    pub fn new(recorder: Recorder) -> Self {
        Self(Arc::new(Mutex::new(recorder)))
    }

    /// Records through `f`; several records in one call cost one lock.
    pub fn with<T>(&self, f: impl FnOnce(&mut Recorder) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Freezes what was recorded since the last time; see [`Recorder::take`].
    pub fn take(&self, now: Timestamp) -> Interval {
        self.with(|r| r.take(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_taken_once() {
        let mut r = Recorder::new(2, Timestamp::from_nanos(1));
        r.record(Series { metric: Metric::Send, cohort: Some(1) }, 250);
        r.record(Metric::Lag, -3);
        r.record_delivery(MessageKey::new(0, 9), 0, 70, 60);
        r.error("timeout", None);
        r.set(Gauge::UsersConnected, Some(0), 5);
        let first = r.take(Timestamp::from_nanos(2));
        assert_eq!(first.samples(), 4);
        assert_eq!(first.count(Counter::Negative), 1);
        assert_eq!(first.count(Counter::Errors), 1);
        assert_eq!(first.receipts[&MessageKey::new(0, 9)].count(), 1);
        let second = r.take(Timestamp::from_nanos(3));
        assert_eq!((second.samples(), second.counters.len(), second.receipts.len()), (0, 0, 0));
        assert_eq!(second.level(Gauge::UsersConnected), 5, "levels stay");
        assert_eq!(second.start, first.end);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut r = Recorder::new(0, Timestamp::default());
        for i in 0..1_000 {
            r.error(&format!("kind {i}"), None);
        }
        let taken = r.take(Timestamp::default());
        assert_eq!(taken.count(Counter::Errors), 1_000, "none is dropped");
        assert!(taken.counters.len() <= LABELS_MAX + 1);
    }
}
