//! What the store keeps: one record is one key of one table, with its new value or without.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::api;
use wire::event::{Message, Reaction, User};

use crate::channel::Read;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// cid -> channel.
    Channels,
    /// cid, user -> member.
    Members,
    /// cid, user -> how far he has read.
    Reads,
    /// cid, place -> message with its reactions.
    Messages,
    /// message id -> cid, place.
    Places,
    /// cid, seq -> date and event.
    Events,
    /// user id -> user.
    Users,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    /// `None` removes it.
    pub(crate) value: Option<Vec<u8>>,
}

/// A message as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptMessage {
    pub(crate) message: Message,
    pub(crate) reactions: Vec<Reaction>,
}

/// Where a message is.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptPlace {
    pub(crate) cid: String,
    pub(crate) place: u64,
}

/// `cid`, a zero byte, which no cid has, and the rest.
pub(crate) fn key(cid: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(cid.len() + 1 + rest.len());
    key.extend_from_slice(cid.as_bytes());
    key.push(0);
    key.extend_from_slice(rest);
    key
}

fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    Some(serde_json::to_vec(value).expect("what is kept has text keys only, which JSON can hold"))
}

impl Record {
    pub(crate) fn channel(channel: &api::Channel) -> Self {
        Self { table: Table::Channels, key: channel.cid.clone().into_bytes(), value: json(channel) }
    }

    pub(crate) fn member(cid: &str, member: &api::Member) -> Self {
        Self { table: Table::Members, key: key(cid, member.user_id.as_bytes()), value: json(member) }
    }

    pub(crate) fn member_gone(cid: &str, user: &str) -> Self {
        Self { table: Table::Members, key: key(cid, user.as_bytes()), value: None }
    }

    pub(crate) fn read(cid: &str, read: &Read) -> Self {
        Self { table: Table::Reads, key: key(cid, read.user.id.as_bytes()), value: json(read) }
    }

    pub(crate) fn message(cid: &str, place: u64, message: &Message, reactions: &[Reaction]) -> Self {
        let kept = KeptMessage { message: message.clone(), reactions: reactions.to_vec() };
        Self { table: Table::Messages, key: key(cid, &place.to_be_bytes()), value: json(&kept) }
    }

    pub(crate) fn message_place(id: &str, cid: &str, place: u64) -> Self {
        let value = json(&KeptPlace { cid: cid.to_owned(), place });
        Self { table: Table::Places, key: id.as_bytes().to_vec(), value }
    }

    /// An event is kept as the JSON that watchers got, after its date.
    pub(crate) fn event(cid: &str, seq: u64, at: i64, frame: &Bytes) -> Self {
        let mut value = at.to_be_bytes().to_vec();
        value.extend_from_slice(&wire::frame::server_payload(frame));
        Self { table: Table::Events, key: key(cid, &seq.to_be_bytes()), value: Some(value) }
    }

    pub(crate) fn event_gone(cid: &str, seq: u64) -> Self {
        Self { table: Table::Events, key: key(cid, &seq.to_be_bytes()), value: None }
    }

    pub(crate) fn user(user: &User) -> Self {
        Self { table: Table::Users, key: user.id.clone().into_bytes(), value: json(user) }
    }
}
