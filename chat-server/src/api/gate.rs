//! What every call passes: who is it, may he, and the headers of the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method};
use measure::Timestamp;
use wire::ApiError;

use super::answer::Answer;
use super::cors::Cors;
use super::request::{Call, Parameters};
use super::{Failure, edge};
use crate::app::App;
use crate::auth::Caller;
use crate::failure;
use crate::rate::Allowance;
use crate::stats::add;
use crate::time::unix_seconds;

/// Endpoints that check their callers themselves, or let everybody in.
const OPEN: [&str; 3] = ["/connect", POLLS, "/stats"];
const POLLS: &str = "/longpoll";

/// What an answer carries whose caller is known, for whoever serves the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vouched;

/// Lets a call in, or not, and completes its answer.
pub(crate) async fn gate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = app.clock.now();
    add(&app.stats.requests, 1);
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let passed_on = app.edge.is_some() && path.as_deref().is_some_and(|path| super::PASSED_ON.contains(&path));
    let parameters = match path.as_deref() {
        Some(path) if !OPEN.contains(&path) => Some(Parameters::of(request.uri(), request.headers())),
        _ => None,
    };
    let caller = parameters.as_ref().map(|parameters| parameters.caller(&app));
    let user = match &caller {
        Some(Ok(Caller::User(id))) => Some(id.as_str()),
        _ => None,
    };
    let is_known = matches!(caller, Some(Ok(_)));
    // What nobody serves is one endpoint, however it is called: a caller can't make the counts grow.
    let method = [Method::GET, Method::POST, Method::DELETE].into_iter().find(|known| known == request.method());
    let method = method.as_ref().map_or("*", Method::as_str);
    let endpoint = format!("{method} {}", path.as_deref().unwrap_or("*"));
    let cors = Cors::of(request.method(), request.headers());
    let is_preflight = cors.as_ref().is_some_and(|cors| cors.preflight().is_some());
    if passed_on && !is_preflight && matches!(caller, Some(Ok(_))) {
        // How often it may be called, and from where, is the origin's to say.
        return edge::pass_on(&app, caller.as_ref().and_then(|caller| caller.as_ref().ok()), request, started).await;
    }
    let now = unix_seconds();
    let allowance = app.limiter.call(&endpoint, user, now);
    let mut response = if !allowance.allowed {
        add(&app.stats.rate_limited, 1);
        Failure(failure::rate_limited((allowance.reset - now).unsigned_abs())).into_response()
    } else if let Some(preflight) = cors.as_ref().and_then(Cors::preflight) {
        preflight
    } else {
        match caller {
            Some(Err(error)) => Failure(error).into_response(),
            Some(Ok(caller)) => {
                let parameters = parameters.unwrap_or_default();
                request.extensions_mut().insert(Call { caller, started, clock: app.clock.clone(), parameters });
                next.run(request).await
            }
            None => next.run(request).await,
        }
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        add(&app.stats.failed, 1);
        let headers = std::mem::take(response.headers_mut());
        response = fail(error, app.clock.now().since(started));
        response.headers_mut().extend(headers);
    }
    put_headers(&mut response, allowance);
    if is_known || path.as_deref() == Some(POLLS) && response.status().is_success() {
        response.extensions_mut().insert(Vouched);
    }
    if let Some(cors) = cors {
        cors.allow(response.headers_mut());
    }
    response
}

pub(super) fn fail(mut error: ApiError, took: Duration) -> Response {
    error.duration = duration(took);
    let status = http::StatusCode::from_u16(error.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    Answer::json(status, &error).into_response()
}

fn put_headers(response: &mut Response, allowance: Allowance) {
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", HeaderValue::from(allowance.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(allowance.remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(allowance.reset));
}

/// A duration as answers show it.
pub(crate) fn duration(took: Duration) -> String {
    format!("{:.2}ms", took.as_secs_f64() * 1_000.0)
}

/// How long it took since `started`.
pub(super) fn took(clock: &measure::Clock, started: Timestamp) -> String {
    duration(clock.now().since(started))
}
