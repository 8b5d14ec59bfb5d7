//! What one user got of one channel, exactly: every number received, as ranges.

use measure::{Covered, Mishap};

/// What a step adds to the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events that the user should have got.
    pub(crate) expected: u64,
    /// Different events that it got, over the socket or recovered.
    pub(crate) delivered: u64,
    /// Events that it should have got and didn't.
    pub(crate) lost: u64,
    /// Events that it got again.
    pub(crate) duplicated: u64,
    /// Events that it got over the socket after a later one.
    pub(crate) reordered: u64,
    /// Of the delivered, those that came through `/sync`.
    pub(crate) recovered: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.recovered += other.recovered;
    }
}

/// What befell a stretch of a channel's events, for the account by event and for examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// What they were to the user.
    Covered(Covered),
    /// What went wrong with them.
    Mishap(Mishap),
}

/// A stretch of a channel's events and what befell it: (what, first, last), both included. Of a late event, `last` is the
/// highest number that had come before it.
pub(crate) type Note = (What, u64, u64);

/// Notes of a step; nearly always there are none, and then this costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    fn covered(&mut self, covered: Covered, first: u64, last: u64) {
        self.0.push((What::Covered(covered), first, last));
    }

    fn mishap(&mut self, mishap: Mishap, first: u64, last: u64) {
        self.0.push((What::Mishap(mishap), first, last));
    }

    fn missed(&mut self, first: u64, last: u64) {
        self.covered(Covered::Missed, first, last);
        self.mishap(Mishap::Lost, first, last);
    }
}

impl IntoIterator for Notes {
    type Item = Note;
    type IntoIter = std::vec::IntoIter<Note>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The sequence numbers that one user received of one channel, from the number at which it began to watch.
///
/// Nearly always everything came in order, and then this is four numbers. Each hole costs one range more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The channel's number when watching began; `None` until that is answered.
    base: Option<u64>,
    /// Everything after `base` up to here was received.
    contiguous: u64,
    /// What was received beyond: ranges, both ends included, rising, with holes between.
    ahead: Vec<(u64, u64)>,
    /// Up to here `/sync` is the only way to get what is missing: the socket brings what comes later.
    floor: u64,
    /// The highest number received before the last loss of connection.
    before: u64,
}

impl Account {
    /// The highest number that was received, or at which watching began.
    pub(crate) fn highest(&self) -> u64 {
        self.ahead.last().map_or(self.contiguous, |range| range.1)
    }

    /// Everything up to here is there: where `/sync` should go on.
    pub(crate) const fn contiguous(&self) -> u64 {
        self.contiguous
    }

    /// Whether watching ever began.
    pub(crate) const fn has_begun(&self) -> bool {
        self.base.is_some()
    }

    /// Whether something is missing that only `/sync` can bring.
    pub(crate) const fn is_behind(&self) -> bool {
        self.base.is_some() && self.contiguous < self.floor
    }

    /// Whether everything up to `end` is there.
    pub(crate) fn is_complete(&self, end: u64) -> bool {
        self.base.is_none() || self.contiguous >= end
    }

    /// An event came over the socket.
    pub(crate) fn receive(&mut self, seq: u64, notes: &mut Notes) -> Tally {
        let highest = self.highest();
        if self.base.is_some_and(|base| seq <= base) {
            // From before watching began, which nobody expects: it is in no count.
            return Tally::default();
        }
        if !self.insert(seq) {
            notes.mishap(Mishap::Duplicated, seq, seq);
            return Tally { duplicated: 1, ..Tally::default() };
        }
        let reordered = u64::from(seq < highest);
        if reordered > 0 {
            notes.mishap(Mishap::Reordered, seq, highest);
        }
        Tally { delivered: u64::from(self.base.is_some()), reordered, ..Tally::default() }
    }

    /// `/sync` brought an event. It counts if the socket had not brought it and will not.
    pub(crate) fn recover(&mut self, seq: u64, notes: &mut Notes) -> Tally {
        let wanted = self.base.is_some_and(|base| seq > base) && seq <= self.floor;
        if wanted && self.insert(seq) {
            notes.covered(Covered::Recovered, seq, seq);
            return Tally { delivered: 1, recovered: 1, ..Tally::default() };
        }
        Tally::default()
    }

