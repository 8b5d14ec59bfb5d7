//! Sending, changing and deleting messages.

use serde_json::{Map, Value};
use wire::ApiError;
use wire::event::{Message, User, kind};

use super::{Channel, Entry, Step};
use crate::failure;
use crate::record::Record;
use crate::time::Date;

/// A message that passed all checks which need no channel.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) custom: Map<String, Value>,
    pub(crate) user: User,
}

/// What became of a sent message.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) message: Message,
    /// The id of a message that is no longer in memory because of it.
    pub(crate) evicted: Option<String>,
}

impl Channel {
    /// Sends a message. A repeat of the same user's message answers the first one and sends nothing.
    pub(crate) fn send(&mut self, new: NewMessage, slow: Option<i64>, at: &Date) -> Result<Step<Sent>, ApiError> {
        if let Some(entry) = self.window.get(&new.id) {
            if entry.message.user.id != new.user.id {
                return Err(failure::input(format!("message id {:?} is another user's", new.id)));
            }
            return Ok(Step::nothing(Sent { message: entry.message.clone(), evicted: None }));
        }
        self.check_slow_mode(&new.user.id, slow, at)?;
        let parent = match &new.parent_id {
            None => None,
            Some(id) => {
                let missing = || failure::not_found(format!("parent message {id:?}"));
                let parent = self.window.get_mut(id).ok_or_else(missing)?;
                if parent.message.parent_id.is_some() {
                    return Err(failure::input(format!("message {id:?} is itself an answer: answer its parent")));
                }
                parent.message.reply_count += 1;
                Some(id.clone())
            }
        };
        let message = Message {
            id: new.id,
            text: new.text,
            kind: if parent.is_some() { "reply" } else { "regular" }.to_owned(),
            user: new.user,
            cid: self.cid.clone(),
            parent_id: new.parent_id,
            created_at: at.text.clone(),
            updated_at: at.text.clone(),
            custom: new.custom,
            ..Message::default()
        };
        let (_, gone) = self.window.push(Entry { message: message.clone(), reactions: Vec::new() });
        self.last_message_at = Some(at.text.clone());
        let mut step = Step::nothing(Sent { message: message.clone(), evicted: gone.map(|gone| gone.message.id) });
        self.record_message(&mut step, &message.id);
        if let Some(parent) = parent {
            self.record_message(&mut step, &parent);
        }
        self.mark_read_by_sender(&mut step, &message);
        self.emit_message(&mut step, kind::MESSAGE_NEW, message, at);
        Ok(step)
    }

    /// Whether slow mode lets the user send; `slow` is the pause in microseconds.
    fn check_slow_mode(&mut self, user: &str, slow: Option<i64>, at: &Date) -> Result<(), ApiError> {
        let Some(slow) = slow else { return Ok(()) };
        if let Some(wait) = self.sent_at.get(user).map(|last| last + slow - at.micros).filter(|wait| *wait > 0) {
            return Err(failure::slow_mode(wait));
        }
        // Old entries say nothing any more; without this, everybody who ever spoke would stay.
        if self.sent_at.len() >= 1_024 && self.sent_at.len().is_power_of_two() {
            self.sent_at.retain(|_, last| *last + slow > at.micros);
        }
        self.sent_at.insert(user.to_owned(), at.micros);
        Ok(())
    }

    /// A message as it stands.
    pub(crate) fn message(&self, id: &str) -> Result<&Message, ApiError> {
        self.window.get(id).map(|entry| &entry.message).ok_or_else(|| failure::not_found(format!("message {id:?}")))
    }

    /// The entry of a message that `user` may change; `None` is a server, who may change all.
    fn owned(&mut self, id: &str, user: Option<&str>) -> Result<&mut Entry, ApiError> {
        let entry = self.window.get_mut(id).ok_or_else(|| failure::not_found(format!("message {id:?}")))?;
        if user.is_some_and(|user| user != entry.message.user.id) {
            return Err(failure::not_allowed("only its sender, or a server token, may change a message"));
        }
        if entry.message.deleted_at.is_some() {
            return Err(failure::input(format!("message {id:?} is deleted")));
        }
        Ok(entry)
    }

    /// Changes a message's text and custom fields.
    pub(crate) fn update(
        &mut self,
        id: &str,
        text: String,
        custom: Map<String, Value>,
        user: Option<&str>,
        at: &Date,
    ) -> Result<Step<Message>, ApiError> {
        let message = &mut self.owned(id, user)?.message;
        message.text = text;
        message.custom = custom;
        message.updated_at.clone_from(&at.text);
        let message = message.clone();
        let mut step = Step::nothing(message.clone());
        self.record_message(&mut step, id);
        self.emit_message(&mut step, kind::MESSAGE_UPDATED, message, at);
        Ok(step)
    }

    /// Deletes a message: its place stays, its text goes.
    pub(crate) fn delete(&mut self, id: &str, user: Option<&str>, at: &Date) -> Result<Step<Message>, ApiError> {
        let entry = self.owned(id, user)?;
        entry.reactions = Vec::new();
        let message = &mut entry.message;
        message.kind = "deleted".to_owned();
        message.text = String::new();
        message.custom = Map::new();
        message.reaction_counts.clear();
        message.latest_reactions.clear();
        message.deleted_at = Some(at.text.clone());
        message.updated_at.clone_from(&at.text);
        let message = message.clone();
        let mut step = Step::nothing(message.clone());
        self.record_message(&mut step, id);
        self.emit_message(&mut step, kind::MESSAGE_DELETED, message, at);
        Ok(step)
    }

    fn emit_message(&mut self, step: &mut Step<impl Sized>, kind: &str, message: Message, at: &Date) {
        let mut event = self.event(kind, at);
        event.user = Some(message.user.clone());
        event.message = Some(message);
        event.watcher_count = (kind == kind::MESSAGE_NEW).then_some(self.watchers);
        self.emit(step, event, at);
    }

    /// Adds the record of a message as it stands.
    pub(super) fn record_message<T>(&self, step: &mut Step<T>, id: &str) {
        if !self.bounds.kept {
            return;
        }
        if let (Some(place), Some(entry)) = (self.window.place(id), self.window.get(id)) {
            step.records.push(Record::message(&self.cid, place, &entry.message, &entry.reactions));
            step.records.push(Record::message_place(id, &self.cid, place));
        }
    }
}
