//! The frozen second of a recorder, and the merge that is the only aggregation there is.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::coverage::Coverage;
use crate::example::Examples;
use crate::histogram::Histogram;
use crate::metric::{Cohort, Counter, Gauge, Series};
use crate::receipt::{MessageKey, Receipt};

/// What a count is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// What is counted.
    pub counter: Counter,
    /// The cohort it was counted on, where it belongs to one.
    pub cohort: Option<Cohort>,
    /// The kind, where one counter has many (errors); empty otherwise.
    pub label: String,
}

impl From<Counter> for CounterKey {
    fn from(counter: Counter) -> Self {
        Self { counter, cohort: None, label: String::new() }
    }
}

/// What a level is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GaugeKey {
    /// What is measured.
    pub gauge: Gauge,
    /// The cohort it was measured on, where it belongs to one.
    pub cohort: Option<Cohort>,
}

impl From<Gauge> for GaugeKey {
    fn from(gauge: Gauge) -> Self {
        Self { gauge, cohort: None }
    }
}

/// A window of measurements: everything that was recorded in `[start, end)`.
///
/// `merge` is associative and commutative, and `Interval::default()` is its identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// When the window began; the earliest of those merged. `None` only for the empty interval.
    pub start: Option<Timestamp>,
    /// When it ended; the latest of those merged.
    pub end: Option<Timestamp>,
    /// Latency distributions.
    pub histograms: BTreeMap<Series, Histogram>,
    /// Counts.
    pub counters: BTreeMap<CounterKey, u64>,
    /// Levels at `end`. They add up over sources of the same window, not over time.
    pub gauges: BTreeMap<GaugeKey, i64>,
    /// Deliveries by message.
    pub receipts: BTreeMap<MessageKey, Receipt>,
    /// What visits that ended covered and lacked, by channel (`type:id`) and event.
    pub coverage: BTreeMap<String, Coverage>,
    /// Entries of coverage that there was no room for: with any of them, the rest is not the whole.
    pub uncovered: u64,
    /// The first events that were lost, repeated or out of order.
    pub examples: Examples,
}

impl Interval {
    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.start = self.start.into_iter().chain(other.start).min();
        self.end = self.end.into_iter().chain(other.end).max();
        for (series, histogram) in &other.histograms {
            self.histograms.entry(*series).or_default().merge(histogram);
        }
        for (key, count) in &other.counters {
            *self.counters.entry(key.clone()).or_default() += count;
        }
        for (key, level) in &other.gauges {
            *self.gauges.entry(*key).or_default() += level;
        }
        for (key, receipt) in &other.receipts {
            self.receipts.entry(*key).or_default().merge(receipt);
        }
        for (channel, coverage) in &other.coverage {
            match self.coverage.get_mut(channel) {
                Some(known) => known.merge(coverage),
                None => drop(self.coverage.insert(channel.clone(), coverage.clone())),
            }
        }
        self.coverage.retain(|_, coverage| !coverage.is_empty());
        self.uncovered = self.uncovered.saturating_add(other.uncovered);
        self.examples.merge(&other.examples);
    }

    /// The count of one counter over all cohorts and labels.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.iter().filter(|(k, _)| k.counter == counter).map(|(_, n)| n).sum()
    }

    /// The level of one gauge, added over cohorts.
    pub fn level(&self, gauge: Gauge) -> i64 {
        self.gauges.iter().filter(|(k, _)| k.gauge == gauge).map(|(_, v)| v).sum()
    }

    /// All samples in all histograms: one side of the conservation law.
    pub fn samples(&self) -> u64 {
        self.histograms.values().map(Histogram::count).sum()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.histograms.is_empty()
            && self.counters.is_empty()
            && self.gauges.is_empty()
            && self.receipts.is_empty()
            && self.coverage.is_empty()
            && self.examples.is_empty()
            && self.uncovered == 0
    }
}
