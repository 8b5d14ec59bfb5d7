//! Who has read how far.

use wire::api::ReadState;
use wire::event::{Message, User};

use super::{Channel, Step, Window};
use crate::record::Record;
use crate::time::Date;

/// How far a user has read.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Read {
    pub(crate) user: User,
    pub(crate) last_read: String,
    pub(crate) message_id: Option<String>,
    /// The place after the last message that was read.
    pub(crate) place: u64,
}

impl Read {
    /// As answers show it, in a channel with these messages.
    pub(crate) fn state(&self, messages: &Window) -> ReadState {
        ReadState {
            user: self.user.clone(),
            last_read: self.last_read.clone(),
            last_read_message_id: self.message_id.clone(),
            unread_messages: messages.count_from(self.place),
        }
    }
}

impl Channel {
    /// Marks the channel read up to the message with this place and id, or all of it.
    pub(crate) fn mark_read(&mut self, up_to: Option<(u64, String)>, user: &User, at: &Date) -> Step<ReadState> {
        let end = self.window.end();
        let (place, message_id) = match up_to {
            Some((place, id)) => (place + 1, Some(id)),
            None => (end, self.window.newest_first().next().map(|entry| entry.message.id.clone())),
        };
        let read = Read { user: user.clone(), last_read: at.text.clone(), message_id, place };
        let mut step = Step::nothing(read.state(&self.window));
        self.put_read(&mut step, read);
        step
    }

    /// Who writes has read what came before, if he keeps track of that at all.
    pub(super) fn mark_read_by_sender<T>(&mut self, step: &mut Step<T>, message: &Message) {
        if message.parent_id.is_none() && self.reads.contains_key(&message.user.id) {
            let (user, last_read) = (message.user.clone(), message.created_at.clone());
            let message_id = Some(message.id.clone());
            self.put_read(step, Read { user, last_read, message_id, place: self.window.end() });
        }
    }

    fn put_read<T>(&mut self, step: &mut Step<T>, read: Read) {
        if self.bounds.kept {
            step.records.push(Record::read(&self.cid, &read));
        }
        self.reads.insert(read.user.id.clone(), read);
    }
}
