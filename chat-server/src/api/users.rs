//! Users.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wire::event::User;
use wire::{ApiError, limits};

use super::{Answer, Body, Call, Failure};
use crate::app::App;
use crate::failure;
use crate::record::Record;

/// The answer to `GET /users`.
#[derive(Debug, Serialize)]
pub(crate) struct UsersAnswer {
    users: Vec<User>,
    pub(super) duration: String,
}

/// The answer to `POST /users`.
#[derive(Debug, Serialize)]
pub(crate) struct UsersMapAnswer {
    users: BTreeMap<String, User>,
    pub(super) duration: String,
}

/// A number of a payload, given as a number or as text.
pub(super) fn number(payload: &Map<String, Value>, name: &str) -> Result<Option<usize>, ApiError> {
    let number = match payload.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    number.map(Some).ok_or_else(|| failure::input(format!("{name} must be a number")))
}

/// Users by id: `{"filter_conditions": {"id": {"$in": […]}}}`, or all in pages.
pub(crate) async fn query(State(app): State<Arc<App>>, call: Call) -> Result<Answer, Failure> {
    let payload = call.parameters.payload()?;
    let limit = number(&payload, "limit")?.unwrap_or(limits::USERS).min(limits::USERS);
    let offset = number(&payload, "offset")?.unwrap_or(0);
    let wanted = match payload.get("filter_conditions") {
        None => None,
        Some(Value::Object(conditions)) if conditions.keys().all(|field| field == "id") => conditions.get("id"),
        Some(_) => return Err(failure::input("users can be filtered by id only").into()),
    };
    let mut users: Vec<User> = match wanted {
        None => app.users.collect(|_| true).iter().map(|user| user.show()).collect(),
        Some(condition) => {
            let ids = super::filter::strings(condition)?;
            ids.iter().filter_map(|id| app.users.get(id)).map(|user| user.show()).collect()
        }
    };
    users.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let users = users.into_iter().skip(offset).take(limit).collect();
    Ok(call.ok(UsersAnswer { users, duration: String::new() }))
}

/// `POST /users`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UpsertUsers {
    users: BTreeMap<String, Map<String, Value>>,
}

/// Creates and changes users; a user's token may change himself only.
pub(crate) async fn upsert(
    State(app): State<Arc<App>>,
    call: Call,
    Body(body): Body<UpsertUsers>,
) -> Result<Answer, Failure> {
    if body.users.len() > limits::USERS {
        return Err(failure::input(format!("at most {} users in one call", limits::USERS)).into());
    }
    for id in body.users.keys() {
        if !limits::is_name(id) {
            return Err(failure::input(format!("{id:?} can't be a user id")).into());
        }
        if call.token_user().is_some_and(|user| user != id) {
            return Err(failure::not_allowed("a user's token may change that user only").into());
        }
    }
    let (mut users, mut records) = (BTreeMap::new(), Vec::new());
    for (id, details) in &body.users {
        let (user, _) = app.users.upsert(id, details)?;
        let user = user.show();
        records.push(Record::user(&user));
        users.insert(id.clone(), user);
    }
    if let Some(store) = &app.store {
        store.keep(records).await?;
    }
    Ok(call.created(UsersMapAnswer { users, duration: String::new() }))
}
