//! The newest messages of a channel, by place and by id.

use std::collections::{HashMap, VecDeque};

use wire::event::{Message, Reaction};

/// A message and what only the server needs of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) reactions: Vec<Reaction>,
}

/// Messages in the order in which they were sent. A message's place is its number in the channel, starting at 0.
#[derive(Debug)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    places: HashMap<String, u64>,
    /// The place of the first entry.
    oldest: u64,
    /// For each entry, how many messages that answer no other were pushed before it.
    ranks: VecDeque<u64>,
    /// How many such messages were pushed at all.
    rank: u64,
    max: usize,
}

impl Window {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            places: HashMap::new(),
            oldest: 0,
            ranks: VecDeque::new(),
            rank: 0,
            max: max.max(1),
        }
    }

    /// Sets where it begins, when it is filled from a store.
    pub(crate) fn start_at(&mut self, place: u64) {
        debug_assert!(self.entries.is_empty(), "only an empty window can be told where it begins");
        self.oldest = place;
    }

    /// Appends a message; answers its place, and the message that had to go for it.
    pub(crate) fn push(&mut self, entry: Entry) -> (u64, Option<Entry>) {
        let place = self.end();
        self.places.insert(entry.message.id.clone(), place);
        self.ranks.push_back(self.rank);
        self.rank += u64::from(entry.message.parent_id.is_none());
        self.entries.push_back(entry);
        let gone = (self.entries.len() > self.max).then(|| self.entries.pop_front()).flatten();
        if let Some(gone) = &gone {
            self.places.remove(&gone.message.id);
            self.ranks.pop_front();
            self.oldest += 1;
        }
        (place, gone)
    }

    /// The place that the next message gets.
    pub(crate) fn end(&self) -> u64 {
        self.oldest + self.entries.len() as u64
    }

    /// The place of the oldest message here.
    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// How many messages there are from a place on, answers to others not counted. Of those that have left memory it is
    /// not known any more which were answers: they all count.
    pub(crate) fn count_from(&self, place: u64) -> u64 {
        let forgotten = self.oldest.saturating_sub(place);
        let first = usize::try_from(place.saturating_sub(self.oldest)).unwrap_or(usize::MAX);
        forgotten + self.ranks.get(first).map_or(0, |rank| self.rank - rank)
    }

    pub(crate) fn place(&self, id: &str) -> Option<u64> {
        self.places.get(id).copied()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get((self.place(id)? - self.oldest) as usize)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Entry> {
        let index = (self.place(id)? - self.oldest) as usize;
        self.entries.get_mut(index)
    }

    /// Entries from a place on, oldest first.
    pub(crate) fn from(&self, place: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range((place.clamp(self.oldest, self.end()) - self.oldest) as usize..)
    }

    /// Entries before a place, newest first.
    pub(crate) fn before(&self, place: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range(..(place.clamp(self.oldest, self.end()) - self.oldest) as usize).rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_not_counted_as_long_as_they_are_known() {
        let mut window = Window::new(4);
        for (id, parent) in
            [("a", None), ("b", Some("a")), ("c", None), ("d", Some("a")), ("e", Some("c")), ("f", None)]
        {
            let message = Message { id: id.to_owned(), parent_id: parent.map(str::to_owned), ..Message::default() };
            window.push(Entry { message, reactions: Vec::new() });
        }
        let counts: Vec<u64> = (0..8).map(|place| window.count_from(place)).collect();
        assert_eq!(counts, [4, 3, 2, 1, 1, 1, 0, 0], "of a and b, only c, d, e and f are left");
    }
}
