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
/// Recording takes an array index and no allocation, but for the first sample of a series that the interval before had
/// none of, and the first delivery of a message.
#[derive(Debug)]
pub struct Recorder {
    /// One slot for "no cohort" and one for each cohort.
    slots: usize,
    page: Page,
    gauges: BTreeMap<GaugeKey, i64>,
    started: Timestamp,
}

/// What one interval holds, as it is recorded.
#[derive(Debug, Default)]
struct Page {
    histograms: Vec<Option<Box<Histogram>>>,
    counters: Vec<u64>,
    labelled: BTreeMap<CounterKey, u64>,
    deliveries: HashMap<MessageKey, Vec<u64>>,
}

/// A page that was taken out, and all that is needed to make an interval of it without its recorder.
#[derive(Debug)]
struct Taken {
    slots: usize,
    page: Page,
    gauges: BTreeMap<GaugeKey, i64>,
    start: Timestamp,
    end: Timestamp,
}

impl Page {
    fn new(slots: usize) -> Self {
        let histograms = vec![None; Metric::ALL.len() * slots];
        Self { histograms, counters: vec![0; Counter::ALL.len() * slots], ..Self::default() }
    }

    /// An empty page with room for what `used` tells of: its series have their histograms already, as 136 KiB each take
    /// a while to come by.
    fn like(used: &[bool], counters: usize) -> Self {
        let histograms = used.iter().map(|used| used.then(|| Box::new(Histogram::new()))).collect();
        Self { histograms, counters: vec![0; counters], ..Self::default() }
    }

    fn used(&self) -> Vec<bool> {
        self.histograms.iter().map(|h| h.as_ref().is_some_and(|h| !h.is_empty())).collect()
    }
}

impl Taken {
    fn freeze(self) -> Interval {
        let Self { slots, page, gauges, start, end } = self;
        let cohort_of = |slot: usize| Cohort::try_from(slot % slots).ok().and_then(|c| c.checked_sub(1));
        let histograms = page.histograms.into_iter().enumerate().filter_map(|(slot, h)| {
            let histogram = h.filter(|h| !h.is_empty())?;
            Some((Series { metric: Metric::ALL[slot / slots], cohort: cohort_of(slot) }, *histogram))
        });
        let mut counters = page.labelled;
        for (slot, n) in page.counters.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            counters.insert(CounterKey { cohort: cohort_of(slot), ..Counter::ALL[slot / slots].into() }, n);
        }
        let shape = Histogram::new();
        let receipts = page.deliveries.into_iter().map(|(key, micros)| (key, Receipt::of(micros, &shape))).collect();
        Interval { start: Some(start), end: Some(end), histograms: histograms.collect(), counters, gauges, receipts }
    }
}

impl Recorder {
    /// A recorder for a scenario with `cohorts` cohorts, whose first interval starts at `now`.
    pub fn new(cohorts: usize, now: Timestamp) -> Self {
        let slots = cohorts + 1;
        Self { slots, page: Page::new(slots), gauges: BTreeMap::new(), started: now }
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
        self.page.histograms[slot].get_or_insert_default().record(micros.max(0).unsigned_abs());
    }

    /// Records the delivery of one message to one user: its latency from due and from sent, and its receipt.
    pub fn record_delivery(&mut self, message: MessageKey, cohort: Cohort, since_due: i64, since_sent: i64) {
        self.record(Series { metric: Metric::Delivery, cohort: Some(cohort) }, since_due);
        self.record(Series { metric: Metric::DeliveryService, cohort: Some(cohort) }, since_sent);
        self.page.deliveries.entry(message).or_default().push(since_due.max(0).unsigned_abs());
    }

    /// Adds to a counter.
    pub fn count(&mut self, counter: Counter, cohort: Option<Cohort>, n: u64) {
        let slot = self.slot(counter.id(), cohort);
        self.page.counters[slot] += n;
    }

    /// Counts an error of this kind. Keep kinds few: they are for people, and after 64 of them the rest is `other`.
    pub fn error(&mut self, kind: &str, cohort: Option<Cohort>) {
        let key = |label: &str| CounterKey { counter: Counter::Errors, cohort, label: label.to_owned() };
        let known = self.page.labelled.len() < LABELS_MAX || self.page.labelled.contains_key(&key(kind));
        *self.page.labelled.entry(key(if known { kind } else { "other" })).or_default() += 1;
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
        let next = Page::like(&self.page.used(), self.page.counters.len());
        self.turn(next, now).freeze()
    }

    /// Goes on recording on the page `next`.
    fn turn(&mut self, next: Page, now: Timestamp) -> Taken {
        let start = std::mem::replace(&mut self.started, now);
        let page = std::mem::replace(&mut self.page, next);
        Taken { slots: self.slots, page, gauges: self.gauges.clone(), start, end: now }
    }
}

/// A recorder that its thread and its process's probe share. The probe turns the page once a second, and prepares the next
/// and packs the last one outside the lock: its thread waits for microseconds at most, however much was recorded.
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
        let (used, counters) = self.with(|r| (r.page.used(), r.page.counters.len()));
        let next = Page::like(&used, counters);
        self.with(|r| r.turn(next, now)).freeze()
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
