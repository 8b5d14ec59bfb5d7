//! `GET /connect`: the WebSocket handshake, and who may connect.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wire::api::ConnectPayload;
use wire::deflate::{Agreement, Direction};
use wire::event::{Event, kind};
use wire::frame::server_close;
use wire::{ApiError, close, handshake, limits};

use crate::accept::Permit;
use crate::api::{Failure, Query};
use crate::app::App;
use crate::auth::Caller;
use crate::channel::encode;
use crate::connection::Deflate;
use crate::guests::Guest;
use crate::record::Record;
use crate::shard::{Shard, Upgraded};
use crate::stats::add;
use crate::users::UserCell;
use crate::{failure, session};

/// The version of the WebSocket protocol (RFC 6455).
const VERSION: &str = "13";

/// Answers the handshake; a refused client is told why over the WebSocket, as the protocol wants it.
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Query(query): Query,
    mut request: Request,
) -> Result<Response, Failure> {
    let accept = accept_of(request.headers())?;
    if !has(request.headers(), &SEC_WEBSOCKET_VERSION, VERSION) {
        let mut refusal = Failure(failure::websocket_version()).into_response();
        refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        return Ok(refusal);
    }
    let (deflate, extensions) = agree(request.headers());
    has_room(&app)?;
    let admitted = admit(&app, &query).await;
    let upgrade = hyper::upgrade::on(&mut request);
    let permit = request.extensions_mut().remove::<Permit>();
    let (Some(shard), Some(permit)) = (Shard::current(), permit) else {
        return Err(Failure(failure::internal("the handshake came to a thread that is no shard's")));
    };
    spawn_session(&shard, upgrade, deflate, admitted, permit);
    drop(shard);
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(extensions) = extensions {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    Ok(response)
}

/// Whether a header that is a list has this part.
fn has(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
}

/// Checks that it is a WebSocket handshake, and computes its proof.
fn accept_of(headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    if !has(headers, &CONNECTION, "upgrade") || !has(headers, &UPGRADE, "websocket") {
        return Err(failure::input("/connect speaks WebSocket: send Connection: Upgrade and Upgrade: websocket"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    let key = key.filter(|key| handshake::is_key(key));
    let key = key.ok_or_else(|| failure::input("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let accept = HeaderValue::try_from(handshake::accept_key(key));
    Ok(accept.expect("base64 may stand in a header"))
}

/// What is agreed on compression, and the answer's header that says so.
fn agree(headers: &HeaderMap) -> (Deflate, Option<HeaderValue>) {
    const ALLOWED: Agreement = Agreement { from_server: Direction::FULL, from_client: session::CLIENTS };
    let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
    let chosen = Agreement::choose(offers, &ALLOWED);
    let Some((agreed, answer)) = chosen else { return (Deflate::default(), None) };
    // Who wants a smaller window, or none, can't share the channels'; it gets its events as they are.
    let deflate = Deflate { agreed: true, follows: agreed.from_server == Direction::FULL };
    (deflate, HeaderValue::try_from(answer).ok())
}

/// Whether another user may connect, and leaves room for what the others ask. Some who come at the same instant may be
/// let in beyond that.
///
/// # Errors
/// When there are enough.
pub(crate) fn has_room(app: &App) -> Result<(), ApiError> {
    if app.connections.count() < app.config.users_max as u64 {
        return Ok(());
    }
    add(&app.stats.refused, 1);
    Err(failure::unavailable("no more users can be connected here: try again elsewhere or later"))
}

/// Who connects, if he may. Serves `/connect` and `/longpoll`.
pub(crate) async fn admit(app: &App, query: &crate::api::Parameters) -> Result<Arc<UserCell>, ApiError> {
    let caller = query.caller(app)?;
    let payload = match query.get("json") {
        Some(json) => serde_json::from_str::<ConnectPayload>(json)
            .map_err(|error| failure::input(format!("the json parameter: {error}")))?,
        None => return Err(failure::input("the json parameter is missing: {\"user_id\": …, \"user_details\": {…}}")),
    };
    let detail = payload.user_details.get("id").and_then(|id| id.as_str()).unwrap_or_default();
    let named = if payload.user_id.is_empty() { detail } else { &payload.user_id };
    let id = match &caller {
        Caller::User(id) if named.is_empty() || named == id => id,
        Caller::User(id) => {
            return Err(failure::auth(format!("the token is {id:?}'s, but user_id is {named:?}")));
        }
        Caller::Server if named.is_empty() => return Err(failure::input("user_id is missing")),
        Caller::Server => named,
    };
    if !limits::is_name(id) {
        return Err(failure::input("a user_id has 1 to 255 bytes and no control characters"));
    }
    let (user, changed) = app.users.upsert(id, &payload.user_details)?;
    if let Some(edge) = app.edge.as_ref().filter(|_| changed) {
        edge.admit(&user);
    }
    if let Some(store) = app.store.as_ref().filter(|_| changed) {
        store.keep(vec![Record::user(&user.show())]).await?;
    }
    Ok(user)
}

/// Waits for the handshake's end and takes the socket out.
async fn upgraded(upgrade: OnUpgrade, patience: Duration) -> Option<(TcpStream, Bytes)> {
    let upgraded = tokio::time::timeout(patience, upgrade).await.ok()?.ok()?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

/// Lets the socket stay with the shard that has answered its handshake, or tells the client why not.
fn spawn_session(
    shard: &Rc<Shard>,
    upgrade: OnUpgrade,
    deflate: Deflate,
    admitted: Result<Arc<UserCell>, ApiError>,
    permit: Permit,
) {
    let app = shard.app().clone();
    let shard = shard.clone();
    let session = async move {
        let Some((stream, early)) = upgraded(upgrade, shard.app().config.request_timeout).await else { return };
        match admitted {
            Ok(user) => match stream.into_std() {
                Ok(stream) => shard.open(Upgraded { stream, early, deflate }, &user, permit),
                Err(error) => tracing::warn!("can't take a socket over: {error}"),
            },
            Err(error) => refuse(&shard, stream, error).await,
        }
    };
    tokio::task::spawn_local(app.tasks.track_future(session));
}

/// Says why, then closes for good.
async fn refuse(shard: &Shard, mut stream: TcpStream, error: ApiError) {
    let event = Event {
        kind: kind::CONNECTION_ERROR.to_owned(),
        created_at: crate::time::Date::now().text,
        cid: "*".to_owned(),
        error: Some(error),
        ..Event::default()
    };
    let farewell = async {
        stream.write_all(&encode(&event)).await?;
        stream.write_all(&server_close(close::NORMAL, "")).await?;
        session::linger(&mut stream).await
    };
    let guest = Guest::new(shard.guests(), shard.app().clock.now());
    tokio::select! {
        // It may be gone before it hears why.
        _ = tokio::time::timeout(shard.app().farewell_timeout(), farewell) => {}
        () = guest.sent_away() => {}
    }
}
