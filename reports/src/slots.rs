//! A run over time: what was measured in each second, packed, for a run of any length.

use std::collections::BTreeMap;
use std::time::Duration;

use measure::{CounterKey, Gauge, GaugeKey, Histogram, Interval, Metric, Series};

/// Most slots that are kept. A longer run gets slots of 2, 4, 8, … seconds, so that it needs no more memory.
const SLOTS_MAX: usize = 3_600;

/// An interval that ends so little before a whole second, as by an estimate of the clocks that moved, completes it.
const EARLY_S: f64 = 0.1;

/// The newest slots stay unpacked, because that is where intervals arrive.
const UNPACKED: usize = 4;

/// A histogram that may be packed: 136 KiB when it is not, a few KiB when it is.
#[derive(Clone, Debug)]
enum Packable {
    Open(Box<Histogram>),
    Packed(Vec<u8>),
}

impl Packable {
    fn histogram(&self) -> Histogram {
        match self {
            Self::Open(h) => h.as_ref().clone(),
            Self::Packed(bytes) => Histogram::decode(bytes).expect("we packed it ourselves"),
        }
    }

    fn open(&mut self) -> &mut Histogram {
        if let Self::Packed(_) = self {
            *self = Self::Open(Box::new(self.histogram()));
        }
        match self {
            Self::Open(h) => h,
            Self::Packed(_) => unreachable!("it was opened above"),
        }
    }

    fn pack(&mut self) {
        if let Self::Open(h) = self {
            *self = Self::Packed(h.encode());
        }
    }
}

/// What was measured in one slot of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    histograms: BTreeMap<Series, Packable>,
    counters: BTreeMap<CounterKey, u64>,
    /// Levels by source.
    levels: BTreeMap<usize, BTreeMap<GaugeKey, i64>>,
}

impl Slot {
    /// The series that have samples.
    pub(crate) fn series(&self) -> impl Iterator<Item = Series> + '_ {
        self.histograms.keys().copied()
    }

    /// One series.
    pub(crate) fn histogram(&self, series: Series) -> Option<Histogram> {
        self.histograms.get(&series).map(Packable::histogram)
    }

    /// One metric over all cohorts; `None` without a sample.
    pub(crate) fn metric(&self, metric: Metric) -> Option<Histogram> {
        let mut parts = self.histograms.iter().filter(|(s, _)| s.metric == metric).map(|(_, h)| h);
        let mut sum = parts.next()?.histogram();
        parts.for_each(|h| sum.merge(&h.histogram()));
        Some(sum)
    }

    /// The counts.
    pub(crate) fn counters(&self) -> &BTreeMap<CounterKey, u64> {
        &self.counters
    }

    /// One level of one source, over all cohorts.
    pub(crate) fn level(&self, source: usize, gauge: Gauge) -> Option<i64> {
        let levels = self.levels.get(&source)?;
        let mut of_gauge = levels.iter().filter(|(k, _)| k.gauge == gauge).map(|(_, v)| *v).peekable();
        of_gauge.peek()?;
        Some(of_gauge.sum())
    }

    /// Adds one sample of what the data plane derives itself.
    pub(crate) fn record(&mut self, metric: Metric, micros: u64) {
        self.entry(metric.into()).record(micros);
    }

    fn entry(&mut self, series: Series) -> &mut Histogram {
        self.histograms.entry(series).or_insert_with(|| Packable::Open(Box::default())).open()
    }

    fn add(&mut self, interval: &Interval) {
        for (series, histogram) in &interval.histograms {
            self.entry(*series).merge(histogram);
        }
        for (key, count) in &interval.counters {
            *self.counters.entry(key.clone()).or_default() += count;
        }
    }

    /// Adds the slot that follows; its levels are newer and so replace ours.
    fn absorb(&mut self, next: Self) {
        for (series, histogram) in next.histograms {
            self.entry(series).merge(&histogram.histogram());
        }
        for (key, count) in next.counters {
            *self.counters.entry(key).or_default() += count;
        }
        for (source, levels) in next.levels {
            self.levels.entry(source).or_default().extend(levels);
        }
        self.pack();
    }

    fn pack(&mut self) {
        self.histograms.values_mut().for_each(Packable::pack);
    }
}

/// All slots of a run, from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    width_s: u32,
    most: usize,
    slots: Vec<Slot>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { width_s: 1, most: SLOTS_MAX, slots: Vec::new() }
    }
}

impl Slots {
    /// Seconds that a slot is long.
    pub(crate) fn width_s(&self) -> u32 {
        self.width_s
    }

