//! The REST API of an edge: what concerns its own connections is done here, all else is passed on.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use measure::Timestamp;
use proto::link::{CallReply, CallRequest, Header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wire::ApiError;
use wire::api::{ChannelQuery, ChannelState, StopWatchingAnswer, SyncAnswer};
use wire::event::kind;

use super::query::ChannelsAnswer;
use super::{Body, Call, ChannelName, Failure, PASSED_ON, gate, longpoll, request, stats, unknown, wrong_method};
use crate::app::App;
use crate::auth::Caller;
use crate::cell::Cell;
use crate::connection::Connection;
use crate::edge::{EdgeLink, admission};
use crate::time::Date;
use crate::{connect, failure};

/// Headers that are about one connection, or that the other side makes itself.
const HOPS: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, HOST];

/// What an edge serves itself; [`gate`] passes the rest on.
pub(super) fn router(app: Arc<App>) -> Router {
    let passed_on = PASSED_ON.into_iter().fold(Router::new(), |router, path| router.route(path, any(passed_on)));
    passed_on
        .route("/connect", get(connect::connect))
        .route("/longpoll", get(longpoll::longpoll).post(longpoll::longpoll))
        .route("/channels", post(query_channels))
        .route("/channels/{type}/{id}/query", post(query))
        .route("/channels/{type}/{id}/stop-watching", post(stop_watching))
        .route("/stats", get(stats::stats))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), gate::gate))
        .with_state(app)
}

/// The link; every handler here is an edge's.
fn link(app: &App) -> Result<&Arc<EdgeLink>, ApiError> {
    app.edge.as_ref().ok_or_else(|| failure::internal("this node is no edge"))
}

/// Never reached with a good token: [`gate`] has passed such a call on.
async fn passed_on() -> Failure {
    Failure(failure::internal("the call was not passed on"))
}

/// Passes a request on as it is.
pub(super) async fn pass_on(app: &App, caller: Option<&Caller>, request: Request, started: Timestamp) -> Response {
    match forward(app, caller, request).await {
        Ok(answer) => answer,
        Err(error) => gate::fail(error, app.clock.now().since(started)),
    }
}

async fn forward(app: &App, caller: Option<&Caller>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = request::read(&parts.headers, body, app.config.request_timeout).await?;
    let headers = parts.headers.iter().filter(|(name, _)| !HOPS.contains(name));
    let headers = headers.map(|(name, value)| Header {
        name: name.as_str().to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    });
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let call = CallRequest {
        method: parts.method.as_str().to_owned(),
        path_and_query,
        headers: headers.collect(),
        body,
        user: unknown_user(app, caller),
        ..CallRequest::default()
    };
    let asks = parts.method == Method::GET || parts.uri.path() == "/sync";
    let link = link(app)?;
    Ok(answer(if asks { link.call(app, call).await? } else { link.change(app, call).await? }))
}

/// The caller, if he is known here and perhaps not yet to the origin.
fn unknown_user(app: &App, caller: Option<&Caller>) -> Option<proto::link::AdmittedUser> {
    let Some(Caller::User(id)) = caller else { return None };
    app.users.get(id).filter(|user| !user.is_admitted()).map(|user| admission(&user))
}

