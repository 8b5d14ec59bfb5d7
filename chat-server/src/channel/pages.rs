//! Pages of messages.

use wire::api::{Page, ReadState};
use wire::event::Message;
use wire::limits;

use super::Channel;

impl Channel {
    /// A page of the channel's messages, oldest first; answers to messages are not among them, unless `parent` asks for
    /// the answers to one message.
    ///
    /// A page that names a message which isn't there is empty.
    pub(crate) fn page(&self, page: &Page, parent: Option<&str>) -> Vec<Message> {
        let limit = page.limit.unwrap_or(limits::PAGE_DEFAULT).min(limits::PAGE);
        let place = |id: &Option<String>| id.as_deref().map(|id| self.window.place(id));
        let wanted = |message: &Message| message.parent_id.as_deref() == parent;
        let newer = match (place(&page.id_gt), place(&page.id_gte)) {
            (Some(None), _) | (_, Some(None)) => return Vec::new(),
            (Some(Some(place)), _) => Some(place + 1),
            (_, Some(Some(place))) => Some(place),
            (None, None) => None,
        };
        let end = match (place(&page.id_lt), place(&page.id_lte)) {
            (Some(None), _) | (_, Some(None)) => return Vec::new(),
            (Some(Some(place)), _) => place,
            (_, Some(Some(place))) => place + 1,
            (None, None) => self.window.end(),
        };
        if let Some(start) = newer {
            let span = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
            let newer = self.window.from(start).take(span).map(|entry| &entry.message);
            return newer.filter(|message| wanted(message)).take(limit).cloned().collect();
        }
        let older = self.window.before(end).map(|entry| &entry.message).filter(|message| wanted(message));
        let mut messages: Vec<Message> = older.take(limit).cloned().collect();
        messages.reverse();
        messages
    }

    /// The newest messages whose text holds `lowercase`, newest first.
    pub(crate) fn search(&self, lowercase: &str, limit: usize) -> Vec<Message> {
        let newest_first = self.window.before(self.window.end()).map(|entry| &entry.message);
        let hits = newest_first
            .filter(|message| message.deleted_at.is_none() && message.text.to_lowercase().contains(lowercase));
        hits.take(limit).cloned().collect()
    }

    /// Who has read how far; at most as many as members are shown.
    pub(crate) fn read_states(&self) -> Vec<ReadState> {
        let states = self.reads.values().take(limits::MEMBERS);
        states.map(|read| read.state(self.window.end())).collect()
    }
}
