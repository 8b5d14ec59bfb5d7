//! `POST /channels/{type}/{id}/…`: get or create, watch, stop watching, members.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderName;
use serde_json::{Map, Value};
use wire::api::{ChannelQuery, ChannelState, StopWatchingAnswer, UpdateChannel};
use wire::event::{User, kind};
use wire::{ApiError, limits};

use super::{Answer, Body, Call, ChannelName, Failure};
use crate::app::App;
use crate::cell::Cell;
use crate::channel::{Channel, Step};
use crate::failure;
use crate::time::Date;
use crate::users::UserCell;

/// Gets a channel, or creates it; watches it if asked to.
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
    Body(query): Body<ChannelQuery>,
) -> Result<Answer, Failure> {
    let by = call.user(&app, query.data.get("created_by_id").and_then(Value::as_str))?;
    let connection = if query.watch { Some(call.connection(&app)?) } else { None };
    let (cell, created) = get_or_create(&app, &name, &by, &query.data).await?;
    let watched_from = match &connection {
        Some(connection) => Some(app.watch(&cell, connection).await?),
        None => None,
    };
    if created {
        let mut slots = app.outlets.reserve(1).await?;
        let state = &mut *cell.lock();
        let mut event = state.channel.event(kind::CHANNEL_CREATED, &Date::now());
        event.user = Some(by.show());
        cell.broadcast(state, &mut slots, &event, None);
    }
    let mut answer = describe(&app, &cell, &query).await?;
    if let Some(seq) = watched_from {
        answer.seq = seq;
    }
    if query.presence {
        app.show_presence(&mut answer.members);
        if let Some(connection) = &connection {
            app.observe(connection, &cell, &answer.members);
        }
    }
    Ok(if created { call.created(answer).with_header(CREATED) } else { call.created(answer) })
}

/// A header that tells an edge that its query has created the channel.
pub(super) const CREATED: HeaderName = HeaderName::from_static("x-throng-created");

/// The channel's state as the query wants it.
pub(super) async fn describe(app: &App, cell: &Arc<Cell>, query: &ChannelQuery) -> Result<ChannelState, ApiError> {
    let mut answer = {
        let state = cell.lock();
        let channel = &state.channel;
        let mut answer = ChannelState {
            channel: channel.describe(),
            watcher_count: state.watchers(),
            seq: state.audience.seq(),
            ..ChannelState::default()
        };
        if query.state {
            answer.members = channel.members.values().take(limits::MEMBERS).cloned().collect();
            answer.read = channel.read_states();
        }
        answer
    };
    if query.state {
        answer.messages = app.page(cell, &query.messages.clone().unwrap_or_default(), None).await?;
    }
    Ok(answer)
}

/// The channel, and whether this call has created it.
async fn get_or_create(
    app: &App,
    name: &ChannelName,
    by: &UserCell,
    data: &Map<String, Value>,
) -> Result<(Arc<Cell>, bool), ApiError> {
    let cid = name.cid();
    if let Some(cell) = app.channels.get(&cid) {
        return Ok((cell, false));
    }
    let (custom, members) = read_data(app, data)?;
    let creator = by.show();
    let make = || {
        let mut channel = Channel::new(&name.kind, &name.id, Some(creator.clone()), &Date::now(), app.bounds());
        channel.custom = custom;
        app.cell(channel)
    };
    let (cell, created) = app.channels.get_or_insert_with(cid, make);
    if created {
        let named: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
        let found = |channel: &mut Channel, at: &Date| {
            let mut step = Step::nothing(());
            channel.found(&mut step, members, at);
            Ok(step)
        };
        app.change(&cell, found).await?;
        notify(app, &cell, kind::NOTIFICATION_ADDED_TO_CHANNEL, &named).await;
    }
    Ok((cell, created))
}

/// A new channel's custom fields and its first members.
fn read_data(app: &App, data: &Map<String, Value>) -> Result<(Map<String, Value>, Vec<User>), ApiError> {
    let mut custom = data.clone();
    let members = match custom.remove("members") {
        None => Vec::new(),
        Some(members) => serde_json::from_value::<Vec<String>>(members)
            .map_err(|error| failure::input(format!("data.members must be a list of user ids: {error}")))?,
    };
    for reserved in
        ["id", "type", "cid", "created_at", "last_message_at", "created_by", "created_by_id", "member_count"]
    {
        custom.remove(reserved);
    }
    crate::custom::check("data", &custom)?;
    Ok((custom, users(app, &members)?))
}

/// Users by their ids.
fn users(app: &App, ids: &[String]) -> Result<Vec<User>, ApiError> {
    if ids.len() > limits::USERS {
        return Err(failure::input(format!("at most {} members in one call", limits::USERS)));
    }
    if let Some(bad) = ids.iter().find(|id| !limits::is_name(id)) {
        return Err(failure::input(format!("{bad:?} can't be a user id")));
    }
    Ok(ids.iter().map(|id| app.users.get_or_create(id).0.show()).collect())
}

/// Tells users that their membership has changed, wherever they are connected.
async fn notify(app: &App, cell: &Cell, kind: &str, users: &[String]) {
    if users.is_empty() {
        return;
    }
    let (event, channel) = {
        let state = cell.lock();
        (state.channel.event(kind, &Date::now()), state.channel.describe())
    };
    let channel = serde_json::to_value(&channel).unwrap_or_default();
    for id in users {
        let mut event = event.clone();
        event.member = Some(app.users.get_or_create(id).0.show());
        event.custom.insert("channel".to_owned(), channel.clone());
        app.tell_user(id, &event).await;
    }
}

/// Stops watching.
pub(crate) async fn stop_watching(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
) -> Result<Answer, Failure> {
    let connection = call.connection(&app)?;
    let cell = app.channel(&name.cid())?;
    let seq = app.unwatch(&cell, &connection).await?;
    Ok(call.created(StopWatchingAnswer { seq, ..StopWatchingAnswer::default() }))
}

/// Adds and removes members.
pub(crate) async fn update(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
    Body(body): Body<UpdateChannel>,
) -> Result<Answer, Failure> {
    let cell = app.channel(&name.cid())?;
    let server = call.token_user().is_none();
    let by = if server { call.user(&app, Some("server"))? } else { call.user(&app, None)? }.show();
    if body.remove_members.len() > limits::USERS {
        return Err(failure::input(format!("at most {} members in one call", limits::USERS)).into());
    }
    let add = users(&app, &body.add_members)?;
    let (mut added, mut removed) = (body.add_members, body.remove_members);
    let change = |channel: &mut Channel, at: &Date| {
        // Who is in or out already is told nothing.
        added.retain(|id| !channel.members.contains_key(id));
        let asked = removed.clone();
        removed.retain(|id| channel.members.contains_key(id));
        channel.change_members(add, &asked, &by, server, at)
    };
    app.change(&cell, change).await?;
    notify(&app, &cell, kind::NOTIFICATION_ADDED_TO_CHANNEL, &added).await;
    notify(&app, &cell, kind::NOTIFICATION_REMOVED_FROM_CHANNEL, &removed).await;
    let answer = describe(&app, &cell, &ChannelQuery { state: true, ..ChannelQuery::default() }).await?;
    Ok(call.created(answer))
}
