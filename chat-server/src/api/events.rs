//! Events that clients send: typing, custom ones, and how far they have read.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use wire::api::{MarkRead, SendEvent};
use wire::event::{Event, kind};
use wire::{ApiError, limits};

use super::{Answer, Body, Call, ChannelName, Failure};
use crate::app::App;
use crate::failure;
use crate::time::Date;

/// The answer to `POST …/event` and `POST …/read`.
#[derive(Debug, Serialize)]
pub(crate) struct EventAnswer {
    event: Event,
    pub(super) duration: String,
}

/// Families of events that only the server may send.
const RESERVED: [&str; 8] =
    ["health.", "connection.", "message.", "reaction.", "channel.", "member.", "user.", "notification."];

fn check(event: &Event) -> Result<(), ApiError> {
    if !limits::is_name(&event.kind) {
        return Err(failure::input("event.type has 1 to 255 bytes and no control characters"));
    }
    let typing = [kind::TYPING_START, kind::TYPING_STOP].contains(&event.kind.as_str());
    if !typing && RESERVED.iter().chain(&["typing.", "error"]).any(|family| event.kind.starts_with(family)) {
        return Err(failure::input(format!("{:?} is an event that only the server sends", event.kind)));
    }
    crate::custom::check("event", &event.custom)
}

/// Sends an event that has no number: it may be lost, and isn't replayed.
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
    Body(SendEvent { event: sent }): Body<SendEvent>,
) -> Result<Answer, Failure> {
    check(&sent)?;
    let named = sent.user.as_ref().map(|user| user.id.as_str()).or_else(|| sent.custom.get("user_id")?.as_str());
    let user = call.user(&app, named)?.show();
    let cell = app.channel(&name.cid())?;
    let mut slots = app.outlets.reserve(1).await?;
    let state = &mut *cell.lock();
    let mut event = state.channel.event(&sent.kind, &Date::now());
    event.user = Some(user);
    event.custom = sent.custom;
    event.custom.remove("user_id");
    let small = event.kind.starts_with("typing.");
    if !(small && app.is_throttled(state)) {
        // Who types knows it.
        cell.broadcast(state, &mut slots, &event, call.except(&app).filter(|_| small));
    }
    Ok(call.created(EventAnswer { event, duration: String::new() }))
}

/// Marks a channel read.
pub(crate) async fn mark_read(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
    Body(MarkRead { message_id }): Body<MarkRead>,
) -> Result<Answer, Failure> {
    let user = call.user(&app, None)?.show();
    let cell = app.channel(&name.cid())?;
    let up_to = match message_id {
        Some(id) => match app.place(&cell, &id).await? {
            Some(place) => Some((place, id)),
            None => return Err(failure::not_found(format!("message {id:?} of {}", name.cid())).into()),
        },
        None => None,
    };
    let read = app.change(&cell, |channel, at| Ok(channel.mark_read(up_to, &user, at))).await?;
    let mut slots = app.outlets.reserve(1).await?;
    let state = &mut *cell.lock();
    let mut event = state.channel.event(kind::MESSAGE_READ, &Date::now());
    event.user = Some(user);
    event.custom.insert("last_read_at".to_owned(), read.last_read.into());
    event.custom.insert("unread_messages".to_owned(), read.unread_messages.into());
    event.custom.insert("last_read_message_id".to_owned(), read.last_read_message_id.map_or(Value::Null, Value::from));
    if !app.is_throttled(state) {
        cell.broadcast(state, &mut slots, &event, None);
    }
    Ok(call.created(EventAnswer { event, duration: String::new() }))
}
