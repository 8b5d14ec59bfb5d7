//! A run over time: what was measured in each second, packed, for a run of any length.

use std::sync::Arc;
use std::time::Duration;

use measure::Interval;

use crate::slot::Slot;

/// Most slots that are kept. A longer run gets slots of 2, 4, 8, … seconds, so that it needs no more memory.
const SLOTS_MAX: usize = 3_600;

/// An interval that ends so little before a whole second, as by an estimate of the clocks that moved, completes it.
const EARLY_S: f64 = 0.1;

/// The newest slots stay unpacked, because that is where intervals arrive.
const UNPACKED: usize = 4;

/// All slots of a run, from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    width_s: u32,
    most: usize,
    /// Shared with snapshots, which cost no copy so.
    slots: Vec<Arc<Slot>>,
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
        self.slots.iter().map(AsRef::as_ref)
    }

    /// Forgets all slots that begin at this second or later.
    pub(crate) fn truncate(&mut self, second: u32) {
        self.slots.truncate((second / self.width_s) as usize);
    }

    /// The slot that this second of the run lies in.
    pub(crate) fn at(&self, second: u32) -> Option<&Slot> {
        self.slots.get((second / self.width_s) as usize).map(AsRef::as_ref)
    }

    /// The slot that this second lies in, made if there is none.
    pub(crate) fn at_mut(&mut self, second: u32) -> &mut Slot {
        while (second / self.width_s) as usize >= self.most {
            self.widen();
        }
        let index = (second / self.width_s) as usize;
        if index >= self.slots.len() {
            let packed_before = self.slots.len().saturating_sub(UNPACKED);
            self.slots.resize_with(index + 1, Arc::default);
            let pack_before = self.slots.len().saturating_sub(UNPACKED);
            self.slots[packed_before..pack_before].iter_mut().for_each(|slot| Arc::make_mut(slot).pack());
        }
        Arc::make_mut(&mut self.slots[index])
    }

    /// Adds an interval: its samples and counts to the second in which its middle lies, its levels to each second that
    /// it spans.
    pub(crate) fn add(&mut self, source: usize, span: Span, interval: &Interval) {
        self.at_mut(span.middle).add(interval);
        if !interval.gauges.is_empty() {
            for second in span.first..=span.last.max(span.first) {
                self.at_mut(second).set(source, &interval.gauges);
            }
        }
        let packed = self.slots.len().saturating_sub(UNPACKED);
        if let Some(old) = self.slots[..packed].get_mut((span.middle / self.width_s) as usize) {
            Arc::make_mut(old).pack();
        }
    }

    fn widen(&mut self) {
        self.width_s *= 2;
        let mut old = std::mem::take(&mut self.slots).into_iter();
        while let Some(mut slot) = old.next() {
            if let Some(next) = old.next() {
                Arc::make_mut(&mut slot).absorb(Arc::unwrap_or_clone(next));
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
    use measure::{Counter, Gauge, Metric};

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
