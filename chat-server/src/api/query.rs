//! `POST /channels`: channels by filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wire::api::{ChannelQuery, ChannelState, Page};
use wire::{ApiError, limits};

use super::{Answer, Body, Call, Failure};
use crate::app::{App, Cell};
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
#[derive(Debug, Serialize)]
pub(crate) struct ChannelsAnswer {
    channels: Vec<ChannelState>,
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
        let watched_from = connection.as_ref().map(|connection| app.watch(&cell, connection)).transpose()?;
        let mut state = super::channels::describe(&app, &cell, &described).await?;
        state.seq = watched_from.unwrap_or(state.seq);
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

/// A condition on channels.
#[derive(Debug)]
enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    /// The field is one of these; for `members`: one of them is a member.
    In(Field, Vec<String>),
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Kind,
    Id,
    Cid,
    Members,
    CreatedBy,
}

/// `"x"`, `{"$eq": "x"}` or `{"$in": ["x", …]}` as a list.
pub(super) fn strings(condition: &Value) -> Result<Vec<String>, ApiError> {
    let wrong =
        || failure::input(format!("a condition is a text, {{\"$eq\": text}} or {{\"$in\": [texts]}}, not {condition}"));
    let list = |value: &Value| match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect(),
        _ => Err(wrong()),
    };
    match condition {
        Value::Object(operators) => match operators.iter().next() {
            Some((operator, value)) if operators.len() == 1 && ["$eq", "$in"].contains(&operator.as_str()) => {
                list(value)
            }
            _ => Err(wrong()),
        },
        Value::String(_) => list(condition),
        _ => Err(wrong()),
    }
}

impl Filter {
    fn parse(conditions: &Map<String, Value>) -> Result<Self, ApiError> {
        let parts = |value: &Value| -> Result<Vec<Self>, ApiError> {
            let wrong = || failure::input("$and and $or take a list of filters");
            let list = value.as_array().ok_or_else(wrong)?;
            list.iter().map(|part| Self::parse(part.as_object().ok_or_else(wrong)?)).collect()
        };
        let condition = |(name, value): (&String, &Value)| {
            let field = match name.as_str() {
                "$and" => return Ok(Self::All(parts(value)?)),
                "$or" => return Ok(Self::Any(parts(value)?)),
                "type" => Field::Kind,
                "id" => Field::Id,
                "cid" => Field::Cid,
                "members" => Field::Members,
                "created_by_id" => Field::CreatedBy,
                other => {
                    return Err(failure::input(format!(
                        "channels can be filtered by type, id, cid, members and created_by_id, not by {other:?}"
                    )));
                }
            };
            Ok(Self::In(field, strings(value)?))
        };
        conditions.iter().map(condition).collect::<Result<_, _>>().map(Self::All)
    }

    /// Channels among which all that match are: by cid where the filter names cids, else all there are.
    fn candidates(&self, app: &App) -> Vec<Arc<Cell>> {
        let Self::All(parts) = self else { return app.channels.collect(|_| true) };
        let cids = parts.iter().find_map(|part| match part {
            Self::In(Field::Cid, cids) => Some(cids),
            _ => None,
        });
        match cids {
            Some(cids) => {
                let cids: BTreeSet<&String> = cids.iter().collect();
                cids.into_iter().filter_map(|cid| app.channels.get(cid)).collect()
            }
            None => app.channels.collect(|_| true),
        }
    }

    fn matches(&self, channel: &Channel) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(channel)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(channel)),
            Self::In(field, wanted) => wanted.iter().any(|wanted| match field {
                Field::Kind => channel.kind == *wanted,
                Field::Id => channel.id == *wanted,
                Field::Cid => channel.cid == *wanted,
                Field::Members => channel.members.contains_key(wanted),
                Field::CreatedBy => channel.created_by.as_ref().is_some_and(|user| user.id == *wanted),
            }),
        }
    }
}
