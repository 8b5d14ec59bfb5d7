//! Messages: send, get, change, delete, answers.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use wire::api::{MessageAnswer, OutgoingMessage, Page, SendMessage};
use wire::event::Message;
use wire::{ApiError, limits};

use super::{Answer, Body, Call, ChannelName, Failure, Segments};
use crate::app::App;
use crate::cell::Cell;
use crate::channel::{Channel, NewMessage, Sent, Step};
use crate::time::Date;
use crate::{custom, failure};

/// Fields of a message that only the server sets.
const RESERVED: [&str; 13] = [
    "type",
    "user",
    "user_id",
    "cid",
    "created_at",
    "updated_at",
    "deleted_at",
    "reply_count",
    "reaction_counts",
    "latest_reactions",
    "own_reactions",
    "reaction_scores",
    "html",
];

/// Checks what needs no channel.
fn check(message: &mut OutgoingMessage) -> Result<(), ApiError> {
    if message.text.len() > limits::MESSAGE_TEXT {
        return Err(failure::too_large("message.text", limits::MESSAGE_TEXT));
    }
    for reserved in RESERVED {
        message.custom.remove(reserved);
    }
    if message.text.is_empty() && message.custom.is_empty() {
        return Err(failure::input("message.text is empty, and there are no custom fields either"));
    }
    custom::check("message", &message.custom)
}

/// The user whom a server names in the message.
fn named(message: &OutgoingMessage) -> Option<String> {
    let id = message.custom.get("user_id").or_else(|| message.custom.get("user")?.get("id"));
    id.and_then(Value::as_str).map(str::to_owned)
}

/// Sends a message.
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
    Body(SendMessage { mut message }): Body<SendMessage>,
) -> Result<Answer, Failure> {
    let user = call.user(&app, named(&message).as_deref())?;
    check(&mut message)?;
    let cell = app.channel(&name.cid())?;
    let id = message.id.take().filter(|id| !id.is_empty()).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    if !limits::is_name(&id) {
        return Err(failure::input("message.id has 1 to 255 bytes and no control characters").into());
    }
    // Taken first, so that of two sends with one id to two channels one loses.
    let (owner, taken) = app.messages.get_or_insert_with(id.clone(), || cell.clone());
    if !Arc::ptr_eq(&owner, &cell) {
        return Err(failure::input(format!("message id {id:?} is in use in another channel")).into());
    }
    let in_memory = cell.lock().channel.message(&id).is_ok();
    if !in_memory && let Some(old) = app.forgotten(&id).await? {
        if taken {
            app.messages.remove(&id);
        }
        return repeated(&call, old, &cell, &user.id).map_err(Failure);
    }
    let OutgoingMessage { text, parent_id, custom, .. } = message;
    let new = NewMessage { id: id.clone(), text, parent_id, custom, user: user.show() };
    let slow = app.config.slow_mode.map(|pause| i64::try_from(pause.as_micros()).unwrap_or(i64::MAX));
    let send = |channel: &mut Channel, at: &Date| {
        let step = channel.send(new, slow, at);
        // Under the channel's lock: a caller who goes away while the message is kept must not leave the index wrong.
        match &step {
            Ok(Step { answer: Sent { evicted: Some(evicted), .. }, .. }) => app.forget(evicted),
            // Unless another caller has sent a message with this id meanwhile.
            Err(_) if taken && channel.message(&id).is_err() => drop(app.messages.remove(&id)),
            _ => {}
        }
        step
    };
    let sent = app.change(&cell, send).await?;
    Ok(call.created(MessageAnswer { message: sent.message, ..MessageAnswer::default() }))
}

/// The answer to a repeat of a message that has left memory.
fn repeated(call: &Call, old: Message, cell: &Cell, user: &str) -> Result<Answer, ApiError> {
    if old.user.id != *user || old.cid != cell.lock().channel.cid {
        return Err(failure::input(format!("message id {:?} is in use", old.id)));
    }
    Ok(call.created(MessageAnswer { message: old, ..MessageAnswer::default() }))
}

/// A message as it stands.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    call: Call,
    Segments(id): Segments<String>,
) -> Result<Answer, Failure> {
    let message = app.message(&id).await?;
    Ok(call.ok(MessageAnswer { message, ..MessageAnswer::default() }))
}

/// Changes a message.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    call: Call,
    Segments(id): Segments<String>,
    Body(SendMessage { mut message }): Body<SendMessage>,
) -> Result<Answer, Failure> {
    check(&mut message)?;
    let cell = app.channel_of(&id).await?;
    let OutgoingMessage { text, custom, .. } = message;
    let message = app.change(&cell, |channel, at| channel.update(&id, text, custom, call.token_user(), at)).await?;
    Ok(call.created(MessageAnswer { message, ..MessageAnswer::default() }))
}

/// Deletes a message.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    call: Call,
    Segments(id): Segments<String>,
) -> Result<Answer, Failure> {
    let cell = app.channel_of(&id).await?;
    let message = app.change(&cell, |channel, at| channel.delete(&id, call.token_user(), at)).await?;
    Ok(call.ok(MessageAnswer { message, ..MessageAnswer::default() }))
}

/// The answer to `GET /messages/{id}/replies`.
#[derive(Debug, Serialize)]
pub(crate) struct RepliesAnswer {
    messages: Vec<Message>,
    pub(super) duration: String,
}

/// A page of the answers to a message.
pub(crate) async fn replies(
    State(app): State<Arc<App>>,
    call: Call,
    Segments(id): Segments<String>,
) -> Result<Answer, Failure> {
    let parameters = &call.parameters;
    let text = |name: &str| parameters.get(name).map(str::to_owned);
    let page = Page {
        limit: parameters.number("limit")?,
        id_lt: text("id_lt"),
        id_lte: text("id_lte"),
        id_gt: text("id_gt"),
        id_gte: text("id_gte"),
    };
    let parent = app.message(&id).await?;
    let cell = app.channel(&parent.cid)?;
    let messages = app.page(&cell, &page, Some(&id)).await?;
    Ok(call.ok(RepliesAnswer { messages, duration: String::new() }))
}