    /// The slots, in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Slot> + ExactSizeIterator {
        self.slots.iter()
    }

    /// The slot that this second of the run lies in.
    pub(crate) fn at(&self, second: u32) -> Option<&Slot> {
        self.slots.get((second / self.width_s) as usize)
    }

    /// The slot that this second lies in, made if there is none.
    pub(crate) fn at_mut(&mut self, second: u32) -> &mut Slot {
        while (second / self.width_s) as usize >= self.most {
            self.widen();
        }
        let index = (second / self.width_s) as usize;
        if index >= self.slots.len() {
            let packed_before = self.slots.len().saturating_sub(UNPACKED);
            self.slots.resize_with(index + 1, Slot::default);
            let pack_before = self.slots.len().saturating_sub(UNPACKED);
            self.slots[packed_before..pack_before].iter_mut().for_each(Slot::pack);
        }
        &mut self.slots[index]
    }

    /// Adds an interval: its samples and counts to the second in which its middle lies, its levels to each second that
    /// it spans.
    pub(crate) fn add(&mut self, source: usize, span: Span, interval: &Interval) {
        self.at_mut(span.middle).add(interval);
        if !interval.gauges.is_empty() {
            for second in span.first..=span.last.max(span.first) {
                let levels = self.at_mut(second).levels.entry(source).or_default();
                levels.extend(interval.gauges.iter().map(|(k, v)| (*k, *v)));
            }
        }
        let packed = self.slots.len().saturating_sub(UNPACKED);
        if let Some(old) = self.slots[..packed].get_mut((span.middle / self.width_s) as usize) {
            old.pack();
        }
    }

    fn widen(&mut self) {
        self.width_s *= 2;
        let mut old = std::mem::take(&mut self.slots).into_iter();
        while let Some(mut slot) = old.next() {
            if let Some(next) = old.next() {
                slot.absorb(next);
            }
            self.slots.push(slot);
        }
    }
}

/// The seconds of a run that an interval is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The second that its start is nearest to.
    pub first: u32,
    /// The last second that it spans.
    pub last: u32,
    /// The second that its middle lies in.
    pub middle: u32,
    /// Seconds of the run that are complete with it.
    pub covered: u32,
}

impl Span {
    /// The span of `[from, to)`, both since the run's start.
    pub(crate) fn new(from: Duration, to: Duration) -> Self {
        let seconds = |s: f64| s.clamp(0.0, f64::from(u32::MAX)) as u32;
        let middle = seconds(f64::midpoint(from.as_secs_f64(), to.as_secs_f64()));
        let (first, covered) = (seconds(from.as_secs_f64().round()), seconds(to.as_secs_f64() + EARLY_S));
        let first = first.min(middle);
        Self { first, last: covered.saturating_sub(1).max(middle), middle, covered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Counter;

    fn interval(micros: u64, users: i64) -> Interval {
        let mut i = Interval::default();
        i.histograms.entry(Metric::Send.into()).or_default().record(micros);
        i.counters.insert(Counter::Sent.into(), 1);
        i.gauges.insert(Gauge::UsersConnected.into(), users);
        i
    }

    fn second(s: u32) -> Span {
        Span::new(Duration::from_secs(s.into()), Duration::from_secs((s + 1).into()))
    }

    #[test]
    fn an_interval_taken_a_little_late_is_of_its_second() {
        let span = |from: u64, to: u64| {
            let s = Span::new(Duration::from_millis(from), Duration::from_millis(to));
            (s.first, s.middle, s.last, s.covered)
        };
        assert_eq!(span(3, 1_004), (0, 0, 0, 1));
        assert_eq!(span(4_003, 5_001), (4, 4, 4, 5));
        assert_eq!(span(4_003, 4_500), (4, 4, 4, 4), "a last, partial second");
        assert_eq!(span(2_000, 7_000), (2, 4, 6, 7), "one that spans an outage");
    }

    #[test]
    fn an_old_second_can_still_grow() {
        let mut slots = Slots::default();
        (0..20).for_each(|s| slots.add(0, second(s), &interval(100, 5)));
        slots.add(1, second(3), &interval(900, 7));
        let slot = slots.at(3).unwrap();
        assert_eq!(slot.metric(Metric::Send).unwrap().count(), 2);
        assert_eq!((slot.level(0, Gauge::UsersConnected), slot.level(1, Gauge::UsersConnected)), (Some(5), Some(7)));
        assert_eq!(slot.level(2, Gauge::UsersConnected), None);
    }

    #[test]
    fn a_run_of_hours_keeps_every_sample_in_wider_slots() {
        let mut slots = Slots { most: 40, ..Slots::default() };
        (0..100).for_each(|s| slots.add(0, second(s), &interval(100, i64::from(s))));
        assert_eq!((slots.width_s(), slots.iter().len()), (4, 25));
        assert_eq!(slots.iter().map(|s| s.metric(Metric::Send).unwrap().count()).sum::<u64>(), 100);
        assert_eq!(slots.at(99).unwrap().level(0, Gauge::UsersConnected), Some(99), "the newest level counts");
    }
}