    /// Watching was answered with the channel's number: it begins, or goes on after a reconnect.
    pub(crate) fn watch(&mut self, seq: u64, notes: &mut Notes) -> Tally {
        if self.base.is_none() {
            return self.begin(seq, notes);
        }
        let mut tally = Tally::default();
        if seq < self.before {
            // The server has forgotten what it had sent: this is another channel under the same name.
            tally = self.settle(self.before, notes);
            let since: Vec<_> = std::mem::take(&mut self.ahead);
            *self = Self { ahead: since, ..Self::default() };
            tally += self.begin(seq, &mut Notes::default());
            // What came since the reconnect was counted when it came, or taken for a repeat.
            tally.delivered = 0;
            return tally;
        }
        self.floor = seq;
        tally
    }

    fn begin(&mut self, seq: u64, notes: &mut Notes) -> Tally {
        // Events can overtake the answer.
        let early = std::mem::take(&mut self.ahead);
        (self.base, self.contiguous, self.floor) = (Some(seq), seq, seq);
        let mut delivered = 0;
        for (from, to) in early {
            if from <= seq {
                notes.covered(Covered::Outside, from, to.min(seq));
            }
            if to > seq {
                let from = from.max(seq + 1);
                delivered += to - from + 1;
                self.ahead.push((from, to));
            }
        }
        self.absorb();
        Tally { delivered, ..Tally::default() }
    }

    /// The connection is lost.
    pub(crate) fn disconnect(&mut self, notes: &mut Notes) {
        if self.base.is_some() {
            self.before = self.highest();
        } else {
            self.forget(notes);
        }
    }

    /// What came early was of a watching that never began.
    fn forget(&mut self, notes: &mut Notes) {
        self.ahead.drain(..).for_each(|(from, to)| notes.covered(Covered::Outside, from, to));
    }

    /// Watching has ended at `end` (or later, if something later was received): what was expected, and what is lost. The
    /// account is of no use after that.
    pub(crate) fn settle(&mut self, end: u64, notes: &mut Notes) -> Tally {
        let Some(base) = self.base else {
            self.forget(notes);
            return Tally::default();
        };
        let end = end.max(self.highest());
        if end > base {
            notes.covered(Covered::Watched, base + 1, end);
        }
        let (mut lost, mut there) = (0, self.contiguous);
        let mut hole = |there: u64, last: u64| {
            if last > there {
                lost += last - there;
                notes.missed(there + 1, last);
            }
        };
        for (from, to) in &self.ahead {
            hole(there, from - 1);
            there = *to;
        }
        hole(there, end);
        Tally { expected: end - base, lost, ..Tally::default() }
    }

    /// False if it was there already.
    fn insert(&mut self, seq: u64) -> bool {
        if self.base.is_some() && seq <= self.contiguous {
            return false;
        }
        // The first range that ends at `seq − 1` or later.
        let at = self.ahead.partition_point(|range| range.1.saturating_add(1) < seq);
        match self.ahead.get_mut(at) {
            Some(range) if range.0 <= seq && seq <= range.1 => return false,
            Some(range) if range.1.saturating_add(1) == seq => {
                range.1 = seq;
                if self.ahead.get(at + 1).is_some_and(|next| next.0 == seq.saturating_add(1)) {
                    self.ahead[at].1 = self.ahead.remove(at + 1).1;
                }
            }
            Some(range) if range.0 == seq.saturating_add(1) => range.0 = seq,
            _ => self.ahead.insert(at, (seq, seq)),
        }
        self.absorb();
        true
    }

