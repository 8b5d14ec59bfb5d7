//! `GET /search`: messages in memory whose text holds the query.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use wire::event::Message;
use wire::limits;

use super::filter::Filter;
use super::{Answer, Call, Failure};
use crate::app::App;
use crate::failure;

/// One hit.
#[derive(Debug, Serialize)]
struct Hit {
    message: Message,
}

/// The answer to `GET /search`.
#[derive(Debug, Serialize)]
pub(crate) struct SearchAnswer {
    results: Vec<Hit>,
    pub(super) duration: String,
}

/// Searches the channels that match `filter_conditions` (or `cid`), newest messages first.
pub(crate) async fn search(State(app): State<Arc<App>>, call: Call) -> Result<Answer, Failure> {
    let payload = call.parameters.payload()?;
    let query = payload.get("query").and_then(Value::as_str).map(str::to_lowercase).filter(|query| !query.is_empty());
    let query = query.ok_or_else(|| failure::input("query is missing: what to look for"))?;
    let limit = super::users::number(&payload, "limit")?.unwrap_or(limits::SEARCH).min(limits::SEARCH);
    let filter = match (payload.get("filter_conditions"), payload.get("cid")) {
        (Some(Value::Object(conditions)), _) => Filter::parse(conditions)?,
        (Some(_), _) => return Err(failure::input("filter_conditions must be an object").into()),
        (None, Some(cid)) => Filter::parse(&Map::from_iter([("cid".to_owned(), cid.clone())]))?,
        (None, None) => Filter::parse(&Map::new())?,
    };
    let mut messages: Vec<Message> = Vec::new();
    for cell in filter.candidates(&app) {
        let channel = &cell.lock().channel;
        if filter.matches(channel) {
            messages.extend(channel.search(&query, limit));
        }
    }
    messages.sort_unstable_by(|a, b| b.created_at.cmp(&a.created_at));
    let results = messages.into_iter().take(limit).map(|message| Hit { message }).collect();
    Ok(call.ok(SearchAnswer { results, duration: String::new() }))
}
