//! One source of a run: what it is, what came from it, and what it says that it sent.

use std::collections::{BTreeMap, BTreeSet};

use measure::{Counter, Histogram, Interval, Metric};
use proto::telemetry::{Goodbye, SourceHello};

use crate::clocks::Bounds;
use crate::slots::Span;

/// A source of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// How it named itself; only `source` is set before it has.
    pub hello: SourceHello,
    /// Users of its shard.
    pub users_planned: u64,
    /// Whether the run can't close before it has said goodbye.
    pub expected: bool,
    /// Which of its intervals are stored.
    pub stored: Sequences,
    /// Samples in what is stored.
    pub samples: u64,
    /// The sum of all counters in what is stored.
    pub counts: u64,
    /// The same, one by one: samples by the metric's name, counts by the counter's.
    pub by_name: BTreeMap<String, u64>,
    /// Intervals that came but could not be read.
    pub damaged: u64,
    /// Its own account.
    pub goodbye: Option<Goodbye>,
    /// Its `lag`.
    pub lag: Histogram,
    /// Its `loop_delay`.
    pub loop_delay: Histogram,
    /// Actions that fell due on it.
    pub due: u64,
    /// Of these, the ones that it did not start.
    pub dropped: u64,
    /// Connections and calls that failed because its host had no port, or it no file, left for them.
    pub starved: u64,
    /// Seconds of the run that it has shipped: all before this one.
    pub covered: u32,
    /// How well its clock was known meanwhile.
    pub bounds: Bounds,
}

/// How a client says that it is its own side that has nothing left.
const STARVED: [&str; 2] = ["no local port left", "no file descriptor left"];

impl Source {
    /// A source that has not said anything yet.
    pub(crate) fn named(name: &str) -> Self {
        Self { hello: SourceHello { source: name.to_owned(), ..SourceHello::default() }, ..Self::default() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.hello.source
    }

    /// Whether it generates load; of one that never said what it is, by its name.
    pub(crate) fn is_worker(&self) -> bool {
        match self.hello.kind.as_str() {
            "" => self.name().split('-').next() == Some("worker"),
            kind => kind == "worker",
        }
    }

    /// Takes note of an interval that the run merges.
    pub(crate) fn add(&mut self, sequence: u64, span: Span, interval: &Interval) {
        self.stored.insert(sequence);
        self.samples += interval.samples();
        self.counts += interval.counters.values().sum::<u64>();
        self.covered = self.covered.max(span.covered);
        self.bounds.add(interval);
        for (key, count) in &interval.counters {
            *self.by_name.entry(key.counter.to_string()).or_default() += count;
            match key.counter {
                Counter::Due => self.due += count,
                Counter::Dropped => self.dropped += count,
                Counter::Errors if STARVED.iter().any(|kind| key.label.ends_with(kind)) => self.starved += count,
                _ => {}
            }
        }
        for (series, histogram) in &interval.histograms {
            *self.by_name.entry(series.metric.to_string()).or_default() += histogram.count();
            match series.metric {
                Metric::Lag => self.lag.merge(histogram),
                Metric::LoopDelay => self.loop_delay.merge(histogram),
                _ => {}
            }
        }
    }

    /// Whether it recorded what is here, as it says itself, one by one.
    pub(crate) fn agrees(&self, goodbye: &Goodbye) -> bool {
        let Goodbye { samples_by_metric, counts_by_counter, .. } = goodbye;
        let recorded: BTreeMap<_, _> =
            samples_by_metric.iter().chain(counts_by_counter).filter(|(_, n)| **n > 0).collect();
        // Of a source that gives its sums alone, these must do.
        let one_by_one = samples_by_metric.is_empty() && counts_by_counter.is_empty()
            || recorded.into_iter().eq(self.by_name.iter().filter(|(_, n)| **n > 0));
        one_by_one && self.samples == goodbye.samples && self.counts == goodbye.counts
    }

    /// Intervals that it sent, as far as it is known, and that are not here.
    pub(crate) fn missing(&self) -> u64 {
        let sent = self.goodbye.as_ref().map_or(0, |g| g.last_sequence).max(self.stored.last());
        sent - self.stored.len() + self.damaged
    }
}

/// A set of interval numbers: dense from 1 on, but for what may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    /// All from 1 to this one are in.
    dense: u64,
    beyond: BTreeSet<u64>,
}

impl Sequences {
    /// Whether it is in.
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        sequence <= self.dense || self.beyond.contains(&sequence)
    }

    /// Puts one in; whether it is new.
    pub(crate) fn insert(&mut self, sequence: u64) -> bool {
        if self.contains(sequence) {
            return false;
        }
        self.beyond.insert(sequence);
        while self.beyond.first() == Some(&(self.dense + 1)) {
            self.beyond.pop_first();
            self.dense += 1;
        }
        true
    }

    /// How many are in.
    pub(crate) fn len(&self) -> u64 {
        self.dense + self.beyond.len() as u64
    }

    /// The largest; 0 when there is none.
    pub(crate) fn last(&self) -> u64 {
        self.beyond.last().copied().unwrap_or(self.dense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_once_in_any_order() {
        let mut s = Sequences::default();
        assert!([2, 1, 5].into_iter().all(|n| s.insert(n)));
        assert!(![2, 1, 5, 0].into_iter().any(|n| s.insert(n)));
        assert_eq!((s.len(), s.last(), s.dense), (3, 5, 2));
        assert!(s.insert(3) && s.insert(4));
        assert_eq!((s.dense, s.beyond.len()), (5, 0));
    }

    #[test]
    fn sums_that_agree_are_not_enough() {
        let mut source = Source::named("w");
        let mut interval = Interval::default();
        interval.histograms.entry(Metric::Send.into()).or_default().record_n(5, 3);
        interval.counters.insert(Counter::Sent.into(), 2);
        source.add(1, Span::default(), &interval);
        let mut goodbye = Goodbye { samples: 3, counts: 2, ..Goodbye::default() };
        assert!(source.agrees(&goodbye), "sums alone are all that there is");
        goodbye.samples_by_metric.insert("send".to_owned(), 3);
        goodbye.counts_by_counter.insert("sent".to_owned(), 2);
        assert!(source.agrees(&goodbye));
        goodbye.samples_by_metric = [("send".to_owned(), 2), ("lag".to_owned(), 1)].into();
        assert!(!source.agrees(&goodbye), "one sample went to another metric");
    }

    #[test]
    fn what_did_not_come_is_missing() {
        let mut source = Source::named("w");
        [1, 2, 4].into_iter().for_each(|n| source.add(n, Span::default(), &Interval::default()));
        assert_eq!(source.missing(), 1);
        source.goodbye = Some(Goodbye { last_sequence: 6, ..Goodbye::default() });
        assert_eq!(source.missing(), 3);
    }
}
