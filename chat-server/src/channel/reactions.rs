//! Reactions to messages.

use wire::ApiError;
use wire::event::{Message, Reaction, User, kind};
use wire::limits;

use super::{Channel, Entry, Step};
use crate::failure;
use crate::time::Date;

/// Types of reactions to one message: every event about the message counts them all.
const KINDS: usize = 100;

impl Channel {
    /// Adds a reaction, or changes its score; with `unique` the user's other reactions to the message go.
    pub(crate) fn react(
        &mut self,
        mut reaction: Reaction,
        unique: bool,
        user: &User,
        at: &Date,
    ) -> Result<Step<(Message, Reaction)>, ApiError> {
        let id = reaction.message_id.clone();
        let entry = self.window.get_mut(&id).ok_or_else(|| failure::not_found(format!("message {id:?}")))?;
        if entry.message.deleted_at.is_some() {
            return Err(failure::input(format!("message {id:?} is deleted")));
        }
        let counts = &entry.message.reaction_counts;
        if counts.len() >= KINDS && !counts.contains_key(&reaction.kind) {
            return Err(failure::input(format!("a message has at most {KINDS} types of reactions")));
        }
        reaction.user_id.clone_from(&user.id);
        reaction.created_at.clone_from(&at.text);
        let replaced =
            entry.reactions.extract_if(.., |old| old.user_id == user.id && (old.kind == reaction.kind || unique));
        let replaced: Vec<Reaction> = replaced.collect();
        replaced.iter().for_each(|old| uncount(&mut entry.message, &old.kind));
        *entry.message.reaction_counts.entry(reaction.kind.clone()).or_default() += 1;
        entry.reactions.push(reaction.clone());
        Ok(self.reacted(&id, kind::REACTION_NEW, reaction, user, at))
    }

    /// Takes a reaction back.
    pub(crate) fn unreact(
        &mut self,
        id: &str,
        kind: &str,
        user: &User,
        at: &Date,
    ) -> Result<Step<(Message, Reaction)>, ApiError> {
        let entry = self.window.get_mut(id).ok_or_else(|| failure::not_found(format!("message {id:?}")))?;
        let mine = |reaction: &Reaction| reaction.user_id == user.id && reaction.kind == kind;
        let place = entry.reactions.iter().position(mine);
        let place = place.ok_or_else(|| failure::not_found(format!("reaction {kind:?} of user {:?}", user.id)))?;
        let reaction = entry.reactions.remove(place);
        uncount(&mut entry.message, &reaction.kind);
        Ok(self.reacted(id, kind::REACTION_DELETED, reaction, user, at))
    }

    /// Shows the newest, and tells.
    fn reacted(
        &mut self,
        id: &str,
        kind: &str,
        reaction: Reaction,
        user: &User,
        at: &Date,
    ) -> Step<(Message, Reaction)> {
        let entry = self.window.get_mut(id).expect("the caller found it under the same lock");
        show_latest(entry);
        let message = entry.message.clone();
        let mut step = Step::nothing((message.clone(), reaction.clone()));
        self.record_message(&mut step, id);
        let mut event = self.event(kind, at);
        event.user = Some(user.clone());
        event.message = Some(message);
        event.reaction = Some(reaction);
        self.emit(&mut step, event, at);
        step
    }
}

/// Takes one off a type's count.
fn uncount(message: &mut Message, kind: &str) {
    if let Some(count) = message.reaction_counts.get_mut(kind) {
        *count -= 1;
        if *count == 0 {
            message.reaction_counts.remove(kind);
        }
    }
}

fn show_latest(entry: &mut Entry) {
    let newest_first = entry.reactions.iter().rev();
    entry.message.latest_reactions = newest_first.take(limits::LATEST_REACTIONS).cloned().collect();
}
