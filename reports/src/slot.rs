//! One slot of time of a run: what was measured in it, packed when it is old.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use measure::{Cohort, CounterKey, Gauge, GaugeKey, Histogram, Interval, Metric, Series};

use crate::glance::Glance;

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
    /// What the run over time shows of it, once somebody asked; unpacking all of a long run for each look at it would
    /// take seconds.
    glance: OnceLock<Glance>,
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

    /// One level of one source, of one cohort.
    pub(crate) fn cohort_level(&self, source: usize, gauge: Gauge, cohort: Cohort) -> Option<i64> {
        self.levels.get(&source)?.get(&GaugeKey { gauge, cohort: Some(cohort) }).copied()
    }

    /// Adds one sample of what the data plane derives itself.
    pub(crate) fn record(&mut self, metric: Metric, micros: u64) {
        self.entry(metric.into()).record(micros);
    }

    /// What the run over time shows of it.
    pub(crate) fn glance(&self) -> &Glance {
        self.glance.get_or_init(|| Glance::of(self))
    }

    /// Sets the levels of a source.
    pub(crate) fn set(&mut self, source: usize, levels: &BTreeMap<GaugeKey, i64>) {
        self.levels.entry(source).or_default().extend(levels.iter().map(|(k, v)| (*k, *v)));
    }

    fn entry(&mut self, series: Series) -> &mut Histogram {
        self.glance.take();
        self.histograms.entry(series).or_insert_with(|| Packable::Open(Box::default())).open()
    }

    /// Adds the samples and counts of an interval.
    pub(crate) fn add(&mut self, interval: &Interval) {
        for (series, histogram) in &interval.histograms {
            self.entry(*series).merge(histogram);
        }
        for (key, count) in &interval.counters {
            *self.counters.entry(key.clone()).or_default() += count;
        }
    }

    /// Adds the slot that follows; its levels are newer and so replace ours.
    pub(crate) fn absorb(&mut self, next: Self) {
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

    /// Packs its histograms.
    pub(crate) fn pack(&mut self) {
        self.histograms.values_mut().for_each(Packable::pack);
    }
}
