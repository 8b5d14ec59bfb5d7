//! Who should have had which event of a channel, and who had it: the accounts of users, turned round into one of events.
//!
//! A user's visit covers a range of a channel's event numbers. Each range adds one to all counts in it, which is written
//! down as two steps: up where it begins, down behind its end. Steps add up over users, threads and hosts, in any order,
//! and a million users that watched the same range are two steps.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::receipt::MessageKey;

/// A count for each event number, kept as its changes from one number to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps(BTreeMap<u64, i64>);

impl Steps {
    /// Adds `n` to the counts of the numbers `from` to `to`, both included; nothing where `to` is less than `from`.
    pub fn add(&mut self, from: u64, to: u64, n: i64) {
        if from <= to {
            self.step(from, n);
            if let Some(behind) = to.checked_add(1) {
                self.step(behind, n.wrapping_neg());
            }
        }
    }

    /// Changes all counts from `at` on by `n`. Wraps around, so that no order of additions gives another sum.
    pub(crate) fn step(&mut self, at: u64, n: i64) {
        let change = self.0.entry(at).or_default();
        *change = change.wrapping_add(n);
        if *change == 0 {
            self.0.remove(&at);
        }
    }

    /// Adds all counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(at, n)| self.step(*at, *n));
    }

    /// The changes: (number, by how much), rising.
    pub fn changes(&self) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.0.iter().map(|(at, n)| (*at, *n))
    }

    /// How many changes there are: what it costs to keep and ship.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all counts are zero.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stretches of numbers whose count is the same and not zero: (first, last, count), rising.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64, i64)> + '_ {
        let mut level = 0_i64;
        let ends = self.0.keys().skip(1).map(|next| next - 1).chain(std::iter::once(u64::MAX));
        let runs = self.0.iter().zip(ends).map(move |((from, change), to)| {
            level = level.wrapping_add(*change);
            (*from, to, level)
        });
        runs.filter(|(.., level)| *level != 0)
    }

    /// The sum of all counts: how many (user, event) pairs.
    pub fn total(&self) -> i128 {
        let run = |(from, to, n): (u64, u64, i64)| i128::from(n) * (i128::from(to) - i128::from(from) + 1);
        self.runs().map(run).fold(0, i128::saturating_add)
    }

    /// For reading the counts of rising numbers, each step of the way once.
    pub fn reader(&self) -> Reader<'_> {
        Reader { changes: self.0.iter(), next: None, level: 0, started: false }
    }
}

/// Reads counts of rising numbers.
#[derive(Debug)]
pub struct Reader<'a> {
    changes: std::collections::btree_map::Iter<'a, u64, i64>,
    next: Option<(u64, i64)>,
    level: i64,
    started: bool,
}

impl Reader<'_> {
    /// The count of this number, which must not be less than the one asked for before.
    pub fn at(&mut self, number: u64) -> i64 {
        if !self.started {
            self.started = true;
            self.advance();
        }
        while let Some((at, change)) = self.next
            && at <= number
        {
            self.level = self.level.wrapping_add(change);
            self.advance();
        }
        self.level
    }

    fn advance(&mut self) {
        self.next = self.changes.next().map(|(at, n)| (*at, *n));
    }
}

/// Which of throng's messages an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The message.
    pub message: MessageKey,
    /// When it was sent, in run time.
    pub sent: Timestamp,
}

/// What is known of the events of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Users that should have had each event: their visits covered its number.
    pub watched: Steps,
    /// Of these, the ones that never had it.
    pub missed: Steps,
    /// What receipts don't tell: one more for each user that had the event through `/sync` only, one less for each
    /// receipt of a user that turned out not to be watching.
    pub aside: Steps,
    /// The events that are messages of throng's and that somebody received, by number.
    pub messages: BTreeMap<u64, Named>,
}

impl Coverage {
    /// Adds what somebody else knows.
    pub fn merge(&mut self, other: &Self) {
        self.watched.merge(&other.watched);
        self.missed.merge(&other.missed);
        self.aside.merge(&other.aside);
        for (number, named) in &other.messages {
            // One number is one message; of a service that has two of them the lesser counts, in any order of merging.
            self.messages.entry(*number).and_modify(|known| *known = (*known).min(*named)).or_insert(*named);
        }
    }

    /// What it costs to keep and ship, in entries.
    pub fn len(&self) -> usize {
        self.watched.len() + self.missed.len() + self.aside.len() + self.messages.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_add_up_to_counts() {
        let mut steps = Steps::default();
        steps.add(5, 9, 1);
        steps.add(8, 20, 1);
        steps.add(3, 2, 7);
        assert_eq!(steps.runs().collect::<Vec<_>>(), [(5, 7, 1), (8, 9, 2), (10, 20, 1)]);
        assert_eq!((steps.total(), steps.len()), (18, 4));
        let mut reader = steps.reader();
        assert_eq!([0, 5, 8, 9, 10, 21].map(|n| reader.at(n)), [0, 1, 2, 2, 1, 0]);
        steps.add(5, 9, -1);
        steps.add(8, 20, -1);
        assert!(steps.is_empty(), "what is taken back leaves nothing behind");
    }

    #[test]
    fn the_last_number_of_all_ends_no_run() {
        let mut steps = Steps::default();
        steps.add(u64::MAX - 1, u64::MAX, 2);
        assert_eq!(steps.runs().collect::<Vec<_>>(), [(u64::MAX - 1, u64::MAX, 2)]);
        assert_eq!(steps.total(), 4);
    }
}
