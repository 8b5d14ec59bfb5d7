//! `GET /members`.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use wire::api::Member;
use wire::limits;

use super::{Answer, Call, ChannelName, Failure};
use crate::app::App;
use crate::failure;

/// The answer to `GET /members`.
#[derive(Debug, Serialize)]
pub(crate) struct MembersAnswer {
    members: Vec<Member>,
    pub(super) duration: String,
}

/// Members of the channel that `type` and `id` name, by user id; a page begins after `user_id_gt`.
pub(crate) async fn query(State(app): State<Arc<App>>, call: Call) -> Result<Answer, Failure> {
    let payload = call.parameters.payload()?;
    let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(kind), Some(id)) = (text("type"), text("id")) else {
        return Err(failure::input("type and id of the channel are missing").into());
    };
    let cell = app.channel(&ChannelName::new(kind, id)?.cid())?;
    let limit = super::users::number(&payload, "limit")?.unwrap_or(limits::MEMBERS).min(limits::MEMBERS);
    let offset = super::users::number(&payload, "offset")?.unwrap_or(0);
    let after = text("user_id_gt").unwrap_or_default();
    let members = cell.lock().channel.members_page(&after, offset, limit);
    Ok(call.ok(MembersAnswer { members, duration: String::new() }))
}
