//! The mutable side of measuring: one recorder a thread, emptied once a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::coverage::{Coverage, Named};
use crate::example::{EXAMPLES_MAX, Example, Examples, Mishap};
use crate::histogram::{Histogram, MAX_MICROS};
use crate::interval::{CounterKey, GaugeKey, Interval};
use crate::metric::{Cohort, Counter, Gauge, Metric, Series};
use crate::receipt::{MessageKey, Receipt};

/// Kinds of errors that are told apart; the rest counts as `other`, so that a server can't fill our memory.
const LABELS_MAX: usize = 64;

/// Entries of coverage that an interval may have; what there is no room for is counted. About 40 bytes each here, a
/// dozen on the wire, where a shipment may have 16 MiB.
const COVERAGE_MAX: usize = 200_000;

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
    /// Channels by number; shared with pages that are being packed.
    channels: Arc<Vec<Arc<str>>>,
    /// Examples of each mishap that it may still give.
    examples_left: [usize; Mishap::ALL.len()],
}

/// Where an event stands: the recorder's number for its channel, and its own number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// As [`Recorder::channel`] was told.
    pub channel: u32,
    /// The event's number.
    pub number: u64,
    /// When its message was sent, in run time.
    pub sent: Timestamp,
}

/// What a stretch of a channel's events was to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Covered {
    /// The user's visit covered them: it should have had them.
    Watched,
    /// Of these, it never had them.
    Missed,
    /// It had them through `/sync`, so that no receipt tells of it.
    Recovered,
    /// It had receipts for them, and turned out not to be watching.
    Outside,
}

/// What one interval holds, as it is recorded.
#[derive(Debug, Default)]
struct Page {
    histograms: Vec<Option<Box<Histogram>>>,
    counters: Vec<u64>,
    labelled: BTreeMap<CounterKey, u64>,
    deliveries: HashMap<MessageKey, Delivered>,
    coverage: HashMap<u32, Coverage>,
    coverage_entries: usize,
    uncovered: u64,
    examples: Examples,
}

/// The deliveries of one message.
#[derive(Debug, Default)]
struct Delivered {
    micros: Vec<u64>,
    /// Of those that were recorded together: microseconds, and how many.
    many: Vec<(u64, u64)>,
    place: Option<Place>,
}

/// A page that was taken out, and all that is needed to make an interval of it without its recorder.
#[derive(Debug)]
struct Taken {
    slots: usize,
    page: Page,
    gauges: BTreeMap<GaugeKey, i64>,
    start: Timestamp,
    end: Timestamp,
    channels: Arc<Vec<Arc<str>>>,
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
        let Self { slots, page, gauges, start, end, channels } = self;
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
        let mut coverage = page.coverage;
        let receipts = page.deliveries.into_iter().map(|(message, Delivered { micros, many, place })| {
            if let Some(Place { channel, number, sent }) = place {
                coverage.entry(channel).or_default().messages.insert(number, Named { message, sent });
            }
            let mut receipt = Receipt::of(micros, &shape);
            if !many.is_empty() {
                receipt.merge(&Receipt::of_many(many, &shape));
            }
            (message, receipt)
        });
        let receipts = receipts.collect();
        let named = |(number, of): (u32, Coverage)| Some((channels.get(number as usize)?.to_string(), of));
        Interval {
            start: Some(start),
            end: Some(end),
            histograms: histograms.collect(),
            counters,
            gauges,
            receipts,
            coverage: coverage.into_iter().filter(|(_, of)| !of.is_empty()).filter_map(named).collect(),
            uncovered: page.uncovered,
            examples: page.examples,
        }
    }
}

