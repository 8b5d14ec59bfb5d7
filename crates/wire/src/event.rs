//! Events, as servers send them: whole ([`Event`]) for servers and SDKs, and the head alone ([`EventHead`]) for those
//! who only count and time them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::stamp::Stamp;

/// Names of [`Event::kind`].
pub mod kind {
    /// The first frame of a connection, and the answer to a keep-alive.
    pub const HEALTH_CHECK: &str = "health.check";
    /// The first frame of a connection that is refused.
    pub const CONNECTION_ERROR: &str = "connection.error";
    /// A message was sent.
    pub const MESSAGE_NEW: &str = "message.new";
    /// A message was changed.
    pub const MESSAGE_UPDATED: &str = "message.updated";
    /// A message was deleted.
    pub const MESSAGE_DELETED: &str = "message.deleted";
    /// A user has read the channel.
    pub const MESSAGE_READ: &str = "message.read";
    /// A reaction was added.
    pub const REACTION_NEW: &str = "reaction.new";
    /// A reaction was taken back.
    pub const REACTION_DELETED: &str = "reaction.deleted";
    /// A user began to type.
    pub const TYPING_START: &str = "typing.start";
    /// A user stopped typing.
    pub const TYPING_STOP: &str = "typing.stop";
    /// A channel came to be.
    pub const CHANNEL_CREATED: &str = "channel.created";
    /// A channel's data changed.
    pub const CHANNEL_UPDATED: &str = "channel.updated";
    /// A user became a member.
    pub const MEMBER_ADDED: &str = "member.added";
    /// A user is no member any more.
    pub const MEMBER_REMOVED: &str = "member.removed";
    /// A user began to watch.
    pub const USER_WATCHING_START: &str = "user.watching.start";
    /// A user stopped watching.
    pub const USER_WATCHING_STOP: &str = "user.watching.stop";
    /// For a user: he was made a member of a channel.
    pub const NOTIFICATION_ADDED_TO_CHANNEL: &str = "notification.added_to_channel";
    /// For a user: he is a member of a channel no more.
    pub const NOTIFICATION_REMOVED_FROM_CHANNEL: &str = "notification.removed_from_channel";
    /// A user came or went.
    pub const USER_PRESENCE_CHANGED: &str = "user.presence.changed";
}

/// A user as events and answers show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Unique in the app.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether it has a connection.
    #[serde(default)]
    pub online: bool,
    /// Custom fields.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

/// A message as events and answers show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Unique in the app; the sender may choose it, and a repeat is the same message.
    pub id: String,
    /// What was said.
    pub text: String,
    /// `regular`, or `deleted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who said it.
    pub user: User,
    /// Where.
    pub cid: String,
    /// The message that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// Messages that answer this one.
    pub reply_count: u64,
    /// Reactions by type.
    pub reaction_counts: std::collections::BTreeMap<String, u64>,
    /// The newest reactions, at most ten.
    pub latest_reactions: Vec<Reaction>,
    /// Custom fields, throng's stamp among them.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

/// A reaction as events and answers show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reaction {
    /// To which message.
    pub message_id: String,
    /// `like`, `love`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// How much.
    pub score: i64,
    /// Whose.
    pub user_id: String,
    /// RFC 3339.
    pub created_at: String,
}

/// One event; fields that its type doesn't have are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// A name of [`kind`], or a custom one.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339.
    pub created_at: String,
    /// `type:id` of the channel; `*` for events of no channel.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cid: String,
    /// The channel's type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel_type: String,
    /// The channel's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel_id: String,
    /// The channel's gapless event number; only durable events have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Names the connection in API calls; in `health.check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// The user that is connected; in the first `health.check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub me: Option<User>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The message that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// The reaction that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction: Option<Reaction>,
    /// The member that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<User>,
    /// Users that watch the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watcher_count: Option<u64>,
    /// Why the connection is refused; in `connection.error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// Custom fields.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

/// What must be known of an event to count and time it. Borrows from the frame; nothing else is parsed into values.
#[derive(Clone, Debug, Deserialize)]
pub struct EventHead<'a> {
    /// A name of [`kind`].
    #[serde(rename = "type", borrow)]
    pub kind: std::borrow::Cow<'a, str>,
    /// `type:id` of the channel.
    #[serde(borrow, default)]
    pub cid: std::borrow::Cow<'a, str>,
    /// The channel's event number.
    #[serde(default)]
    pub seq: Option<u64>,
    /// In `health.check`.
    #[serde(borrow, default)]
    pub connection_id: Option<std::borrow::Cow<'a, str>>,
    /// The message that it is about.
    #[serde(borrow, default)]
    pub message: Option<MessageHead<'a>>,
    /// In `connection.error`.
    #[serde(default)]
    pub error: Option<ApiError>,
}

/// What must be known of a message.
#[derive(Clone, Debug, Deserialize)]
pub struct MessageHead<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub id: std::borrow::Cow<'a, str>,
    /// throng's stamp, if it is one of throng's.
    #[serde(default)]
    pub throng: Option<Stamp>,
}

impl<'a> EventHead<'a> {
    /// Reads the head of a server frame.
    ///
    /// # Errors
    /// When the frame is no JSON object with a `type`.
    pub fn parse(frame: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_reads_what_the_event_wrote() {
        let stamp = Stamp { action: 3, number: 14, due: 15, sent: 92 };
        let mut message = Message { id: "m-1".into(), text: "a \"quoted\" word".into(), ..Message::default() };
        message.custom.insert("throng".into(), serde_json::to_value(stamp).unwrap());
        let event = Event {
            kind: kind::MESSAGE_NEW.into(),
            cid: "livestream:stadium".into(),
            seq: Some(7),
            message: Some(message),
            ..Event::default()
        };
        let text = serde_json::to_string(&event).unwrap();
        let head = EventHead::parse(text.as_bytes()).unwrap();
        assert_eq!((&*head.kind, &*head.cid, head.seq), (kind::MESSAGE_NEW, "livestream:stadium", Some(7)));
        assert_eq!(head.message.unwrap().throng, Some(stamp));
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
