//! Reactions to messages.

use std::sync::Arc;

use axum::extract::State;
use wire::api::{ReactionAnswer, SendReaction};
use wire::limits;

use super::{Answer, Body, Call, Failure, Segments};
use crate::app::App;
use crate::failure;

/// Adds a reaction.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    call: Call,
    Segments(id): Segments<String>,
    Body(SendReaction { mut reaction, enforce_unique }): Body<SendReaction>,
) -> Result<Answer, Failure> {
    if !limits::is_name(&reaction.kind) {
        return Err(failure::input("reaction.type has 1 to 255 bytes and no control characters").into());
    }
    let user = call.user(&app, Some(&reaction.user_id).filter(|id| !id.is_empty()).map(String::as_str))?.show();
    reaction.message_id.clone_from(&id);
    if reaction.score == 0 {
        reaction.score = 1;
    }
    let cell = app.channel_of(&id).await?;
    let reacted = app.change(&cell, |channel, at| channel.react(reaction, enforce_unique, &user, at)).await?;
    let (message, reaction) = reacted;
    Ok(call.created(ReactionAnswer { message, reaction, ..ReactionAnswer::default() }))
}

/// Takes a reaction back.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    call: Call,
    Segments((id, kind)): Segments<(String, String)>,
) -> Result<Answer, Failure> {
    let user = call.user(&app, None)?.show();
    let cell = app.channel_of(&id).await?;
    let (message, reaction) = app.change(&cell, |channel, at| channel.unreact(&id, &kind, &user, at)).await?;
    Ok(call.ok(ReactionAnswer { message, reaction, ..ReactionAnswer::default() }))
}
