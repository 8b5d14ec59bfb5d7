//! Who has read how far.

use wire::ApiError;
use wire::api::ReadState;
use wire::event::User;

use super::{Channel, Step};
use crate::failure;
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
    /// As answers show it, in a channel with messages up to `end`.
    pub(crate) fn state(&self, end: u64) -> ReadState {
        ReadState {
            user: self.user.clone(),
            last_read: self.last_read.clone(),
            last_read_message_id: self.message_id.clone(),
            unread_messages: end.saturating_sub(self.place),
        }
    }
}

impl Channel {
    /// Marks the channel read up to a message, or all of it.
    pub(crate) fn mark_read(
        &mut self,
        message_id: Option<String>,
        user: &User,
        at: &Date,
    ) -> Result<Step<ReadState>, ApiError> {
        let (place, message_id) = match message_id {
            Some(id) => {
                let place = self.window.place(&id).ok_or_else(|| failure::not_found(format!("message {id:?}")))?;
                (place + 1, Some(id))
            }
            None => {
                let end = self.window.end();
                (end, self.window.before(end).next().map(|entry| entry.message.id.clone()))
            }
        };
        let read = Read { user: user.clone(), last_read: at.text.clone(), message_id, place };
        let mut step = Step::nothing(read.state(self.window.end()));
        if self.bounds.kept {
            step.records.push(Record::read(&self.cid, &read));
        }
        self.reads.insert(user.id.clone(), read);
        Ok(step)
    }
}
