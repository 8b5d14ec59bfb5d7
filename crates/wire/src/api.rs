//! Bodies of API calls and their answers. Unknown fields of requests are ignored, as chat APIs do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::{Event, Message, Reaction, User};

/// The `json` query parameter of `GET /connect` and `GET /longpoll`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectPayload {
    /// Must be the token's user.
    pub user_id: String,
    /// Created or updated on connecting; its `id` may be left out.
    pub user_details: Map<String, Value>,
}

/// `POST /channels/{type}/{id}/query`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelQuery {
    /// The channel's custom data, if this call creates it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Watch it over the call's `connection_id`.
    pub watch: bool,
    /// Ask for presence events of its members.
    pub presence: bool,
    /// Answer with messages and members, not with the channel alone.
    pub state: bool,
    /// Which page of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Page>,
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// At most so many; 25 unless told otherwise, 300 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Older than this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_lt: Option<String>,
    /// This message or older.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_lte: Option<String>,
    /// Newer than this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_gt: Option<String>,
    /// This message or newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_gte: Option<String>,
}

/// A channel as answers show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Unique within its type.
    pub id: String,
    /// `messaging`, `livestream`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `type:id`.
    pub cid: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, if there is a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_at: Option<String>,
    /// Who created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<User>,
    /// Members.
    pub member_count: u64,
    /// Custom fields.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

/// A channel's state, answered by `query` and as an item of `POST /channels`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelState {
    /// The channel.
    pub channel: Channel,
    /// A page of its messages, oldest first.
    pub messages: Vec<Message>,
    /// Some of its members, at most 100.
    pub members: Vec<Member>,
    /// Who has read how far.
    pub read: Vec<ReadState>,
    /// Users that watch it.
    pub watcher_count: u64,
    /// The newest event number; a watcher gets every later event.
    pub seq: u64,
    /// How long the server took.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub duration: String,
}

/// A member of a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Who.
    pub user_id: String,
    /// Who, in full.
    pub user: User,
    /// RFC 3339.
    pub created_at: String,
}

/// How far a user has read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadState {
    /// Who.
    pub user: User,
    /// RFC 3339.
    pub last_read: String,
    /// The newest message that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read_message_id: Option<String>,
    /// Messages that came later.
    pub unread_messages: u64,
}

/// `POST /channels/{type}/{id}/message`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendMessage {
    /// The message; `id` and custom fields are the sender's choice.
    pub message: OutgoingMessage,
}

/// A message on its way in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutgoingMessage {
    /// The sender's choice, or left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What to say.
    pub text: String,
    /// The message that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Custom fields.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

/// The answer to sending, getting, updating, deleting a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageAnswer {
    /// The message as it stands.
    pub message: Message,
    /// How long the server took.
    pub duration: String,
}

/// `POST /channels/{type}/{id}/event`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendEvent {
    /// Its `type` and custom fields count; the server fills in the rest.
    pub event: Event,
}

/// `POST /channels/{type}/{id}/read`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkRead {
    /// Up to which message; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// `POST /messages/{id}/reaction`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendReaction {
    /// Its `type` and `score` count.
    pub reaction: Reaction,
    /// Take the user's other reactions back.
    pub enforce_unique: bool,
}

/// The answer to adding or taking back a reaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReactionAnswer {
    /// The message as it stands.
    pub message: Message,
    /// The reaction.
    pub reaction: Reaction,
    /// How long the server took.
    pub duration: String,
}

/// `POST /channels/{type}/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateChannel {
    /// User ids to add.
    pub add_members: Vec<String>,
    /// User ids to remove.
    pub remove_members: Vec<String>,
}

/// `POST /sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sync {
    /// At most 255.
    pub channel_cids: Vec<String>,
    /// RFC 3339; all later events are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_at: Option<String>,
    /// Ours, and exact: all events after this `seq` of the channel. Goes before `last_sync_at`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_seq: BTreeMap<String, u64>,
}

/// The answer to `POST /sync`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncAnswer {
    /// Missed events, by channel in the order of their `seq`.
    pub events: Vec<Event>,
    /// The newest `seq` of each channel that was asked for and exists.
    pub seq: BTreeMap<String, u64>,
    /// Channels that the user may not see or that don't exist.
    pub inaccessible_cids: Vec<String>,
    /// How long the server took.
    pub duration: String,
}

/// The answer to `POST /channels/{type}/{id}/stop-watching`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopWatchingAnswer {
    /// The newest event number; the watcher gets every event up to it and none after.
    pub seq: u64,
    /// How long the server took.
    pub duration: String,
}

/// The answer to `GET /longpoll` with a `connection_id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LongPollAnswer {
    /// In order; may be empty.
    pub events: Vec<Event>,
}