    /// Moves what has become contiguous out of `ahead`.
    fn absorb(&mut self) {
        if self.base.is_some() && self.ahead.first().is_some_and(|range| range.0 == self.contiguous + 1) {
            self.contiguous = self.ahead.remove(0).1;
        }
        if self.ahead.is_empty() {
            // A hole that was closed leaves no memory behind.
            self.ahead = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_may_overtake_the_answer() {
        let mut a = Account::default();
        assert_eq!(a.receive(9, &mut Notes::default()).delivered, 0, "not known yet whether it counts");
        a.receive(10, &mut Notes::default());
        assert_eq!(a.watch(9, &mut Notes::default()).delivered, 1);
        assert_eq!((a.contiguous(), a.highest()), (10, 10));
        assert_eq!(a.receive(10, &mut Notes::default()).duplicated, 1);
        assert_eq!(a.settle(12, &mut Notes::default()), Tally { expected: 3, lost: 2, ..Tally::default() });
    }

    #[test]
    fn a_server_that_forgot_begins_a_new_count() {
        let (mut a, notes) = (Account::default(), &mut Notes::default());
        a.watch(100, notes);
        a.receive(101, notes);
        a.receive(103, notes);
        a.disconnect(notes);
        let tally = a.watch(2, notes);
        assert_eq!((tally.expected, tally.lost), (3, 1));
        assert_eq!(a.receive(3, notes).delivered, 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Receive(u64),
        Reconnect(u64),
        Sync,
    }

    /// The same, with sets, on one watching that never goes backwards.
    #[derive(Default)]
    struct Model {
        got: HashSet<u64>,
        tally: Tally,
        highest: u64,
        floor: u64,
    }

    /// Of each event: watched, missed, aside, and how often something went wrong with it.
    fn by_event(notes: Notes) -> HashMap<u64, [i64; 4]> {
        let mut events: HashMap<u64, [i64; 4]> = HashMap::new();
        for (what, first, last) in notes {
            let (place, n, last) = match what {
                What::Covered(Covered::Watched) => (0, 1, last),
                What::Covered(Covered::Missed) => (1, 1, last),
                What::Covered(Covered::Recovered) => (2, 1, last),
                What::Covered(Covered::Outside) => (2, -1, last),
                What::Mishap(Mishap::Reordered) => (3, 1, first),
                What::Mishap(_) => (3, 1, last),
            };
            (first..=last).for_each(|seq| events.entry(seq).or_default()[place] += n);
        }
        events
    }

    proptest! {
        #[test]
        fn the_account_equals_sets(
            base in 0_u64..20,
            early in proptest::collection::vec(0_u64..40, 0..6),
            steps in proptest::collection::vec(prop_oneof![
                8 => (0_u64..80).prop_map(Step::Receive),
                1 => (0_u64..80).prop_map(Step::Reconnect),
                1 => Just(Step::Sync),
            ], 0..120),
            end in 0_u64..90,
        ) {
            let (mut a, mut total, mut notes) = (Account::default(), Tally::default(), Notes::default());
            let mut over_socket: HashMap<u64, i64> = HashMap::new();
            let mut model = Model { highest: 0, ..Model::default() };
            for seq in early {
                let tally = a.receive(seq, &mut notes);
                // As a worker does that doesn't know yet whether it is watching.
                *over_socket.entry(seq).or_default() += i64::from(tally.duplicated == 0);
                total += tally;
                if !model.got.insert(seq) { model.tally.duplicated += 1 }
                else if seq < model.highest { model.tally.reordered += 1 }
                model.highest = model.highest.max(seq);
            }
            total += a.watch(base, &mut notes);
            model.got.retain(|seq| *seq > base);
            (model.highest, model.floor) = (model.highest.max(base), base);
            for step in steps {
                match step {
                    Step::Receive(seq) => {
                        let tally = a.receive(seq, &mut notes);
                        *over_socket.entry(seq).or_default() += tally.delivered as i64;
                        total += tally;
                        if seq <= base { continue }
                        if !model.got.insert(seq) { model.tally.duplicated += 1 }
                        else if seq < model.highest { model.tally.reordered += 1 }
                        model.highest = model.highest.max(seq);
                    }
                    Step::Reconnect(seq) => {
                        a.disconnect(&mut notes);
                        let seq = seq.max(model.highest);
                        total += a.watch(seq, &mut notes);
                        model.floor = seq;
                    }
                    Step::Sync => for seq in a.contiguous() + 1..=model.floor + 3 {
                        total += a.recover(seq, &mut notes);
                        if seq <= model.floor && model.got.insert(seq) { model.tally.recovered += 1; model.highest = model.highest.max(seq) }
                    }
                }
                let complete = (base + 1..=model.floor).all(|seq| model.got.contains(&seq));
                prop_assert_eq!(a.is_behind(), !complete);
                prop_assert_eq!(a.highest(), model.got.iter().copied().max().unwrap_or(base));
            }
            total += a.settle(end, &mut notes);
            let end = end.max(a.highest());
            model.tally.expected = end - base;
            model.tally.delivered = model.got.len() as u64;
            model.tally.lost = (base + 1..=end).filter(|seq| !model.got.contains(seq)).count() as u64;
            prop_assert_eq!(total, model.tally);
            prop_assert_eq!(total.expected, total.delivered + total.lost);
            let events = by_event(notes);
            for seq in 0..100 {
                let [watched, missed, aside, mishaps] = events.get(&seq).copied().unwrap_or_default();
                let got = i64::from(model.got.contains(&seq));
                prop_assert_eq!(watched, i64::from(seq > base && seq <= end), "{}", seq);
                prop_assert_eq!(watched - missed, got, "{}", seq);
                prop_assert_eq!(over_socket.get(&seq).copied().unwrap_or_default() + aside, got, "receipts of {}", seq);
                prop_assert!(mishaps >= missed);
            }
            let mishaps: i64 = events.values().map(|counts| counts[3]).sum();
            prop_assert_eq!(mishaps as u64, total.lost + total.duplicated + total.reordered);
        }
    }
}
