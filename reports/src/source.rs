//! One source of a run: what it is, what came from it, and what it says that it sent.

use std::collections::BTreeSet;

use measure::{Histogram, Interval, Metric};
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
    /// Intervals that came but could not be read.
    pub damaged: u64,
    /// Its own account.
    pub goodbye: Option<Goodbye>,
    /// Its `lag`.
    pub lag: Histogram,
    /// Its `loop_delay`.
    pub loop_delay: Histogram,
    /// Seconds of the run that it has shipped: all before this one.
    pub covered: u32,
    /// How well its clock was known meanwhile.
    pub bounds: Bounds,
}

impl Source {
    /// A source that has not said anything yet.
    pub(crate) fn named(name: &str) -> Self {
        Self { hello: SourceHello { source: name.to_owned(), ..SourceHello::default() }, ..Self::default() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.hello.source
    }

    /// Takes note of an interval that the run merges.
    pub(crate) fn add(&mut self, sequence: u64, span: Span, interval: &Interval) {
        self.stored.insert(sequence);
        self.samples += interval.samples();
        self.counts += interval.counters.values().sum::<u64>();
        self.covered = self.covered.max(span.covered);
        self.bounds.add(interval);
        for (series, histogram) in &interval.histograms {
            match series.metric {
                Metric::Lag => self.lag.merge(histogram),
                Metric::LoopDelay => self.loop_delay.merge(histogram),
                _ => {}
            }
        }
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
    fn what_did_not_come_is_missing() {
        let mut source = Source::named("w");
        [1, 2, 4].into_iter().for_each(|n| source.add(n, Span::default(), &Interval::default()));
        assert_eq!(source.missing(), 1);
        source.goodbye = Some(Goodbye { last_sequence: 6, ..Goodbye::default() });
        assert_eq!(source.missing(), 3);
    }
}
