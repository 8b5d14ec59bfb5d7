//! Pages of messages.

use wire::api::ReadState;
use wire::event::Message;
use wire::limits;

use super::{Channel, Entry};

/// Which places of a channel a page covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// The first; `None`: the page is the newest messages before `to`, not the oldest from here on.
    pub(crate) from: Option<u64>,
    /// The place after the last.
    pub(crate) to: u64,
    /// Messages at most.
    pub(crate) limit: usize,
}

impl Channel {
    /// What is in memory of a page, oldest first: answers to `parent`, or what is no answer.
    pub(crate) fn page(&self, span: &Span, parent: Option<&str>) -> Vec<Message> {
        let message = |(_, entry): (u64, &Entry)| entry.message.clone();
        if let Some(from) = span.from {
            let newer = self.window.from(from, parent).take_while(|(place, _)| *place < span.to);
            return newer.take(span.limit).map(message).collect();
        }
        let mut messages: Vec<Message> = self.window.before(span.to, parent).take(span.limit).map(message).collect();
        messages.reverse();
        messages
    }

    /// The newest messages whose text holds `lowercase`, newest first.
    pub(crate) fn search(&self, lowercase: &str, limit: usize) -> Vec<Message> {
        let newest_first = self.window.newest_first().map(|entry| &entry.message);
        let hits = newest_first
            .filter(|message| message.deleted_at.is_none() && message.text.to_lowercase().contains(lowercase));
        hits.take(limit).cloned().collect()
    }

    /// Who has read how far; at most as many as members are shown.
    pub(crate) fn read_states(&self) -> Vec<ReadState> {
        let states = self.reads.values().take(limits::MEMBERS);
        states.map(|read| read.state(&self.window)).collect()
    }
}
