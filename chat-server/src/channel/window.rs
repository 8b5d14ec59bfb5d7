//! The newest messages of a channel, by place and by id.

use std::collections::{HashMap, VecDeque};

use wire::event::{Message, Reaction};

use crate::skip_list::SkipList;

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
    /// Places of messages that answer no other.
    top: SkipList<u64, ()>,
    /// Places of the answers to each message.
    answers: HashMap<String, SkipList<u64, ()>>,
    max: usize,
}

impl Window {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            places: HashMap::new(),
            oldest: 0,
            top: SkipList::new(),
            answers: HashMap::new(),
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
        match &entry.message.parent_id {
            None => self.top.insert(place, ()),
            Some(parent) => {
                let answers = self.answers.entry(parent.clone()).or_insert_with(SkipList::new);
                answers.insert(place, ())
            }
        };
        self.entries.push_back(entry);
        let gone = (self.entries.len() > self.max).then(|| self.entries.pop_front()).flatten();
        if let Some(gone) = &gone {
            self.places.remove(&gone.message.id);
            self.leave_order(gone.message.parent_id.as_deref());
            self.oldest += 1;
        }
        (place, gone)
    }

    /// The oldest message goes: takes its place out of the order of those like it.
    fn leave_order(&mut self, parent: Option<&str>) {
        let Some(parent) = parent else {
            self.top.remove(&self.oldest);
            return;
        };
        if let Some(answers) = self.answers.get_mut(parent) {
            answers.remove(&self.oldest);
            if answers.is_empty() {
                self.answers.remove(parent);
            }
        }
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
        forgotten + (self.top.len() - self.top.rank(&place)) as u64
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

    /// All entries, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }

    /// All entries, oldest first.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Messages that answer `parent` (`None`: those that answer no other) from a place on, oldest first.
    pub(crate) fn from(&self, place: u64, parent: Option<&str>) -> impl Iterator<Item = (u64, &Entry)> {
        let order = self.order(parent);
        let places = order.map(|order| order.from(order.rank(&place))).into_iter().flatten();
        places.filter_map(|(place, ())| self.at(*place))
    }

    /// Such messages before a place, newest first.
    pub(crate) fn before(&self, place: u64, parent: Option<&str>) -> impl Iterator<Item = (u64, &Entry)> {
        let order = self.order(parent);
        let places = order.map(|order| order.before(order.rank(&place))).into_iter().flatten();
        places.filter_map(|(place, ())| self.at(*place))
    }

    fn order(&self, parent: Option<&str>) -> Option<&SkipList<u64, ()>> {
        match parent {
            None => Some(&self.top),
            Some(parent) => self.answers.get(parent),
        }
    }

    fn at(&self, place: u64) -> Option<(u64, &Entry)> {
        let index = usize::try_from(place.checked_sub(self.oldest)?).ok()?;
        self.entries.get(index).map(|entry| (place, entry))
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

    /// Steps that a page of 25 takes in a window of so many messages, of which every hundredth answers no other.
    fn page_steps(messages: u64, parent: Option<&str>) -> usize {
        let mut window = Window::new(usize::try_from(messages).unwrap());
        for place in 0..messages * 2 {
            let parent_id = (place % 100 != 0).then(|| format!("m-{}", place % 7));
            let message = Message { id: format!("m-{place}"), parent_id, ..Message::default() };
            window.push(Entry { message, reactions: Vec::new() });
        }
        let order = window.order(parent).unwrap();
        order.take_steps();
        let page: Vec<u64> = window.before(messages * 3 / 2, parent).take(25).map(|(place, _)| place).collect();
        assert!(page.is_sorted_by(|a, b| a > b) && page.iter().all(|place| *place < messages * 3 / 2));
        let next = window.from(page[page.len() - 1], parent).take(page.len()).map(|(place, _)| place);
        assert!(next.eq(page.iter().rev().copied()), "the same page, read the other way");
        order.take_steps()
    }

    #[test]
    fn a_page_costs_the_same_in_a_large_window() {
        for parent in [None, Some("m-3")] {
            let (small, large) = (page_steps(1_000, parent), page_steps(100_000, parent));
            assert!(large <= small + 120, "{large} steps of 100,000 messages, {small} of 1,000");
        }
    }
}
