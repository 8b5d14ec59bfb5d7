//! The REST API: one module a resource. Every call passes [`gate`], which says who calls and how often he may.

mod about;
mod answer;
mod channels;
mod cors;
mod edge;
mod events;
mod filter;
mod gate;
mod longpoll;
mod members;
mod messages;
mod query;
mod reactions;
mod request;
mod search;
mod stats;
mod sync;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::OriginalUri;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::Method;

use crate::app::App;
use crate::{connect, failure};

pub(crate) use answer::{Answer, Failure};
pub(crate) use gate::Vouched;
pub(crate) use request::{Body, Call, ChannelName, Parameters, Query, Segments};

/// Endpoints that an edge passes on.
const PASSED_ON: [&str; 13] = [
    "/channels/{type}/{id}",
    "/channels/{type}/{id}/message",
    "/channels/{type}/{id}/event",
    "/channels/{type}/{id}/read",
    "/messages/{id}",
    "/messages/{id}/replies",
    "/messages/{id}/reaction",
    "/messages/{id}/reaction/{type}",
    "/members",
    "/users",
    "/search",
    "/sync",
    "/app",
];

/// All endpoints.
pub(crate) fn router(app: Arc<App>) -> Router {
    if app.edge.is_some() {
        return edge::router(app);
    }
    Router::new()
        .route("/connect", get(connect::connect))
        .route("/longpoll", get(longpoll::longpoll).post(longpoll::longpoll))
        .route("/channels", post(query::query_channels))
        .route("/channels/{type}/{id}", post(channels::update))
        .route("/channels/{type}/{id}/query", post(channels::query))
        .route("/channels/{type}/{id}/stop-watching", post(channels::stop_watching))
        .route("/channels/{type}/{id}/message", post(messages::send))
        .route("/channels/{type}/{id}/event", post(events::send))
        .route("/channels/{type}/{id}/read", post(events::mark_read))
        .route("/messages/{id}", get(messages::get).post(messages::update).delete(messages::delete))
        .route("/messages/{id}/replies", get(messages::replies))
        .route("/messages/{id}/reaction", post(reactions::add))
        .route("/messages/{id}/reaction/{type}", axum::routing::delete(reactions::remove))
        .route("/members", get(members::query))
        .route("/users", get(users::query).post(users::upsert))
        .route("/search", get(search::search))
        .route("/sync", post(sync::sync))
        .route("/app", get(about::app))
        .route("/stats", get(stats::stats))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), gate::gate))
        .with_state(app)
}

async fn unknown(method: Method, OriginalUri(uri): OriginalUri) -> Failure {
    Failure(failure::not_found(format!("endpoint {method} {}", uri.path())))
}

async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> Failure {
    Failure(failure::method(format!("{} exists, but not for {method}", uri.path())))
}
