//! Which channels: `filter_conditions` of `POST /channels` and `GET /search`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use wire::ApiError;

use crate::app::App;
use crate::cell::Cell;
use crate::channel::Channel;
use crate::failure;

/// A condition on channels.
#[derive(Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    /// The field is one of these; for `members`: one of them is a member.
    In(Field, Vec<String>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
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
    /// Reads `filter_conditions`.
    pub(super) fn parse(conditions: &Map<String, Value>) -> Result<Self, ApiError> {
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
    pub(super) fn candidates(&self, app: &App) -> Vec<Arc<Cell>> {
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

    /// Whether a channel matches.
    pub(super) fn matches(&self, channel: &Channel) -> bool {
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
