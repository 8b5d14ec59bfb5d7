//! The first few events that were lost, repeated or out of order, one by one: counts say how many, examples say which.

use crate::clock::Timestamp;

/// Examples of each kind that are kept, by whoever records, ships, or merges.
pub const EXAMPLES_MAX: usize = 10;

/// What went wrong with an event on its way to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mishap {
    /// It never came.
    Lost,
    /// It came again.
    Duplicated,
    /// It came after a later one.
    Reordered,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lost, Self::Duplicated, Self::Reordered];
}

/// One event, or a stretch of them, that went wrong for one user. They are ordered by time, then user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example {
    /// When it was found out, in run time: when the repeated or late event came; when the visit that lacks it ended.
    pub at: Timestamp,
    /// The user, by its number over the whole run.
    pub user: u64,
    /// The channel, `type:id`.
    pub channel: String,
    /// The event's number in the channel.
    pub first: u64,
    /// Of a stretch of lost ones, the last number; of a late one, the highest number that had come before it; else the
    /// same as `first`.
    pub last: u64,
}

/// The first examples of each kind. Merging keeps the first of both, so neither order nor grouping changes the outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples([Vec<Example>; 3]);

impl Examples {
    /// Takes one more; the last one goes if there are too many.
    pub fn add(&mut self, mishap: Mishap, example: Example) {
        let kept = &mut self.0[mishap as usize];
        let place = kept.partition_point(|known| *known <= example);
        if place < EXAMPLES_MAX {
            kept.insert(place, example);
            kept.truncate(EXAMPLES_MAX);
        }
    }

    /// Those of one kind, first to last.
    pub fn of(&self, mishap: Mishap) -> &[Example] {
        &self.0[mishap as usize]
    }

    /// Takes those of somebody else.
    pub fn merge(&mut self, other: &Self) {
        for mishap in Mishap::ALL {
            other.of(mishap).iter().for_each(|example| self.add(mishap, example.clone()));
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_and_kinds_apart() {
        let mut examples = Examples::default();
        let example = |at: u64| Example {
            at: Timestamp::from_nanos(at),
            user: at % 3,
            channel: "messaging:den".into(),
            first: at,
            last: at,
        };
        (0..30).rev().for_each(|at| examples.add(Mishap::Lost, example(at)));
        examples.add(Mishap::Reordered, example(99));
        let numbers: Vec<u64> = examples.of(Mishap::Lost).iter().map(|e| e.first).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert_eq!((examples.of(Mishap::Duplicated).len(), examples.of(Mishap::Reordered).len()), (0, 1));
    }
}
