//! Reactions to messages.

use wire::ApiError;
use wire::event::{Message, Reaction, User, kind};
use wire::limits;

use super::{Channel, Entry, Step};
use crate::failure;
use crate::time::Date;

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
        reaction.user_id.clone_from(&user.id);
        reaction.created_at.clone_from(&at.text);
        entry.reactions.retain(|other| other.user_id != user.id || (other.kind != reaction.kind && !unique));
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
        Ok(self.reacted(id, kind::REACTION_DELETED, reaction, user, at))
    }

    /// Counts again, and tells.
    fn reacted(
        &mut self,
        id: &str,
        kind: &str,
        reaction: Reaction,
        user: &User,
        at: &Date,
    ) -> Step<(Message, Reaction)> {
        let entry = self.window.get_mut(id).expect("the caller found it under the same lock");
        recount(entry);
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

/// Sets what the message shows of its reactions.
fn recount(entry: &mut Entry) {
    let message = &mut entry.message;
    message.reaction_counts.clear();
    for reaction in &entry.reactions {
        *message.reaction_counts.entry(reaction.kind.clone()).or_default() += 1;
    }
    message.latest_reactions = entry.reactions.iter().rev().take(limits::LATEST_REACTIONS).cloned().collect();
}
