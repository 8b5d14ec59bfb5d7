//! `POST /channels`: channels by filter.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wire::api::{ChannelQuery, ChannelState, Page};
use wire::{ApiError, limits};

use super::filter::Filter;
use super::{Answer, Body, Call, Failure};
use crate::app::App;
use crate::cell::Cell;
use crate::channel::Channel;
use crate::failure;

/// `POST /channels`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct QueryChannels {
    filter_conditions: Map<String, Value>,
    sort: Vec<Sort>,
    limit: Option<usize>,
    offset: usize,
    watch: bool,
    presence: bool,
    state: bool,
    message_limit: Option<usize>,
}

impl Default for QueryChannels {
    fn default() -> Self {
        Self {
            filter_conditions: Map::new(),
            sort: Vec::new(),
            limit: None,
            offset: 0,
            watch: false,
            presence: false,
            state: true,
            message_limit: None,
        }
    }
}

/// By which field; `direction` -1 puts the greatest first.
#[derive(Debug, Deserialize)]
struct Sort {
    field: String,
    #[serde(default = "ascending")]
    direction: i8,
}

const fn ascending() -> i8 {
    1
}

/// The answer to `POST /channels`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChannelsAnswer {
    pub(super) channels: Vec<ChannelState>,
    pub(super) duration: String,
}

/// Channels that match, in order, watched if asked for.
pub(crate) async fn query_channels(
    State(app): State<Arc<App>>,
    call: Call,
    Body(query): Body<QueryChannels>,
) -> Result<Answer, Failure> {
    let connection = if query.watch { Some(call.connection(&app)?) } else { None };
    let limit = query.limit.unwrap_or(10);
    if limit > limits::QUERY_CHANNELS {
        return Err(failure::input(format!("limit is at most {}", limits::QUERY_CHANNELS)).into());
    }
    for sort in &query.sort {
        check_sort(sort)?;
    }
    let filter = Filter::parse(&query.filter_conditions)?;
    let mut found = Vec::new();
    for cell in filter.candidates(&app) {
        let state = cell.lock();
        if filter.matches(&state.channel) {
            let keys = sort_keys(&query.sort, &state.channel);
            drop(state);
            found.push((keys, cell));
        }
    }
    found.sort_by(|(a, _), (b, _)| compare(&query.sort, a, b));
    let page: Vec<Arc<Cell>> = found.into_iter().skip(query.offset).take(limit).map(|(_, cell)| cell).collect();
    let described = ChannelQuery {
        state: query.state,
        messages: Some(Page { limit: query.message_limit, ..Page::default() }),
        ..ChannelQuery::default()
    };
    let mut channels = Vec::with_capacity(page.len());
    for cell in page {
        let watched_from = match &connection {
            Some(connection) => Some(app.watch(&cell, connection).await?),
            None => None,
        };
        let mut state = super::channels::describe(&app, &cell, &described).await?;
        state.seq = watched_from.unwrap_or(state.seq);
        if query.presence {
            app.show_presence(&mut state.members);
            if let Some(connection) = &connection {
                app.observe(connection, &cell, &state.members);
            }
        }
        channels.push(state);
    }
    Ok(call.created(ChannelsAnswer { channels, duration: String::new() }))
}

/// Fields that can be sorted by.
const SORT_FIELDS: [&str; 6] = ["cid", "id", "created_at", "last_message_at", "updated_at", "member_count"];

fn check_sort(sort: &Sort) -> Result<(), ApiError> {
    if SORT_FIELDS.contains(&sort.field.as_str()) && [1, -1].contains(&sort.direction) {
        return Ok(());
    }
    Err(failure::input(format!("sort takes one of {} and the direction 1 or -1", SORT_FIELDS.join(", "))))
}

/// What a channel is sorted by; the cid comes last, so that pages are stable.
fn sort_keys(sort: &[Sort], channel: &Channel) -> Vec<String> {
    let last_message_at = || channel.last_message_at.clone().unwrap_or_default();
    let keys = sort.iter().map(|sort| match sort.field.as_str() {
        "id" => channel.id.clone(),
        "created_at" => channel.created_at.clone(),
        "last_message_at" => last_message_at(),
        "updated_at" => channel.last_message_at.clone().unwrap_or_else(|| channel.created_at.clone()),
        "member_count" => format!("{:020}", channel.members.len()),
        _ => channel.cid.clone(),
    });
    let default = if sort.is_empty() { Some(last_message_at()) } else { None };
    keys.chain(default).chain([channel.cid.clone()]).collect()
}

fn compare(sort: &[Sort], a: &[String], b: &[String]) -> std::cmp::Ordering {
    let directions = sort.iter().map(|sort| sort.direction).chain(if sort.is_empty() { Some(-1) } else { None });
    let directions = directions.chain([1]);
    let orders = a.iter().zip(b).zip(directions).map(|((a, b), direction)| match direction {
        -1 => b.cmp(a),
        _ => a.cmp(b),
    });
    orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
}