/// The origin's answer, as it is.
fn answer(reply: CallReply) -> Response {
    let mut response = Response::new(axum::body::Body::from(reply.body));
    *response.status_mut() =
        u16::try_from(reply.status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
    for Header { name, value } in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The query that names app and user.
fn credentials(call: &Call) -> String {
    let mut parameters = url::form_urlencoded::Serializer::new(String::new());
    for name in ["api_key", "user_id"] {
        if let Some(value) = call.parameters.get(name) {
            parameters.append_pair(name, value);
        }
    }
    parameters.finish()
}

/// Asks the origin in the caller's name for something that is then worked on here.
async fn ask<T: for<'de> Deserialize<'de>>(
    app: &App,
    call: &Call,
    path: &str,
    body: &Value,
) -> Result<Result<T, Response>, ApiError> {
    let reply = reply(app, call, path, body).await?;
    if !(200..300).contains(&reply.status) {
        return Ok(Err(answer(reply)));
    }
    let parsed = serde_json::from_slice(&reply.body);
    parsed.map(Ok).map_err(|error| failure::internal(format!("the origin's answer is not what was asked for: {error}")))
}

/// Asks the origin in the caller's name.
async fn ask_whole(app: &App, call: &Call, path: &str, body: &Value) -> Result<Response, ApiError> {
    Ok(answer(reply(app, call, path, body).await?))
}

async fn reply(app: &App, call: &Call, path: &str, body: &Value) -> Result<CallReply, ApiError> {
    let token = call.parameters.get(request::TOKEN).unwrap_or_default();
    let request = CallRequest {
        method: Method::POST.as_str().to_owned(),
        path_and_query: format!("{path}?{}", credentials(call)),
        headers: vec![Header { name: request::TOKEN.to_owned(), value: Bytes::copy_from_slice(token.as_bytes()) }],
        body: body.to_string().into(),
        user: unknown_user(app, Some(&call.caller)),
        ..CallRequest::default()
    };
    link(app)?.call(app, request).await
}

/// Tells whoever watches a channel by now, which is who has created it, that it has come to be.
async fn tell_created(app: &App, cell: &Arc<Cell>, by: &Connection) -> Result<(), ApiError> {
    let mut slots = app.outlets.reserve(1).await?;
    let state = &mut *cell.lock();
    let mut event = state.channel.event(kind::CHANNEL_CREATED, &Date::now());
    event.user = Some(by.user.show());
    cell.broadcast(state, &mut slots, &event, None);
    Ok(())
}

/// The channel, subscribed; made by the origin if need be, and then `true`.
async fn subscribed(
    app: &App,
    call: &Call,
    name: &ChannelName,
    data: &Map<String, Value>,
) -> Result<Result<(Arc<Cell>, bool), Response>, ApiError> {
    let mut created = false;
    for _ in 0..3 {
        if let Some(cell) = link(app)?.subscribe(app, &name.kind, &name.id).await? {
            return Ok(Ok((cell, created)));
        }
        let path = format!("/channels/{}/{}/query", name.kind, name.id);
        let made = ask_whole(app, call, &path, &json!({ "data": data })).await?;
        created |= made.headers().contains_key(super::channels::CREATED);
        if !made.status().is_success() {
            return Ok(Err(made));
        }
    }
    Err(failure::origin_away())
}

/// A channel that a connection watches.
struct Watched {
    cell: Arc<Cell>,
    /// The number after which it gets every event.
    seq: u64,
    /// It did not watch before.
    begins: bool,
}

/// Subscribes to a channel if need be and watches it; answers where it began.
async fn watch(
    app: &App,
    call: &Call,
    name: &ChannelName,
    data: &Map<String, Value>,
    connection: &Arc<Connection>,
) -> Result<Result<Watched, Response>, ApiError> {
    let mut failed = failure::origin_away();
    for _ in 0..3 {
        let (cell, created) = match subscribed(app, call, name, data).await? {
            Ok(subscribed) => subscribed,
            Err(refused) => return Ok(Err(refused)),
        };
        let begins = connection.watched(cell.room).is_none();
        match app.watch(&cell, connection).await {
            Ok(seq) => {
                if created {
                    tell_created(app, &cell, connection).await?;
                }
                return Ok(Ok(Watched { cell, seq, begins }));
            }
            // It was given up in between.
            Err(error) => failed = error,
        }
        if cell.remote.as_ref().is_none_or(|remote| remote.is_live()) {
            break;
        }
    }
    Err(failed)
}

/// Gets a channel and watches it. The answer is made after watching has begun, so nothing falls in between.
async fn query(
    State(app): State<Arc<App>>,
    call: Call,
    name: ChannelName,
    Body(query): Body<ChannelQuery>,
) -> Result<Response, Failure> {
    call.user(&app, query.data.get("created_by_id").and_then(Value::as_str))?;
    let path = format!("/channels/{}/{}/query", name.kind, name.id);
    let asked = ChannelQuery { watch: false, ..query.clone() };
    let asked = serde_json::to_value(&asked).map_err(|_| failure::internal("a query could not be passed on"))?;
    if !query.watch {
        let found = ask::<ChannelState>(&app, &call, &path, &asked).await?;
        return Ok(found.map_or_else(|refused| refused, |found| call.created(found).into_response()));
    }
    let connection = call.connection(&app)?;
    let Watched { cell, seq, begins } = match watch(&app, &call, &name, &query.data, &connection).await? {
        Ok(watched) => watched,
        Err(refused) => return Ok(refused),
    };
    let fetched = async { ask::<ChannelState>(&app, &call, &path, &asked).await.map_err(Err)?.map_err(Ok) };
    let described = match &cell.remote {
        Some(remote) if !query.state && call.token_user().is_some() => {
            // One after another may fail before it is this call's turn.
            let described = EdgeLink::describe(&app.clock, remote, seq, fetched);
            match tokio::time::timeout(app.config.request_timeout, described).await {
                Ok(described) => described,
                Err(_) => Err(Err(failure::origin_away())),
            }
        }
        _ => fetched.await,
    };
    let mut state = match described {
        Ok(state) => state,
        Err(refused) => {
            if begins {
                app.unwatch(&cell, &connection).await?;
            }
            return refused.map_err(Failure);
        }
    };
    state.seq = seq;
    state.watcher_count = cell.lock().watchers();
    if query.presence {
        app.observe(&connection, &cell, &state.members);
    }
    Ok(call.created(state).into_response())
}

/// Channels by filter. Those that are watched are found first, and described after watching has begun.
async fn query_channels(
    State(app): State<Arc<App>>,
    call: Call,
    Body(mut query): Body<Map<String, Value>>,
) -> Result<Response, Failure> {
    let watches = query.remove("watch").is_some_and(|watch| watch == true);
    let presence = query.get("presence").is_some_and(|presence| *presence == true);
    let connection = if watches { Some(call.connection(&app)?) } else { None };
    let found = ask::<ChannelsAnswer>(&app, &call, "/channels", &Value::Object(query.clone())).await?;
    let mut found = match found {
        Ok(found) => found,
        Err(refused) => return Ok(refused),
    };
    let Some(connection) = connection else { return Ok(call.created(found).into_response()) };
    let mut began = std::collections::HashMap::new();
    for state in &found.channels {
        let name = ChannelName::new(state.channel.kind.clone(), state.channel.id.clone())?;
        match watch(&app, &call, &name, &Map::new(), &connection).await? {
            Ok(watched) => drop(began.insert(state.channel.cid.clone(), watched)),
            Err(refused) => return Ok(refused),
        }
    }
    if !began.is_empty() {
        let cids: Vec<&String> = began.keys().collect();
        query.insert("filter_conditions".to_owned(), json!({ "cid": { "$in": cids } }));
        query.insert("offset".to_owned(), json!(0));
        query.insert("limit".to_owned(), json!(cids.len()));
        match ask::<ChannelsAnswer>(&app, &call, "/channels", &Value::Object(query)).await? {
            Ok(described) => found = described,
            Err(refused) => return Ok(refused),
        }
    }
    for state in &mut found.channels {
        let Some(Watched { cell, seq, .. }) = began.get(&state.channel.cid) else { continue };
        state.seq = *seq;
        state.watcher_count = cell.lock().watchers();
        if presence {
            app.observe(&connection, cell, &state.members);
        }
    }
    Ok(call.created(found).into_response())
}

/// Stops watching; the number is the newest that has been passed on here.
async fn stop_watching(State(app): State<Arc<App>>, call: Call, name: ChannelName) -> Result<Response, Failure> {
    let connection = call.connection(&app)?;
    let cid = name.cid();
    let live = |cell: &Arc<Cell>| cell.remote.as_ref().is_some_and(|remote| remote.is_live());
    let seq = match app.channels.get(&cid).filter(live) {
        Some(cell) => app.unwatch(&cell, &connection).await?,
        None => {
            // Nobody watches it here: its newest number is the origin's to say.
            let asked = json!({ "channel_cids": [cid], "last_seq": { cid.as_str(): u64::MAX } });
            match ask::<SyncAnswer>(&app, &call, "/sync", &asked).await? {
                Ok(answer) => {
                    let seq = answer.seq.get(&cid).copied();
                    seq.ok_or_else(|| failure::not_found(format!("channel {cid:?}")))?
                }
                Err(refused) => return Ok(refused),
            }
        }
    };
    Ok(call.created(StopWatchingAnswer { seq, ..StopWatchingAnswer::default() }).into_response())
}
