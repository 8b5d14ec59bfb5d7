//! `GET /longpoll`: the same connection and outbox as a WebSocket's, read by polling.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use wire::frame::server_payload;
use wire::{ApiError, close};

use super::{Answer, Failure, Query, gate};
use crate::app::App;
use crate::connect::{admit, has_room};
use crate::connection::{Connection, Polled};
use crate::failure;
use crate::outbox::{Closing, Taken};
use crate::shard::Shard;

/// `{"events": […], …}` of events that are JSON already, and the fields of `rest`, which must have one.
pub(super) fn events_json(events: &[Bytes], rest: &impl Serialize) -> Vec<u8> {
    let rest = serde_json::to_vec(rest).expect("names, numbers and texts, which JSON can hold");
    let mut json = Vec::with_capacity(events.iter().map(|event| event.len() + 1).sum::<usize>() + 16);
    json.extend_from_slice(br#"{"events":["#);
    for (i, event) in events.iter().enumerate() {
        if i > 0 {
            json.push(b',');
        }
        json.extend_from_slice(event);
    }
    json.extend_from_slice(b"],");
    json.extend_from_slice(&rest[1..]);
    json
}

/// Opens a connection, polls it, or closes it.
pub(crate) async fn longpoll(State(app): State<Arc<App>>, Query(query): Query) -> Result<Answer, Failure> {
    let started = app.clock.now();
    let answer = |events: &[Bytes]| {
        let rest = json!({ "duration": gate::took(&app.clock, started) });
        Answer::raw(StatusCode::OK, events_json(events, &rest))
    };
    let Some(id) = query.get("connection_id") else {
        has_room(&app)?;
        let user = admit(&app, &query).await?;
        let shard = Shard::current();
        let shard = shard.ok_or_else(|| failure::internal("the call came to a thread that is no shard's"))?;
        let connection = shard.open_polled(&user);
        let event = app.health_check(&connection, true);
        let answer = json!({ "event": event, "duration": gate::took(&app.clock, started) });
        return Ok(Answer::json(StatusCode::OK, &answer));
    };
    let user = match query.caller(&app)? {
        crate::auth::Caller::User(id) => Some(id),
        crate::auth::Caller::Server => None,
    };
    let connection = app.connections.get(id, user.as_deref())?;
    let polled = connection.polled.as_deref();
    let polled = polled.ok_or_else(|| failure::input("this connection is a WebSocket's"))?;
    if query.get("close") == Some("true") {
        polled.outbox.close(close::NORMAL, "closed by the client");
        app.disconnect(&connection);
        return Ok(answer(&[]));
    }
    let events = poll(&app, &connection, polled).await?;
    Ok(answer(&events))
}

/// A poll that waits; dropping it lets the next one wait.
struct Waiting<'a>(&'a Polled);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.store(false, Ordering::Release);
    }
}

/// Waits for events.
async fn poll(app: &Arc<App>, connection: &Arc<Connection>, polled: &Polled) -> Result<Vec<Bytes>, ApiError> {
    if polled.waits.swap(true, Ordering::Acquire) {
        return Err(failure::input("another poll of this connection is waiting"));
    }
    let waiting = Waiting(polled);
    polled.heard(app.clock.now());
    let mut frames = VecDeque::new();
    let taken = std::future::poll_fn(|cx| polled.outbox.poll_take(cx, &mut frames));
    let taken = tokio::time::timeout(app.config.longpoll_wait, taken).await;
    polled.heard(app.clock.now());
    drop(waiting);
    match taken {
        Ok(Taken::Frames) => {
            polled.outbox.written(frames.iter().map(Bytes::len).sum());
            Ok(frames.iter().map(server_payload).collect())
        }
        Ok(Taken::Closed(Closing { code, reason })) => {
            app.disconnect(connection);
            tracing::debug!(user = %connection.user.id, code, "a polled connection ends: {reason}");
            Err(failure::connection_unknown())
        }
        Err(_) => Ok(Vec::new()),
    }
}
