//! `GET /search`: messages in memory whose text holds the query.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use wire::event::Message;
use wire::limits;

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

/// Searches the channels that `filter_conditions` (or `cid`) name, newest messages first.
pub(crate) async fn search(State(app): State<Arc<App>>, call: Call) -> Result<Answer, Failure> {
    let payload = call.parameters.payload()?;
    let query = payload.get("query").and_then(Value::as_str).map(str::to_lowercase).filter(|query| !query.is_empty());
    let query = query.ok_or_else(|| failure::input("query is missing: what to look for"))?;
    let limit = super::users::number(&payload, "limit")?.unwrap_or(limits::SEARCH).min(limits::SEARCH);
    let condition =
        payload.get("filter_conditions").and_then(|filter| filter.get("cid")).or_else(|| payload.get("cid"));
    let cells = match condition {
        Some(condition) => {
            let cids = super::query::strings(condition)?;
            cids.iter().filter_map(|cid| app.channels.get(cid)).collect()
        }
        None => app.channels.collect(|_| true),
    };
    let mut messages: Vec<Message> = Vec::new();
    for cell in cells {
        messages.extend(cell.lock().channel.search(&query, limit));
    }
    messages.sort_unstable_by(|a, b| b.created_at.cmp(&a.created_at));
    let results = messages.into_iter().take(limit).map(|message| Hit { message }).collect();
    Ok(call.ok(SearchAnswer { results, duration: String::new() }))
}
