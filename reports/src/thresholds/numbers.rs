//! What a threshold is about, added up. Percentiles come from merged histograms and from nothing else.

use measure::{Cohort, CounterKey, Histogram, Interval, Series};
use scenarios::model::{Aggregate, Subject, Threshold};

use crate::slot::Slot;

/// What some thresholds judge: a latency or a count, of everybody or of one cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What.
    pub subject: Subject,
    /// Whose.
    pub cohort: Option<Cohort>,
}

impl Judged {
    /// What this threshold judges.
    pub(crate) fn by(threshold: &Threshold) -> Self {
        Self { subject: threshold.subject, cohort: threshold.cohort }
    }

    fn series(self, series: Series) -> bool {
        self.subject == Subject::Metric(series.metric) && self.cohort.is_none_or(|c| series.cohort == Some(c))
    }

    fn counter(self, key: &CounterKey) -> bool {
        self.subject == Subject::Counter(key.counter) && self.cohort.is_none_or(|c| key.cohort == Some(c))
    }

    /// Its part of an interval.
    pub(crate) fn of(self, interval: &Interval) -> Numbers {
        let mut numbers = Numbers::default();
        for (_, histogram) in interval.histograms.iter().filter(|(s, _)| self.series(**s)) {
            numbers.merge(histogram);
        }
        numbers.count = interval.counters.iter().filter(|(k, _)| self.counter(k)).map(|(_, n)| n).sum();
        numbers
    }

    /// Its part of a slot.
    pub(crate) fn in_slot(self, slot: &Slot) -> Numbers {
        let mut numbers = Numbers::default();
        for histogram in slot.series().filter(|s| self.series(*s)).filter_map(|s| slot.histogram(s)) {
            numbers.merge(&histogram);
        }
        numbers.count = slot.counters().iter().filter(|(k, _)| self.counter(k)).map(|(_, n)| n).sum();
        numbers
    }
}

/// A sum of what is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    histogram: Option<Box<Histogram>>,
    count: u64,
}

impl Numbers {
    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.histogram.is_none() && self.count == 0
    }

    /// Adds samples.
    pub(crate) fn merge(&mut self, histogram: &Histogram) {
        self.histogram.get_or_insert_default().merge(histogram);
    }

    /// Adds one sample.
    pub(crate) fn record(&mut self, micros: u64) {
        self.histogram.get_or_insert_default().record(micros);
    }

    /// Adds another sum.
    pub(crate) fn add(&mut self, other: &Self) {
        if let Some(histogram) = &other.histogram {
            self.merge(histogram);
        }
        self.count += other.count;
    }

    /// The number that a threshold asks about, over `seconds`; `None` where there is none.
    pub(crate) fn aggregate(&self, threshold: &Threshold, seconds: f64) -> Option<f64> {
        let samples = self.histogram.as_ref().map_or(0, |h| h.count());
        let count = match threshold.subject {
            Subject::Metric(_) => samples,
            Subject::Counter(_) => self.count,
        };
        match threshold.aggregate {
            Aggregate::Count => return Some(count as f64),
            Aggregate::Rate => return (seconds > 0.0).then(|| count as f64 / seconds),
            _ => {}
        }
        let histogram = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(match threshold.aggregate {
            Aggregate::Percentile(p) => histogram.quantile(p / 100.0) as f64,
            Aggregate::Mean => histogram.mean(),
            Aggregate::Min => histogram.min() as f64,
            Aggregate::Max | Aggregate::Count | Aggregate::Rate => histogram.max() as f64,
        })
    }

    /// The same in little memory.
    pub(super) fn packed(&self) -> Packed {
        let values = self.histogram.iter().flat_map(|h| h.values());
        // No value is above the histogram's 60 s.
        Packed { values: values.map(|(micros, n)| (micros as u32, n)).collect(), count: self.count }
    }

    /// Adds what was packed; exact, since each value stands for its counter.
    pub(super) fn add_packed(&mut self, packed: &Packed) {
        if !packed.values.is_empty() {
            let histogram = self.histogram.get_or_insert_default();
            packed.values.iter().for_each(|(micros, n)| histogram.record_n(u64::from(*micros), *n));
        }
        self.count += packed.count;
    }
}

/// Numbers as the values that occur: some hundreds of them, where a histogram has 17,408 counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Packed {
    values: Box<[(u32, u64)]>,
    count: u64,
}