impl Recorder {
    /// A recorder for a scenario with `cohorts` cohorts, whose first interval starts at `now`.
    pub fn new(cohorts: usize, now: Timestamp) -> Self {
        let slots = cohorts + 1;
        Self {
            slots,
            page: Page::new(slots),
            gauges: BTreeMap::new(),
            started: now,
            channels: Arc::default(),
            examples_left: [EXAMPLES_MAX; Mishap::ALL.len()],
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
        self.record_n(series, micros, 1);
    }

    /// Records the same duration `n` times.
    pub fn record_n(&mut self, series: impl Into<Series>, micros: i64, n: u64) {
        let Series { metric, cohort } = series.into();
        let slot = self.slot(metric.id(), cohort);
        if micros < 0 {
            self.count(Counter::Negative, cohort, n);
        } else if micros.unsigned_abs() > MAX_MICROS {
            self.count(Counter::Saturated, cohort, n);
        }
        self.page.histograms[slot].get_or_insert_default().record_n(micros.max(0).unsigned_abs(), n);
    }

    /// Records the delivery of one message to one user: its latency from due and from sent, and its receipt; where the
    /// message stands in its channel, if that is known.
    pub fn record_delivery(
        &mut self,
        message: MessageKey,
        place: Option<Place>,
        cohort: Cohort,
        since_due: i64,
        since_sent: i64,
    ) {
        self.record(Series { metric: Metric::Delivery, cohort: Some(cohort) }, since_due);
        self.record(Series { metric: Metric::DeliveryService, cohort: Some(cohort) }, since_sent);
        let delivered =
            self.page.deliveries.entry(message).or_insert_with(|| Delivered { place, ..Delivered::default() });
        delivered.micros.push(since_due.max(0).unsigned_abs());
    }

    /// Records the deliveries of one message to many users at once: how many had it so long after it was due, in
    /// microseconds; it was sent `late` after that. The same as [`Recorder::record_delivery`] for each of them.
    pub fn record_deliveries(
        &mut self,
        message: MessageKey,
        place: Option<Place>,
        cohort: Cohort,
        received: &[(u64, u64)],
        late: u64,
    ) {
        let signed = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        for &(micros, n) in received {
            self.record_n(Series { metric: Metric::Delivery, cohort: Some(cohort) }, signed(micros), n);
            let service = signed(micros) - signed(late);
            self.record_n(Series { metric: Metric::DeliveryService, cohort: Some(cohort) }, service, n);
        }
        let delivered =
            self.page.deliveries.entry(message).or_insert_with(|| Delivered { place, ..Delivered::default() });
        delivered.many.extend_from_slice(received);
    }

    /// Tells the name of the channel that goes by this number; numbers are given out from 0 on, without a gap.
    pub fn channel(&mut self, number: u32, name: &str) {
        debug_assert!(number as usize <= self.channels.len(), "channel {number} comes too early");
        if number as usize == self.channels.len() {
            Arc::make_mut(&mut self.channels).push(name.into());
        }
    }

    /// What the events `first` to `last` of a channel were to a user.
    pub fn cover(&mut self, channel: u32, covered: Covered, first: u64, last: u64) {
        let page = &mut self.page;
        if page.coverage_entries >= COVERAGE_MAX {
            page.uncovered += 1;
            return;
        }
        let of = page.coverage.entry(channel).or_default();
        let (steps, n) = match covered {
            Covered::Watched => (&mut of.watched, 1),
            Covered::Missed => (&mut of.missed, 1),
            Covered::Recovered => (&mut of.aside, 1),
            Covered::Outside => (&mut of.aside, -1),
        };
        let before = steps.len();
        steps.add(first, last, n);
        page.coverage_entries = (page.coverage_entries + steps.len()).saturating_sub(before);
    }

    /// Something went wrong for a user: one example, of which the first few are kept. `at` is in run time.
    pub fn example(&mut self, mishap: Mishap, at: Timestamp, user: u64, channel: u32, (first, last): (u64, u64)) {
        let left = &mut self.examples_left[mishap as usize];
        let Some(name) = self.channels.get(channel as usize).filter(|_| *left > 0) else { return };
        *left -= 1;
        self.page.examples.add(mishap, Example { at, user, channel: name.to_string(), first, last });
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
        let channels = Arc::clone(&self.channels);
        Taken { slots: self.slots, page, gauges: self.gauges.clone(), start, end: now, channels }
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
        r.record_delivery(MessageKey::new(0, 9), None, 0, 70, 60);
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
    fn many_deliveries_at_once_are_the_same_as_one_by_one() {
        let key = MessageKey::new(3, 5);
        let mut one_by_one = Recorder::new(1, Timestamp::default());
        let mut at_once = Recorder::new(1, Timestamp::default());
        let received = [(90_000, 2), (70, 3), (70_001, 1)];
        for (micros, n) in received {
            for _ in 0..n {
                one_by_one.record_delivery(key, None, 0, micros as i64, micros as i64 - 60);
            }
        }
        at_once.record_deliveries(key, None, 0, &received[..2], 60);
        at_once.record_deliveries(key, None, 0, &received[2..], 60);
        assert_eq!(one_by_one.take(Timestamp::default()), at_once.take(Timestamp::default()));
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
