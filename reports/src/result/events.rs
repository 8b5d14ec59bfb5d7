//! What a run says of single events: the first that went wrong, those that somebody missed, and whose receipts lack.

use serde::{Deserialize, Serialize};

/// The version of [`Examples`] and [`ByEvent`].
pub const EVENTS_VERSION: u32 = 1;

/// The first events that went wrong, each kind by time, then user; at most ten of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Examples {
    /// [`EVENTS_VERSION`]; 0 in results that have none.
    pub version: u32,
    /// Never received.
    pub lost: Vec<Example>,
    /// Received again.
    pub duplicated: Vec<Example>,
    /// Received after a later one.
    pub reordered: Vec<Example>,
}

/// One event, or a stretch of lost ones, that went wrong for one user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Example {
    /// The user's number over the whole run, from 0 on.
    pub user: u64,
    /// Its id at the service; empty where it is from a list of tokens, which stays with the workers.
    pub user_id: String,
    /// The channel, `type:id`.
    pub channel: String,
    /// The event's number in the channel.
    pub number: u64,
    /// Of a stretch of lost ones the last number; of a late one the highest that had come before it; else `number`.
    pub last_number: u64,
    /// When the repeat or the late event came, or the visit that lacks it ended; in seconds since the start instant.
    pub at_s: f64,
    /// The message that it is, if it is one of throng's and somebody had it.
    pub message: Option<String>,
    /// When that was sent, in seconds since the start instant.
    pub sent_s: Option<f64>,
}

/// Completeness by event: how many users should have had each, and how many had it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ByEvent {
    /// [`EVENTS_VERSION`]; 0 in results that have none.
    pub version: u32,
    /// Why it is not the account of all users and events, in words; empty when it is.
    pub gaps: Vec<String>,
    /// Numbered events that at least one user should have had.
    pub events: u64,
    /// Users that should have had them, added up over events.
    pub expected: u64,
    /// Of these, those that never had them.
    pub lost: u64,
    /// Events that at least one user missed.
    pub events_missed: u64,
    /// Of these, those that all who should have had them missed.
    pub events_missed_by_all: u64,
    /// The messages of throng's among the events, as far as somebody had them and their names were kept.
    pub messages: MessageCounts,
    /// Whether there were more messages than names are kept of: those of later ones are not known.
    pub nameless: bool,
    /// Whether the account by event, the account by user, and receipts say the same; `None` where something lacks.
    pub agrees: Option<bool>,
    /// The events that most users missed, most first; at most [`MISSED_MAX`].
    pub most_missed: Vec<MissedEvent>,
}

/// Events that [`ByEvent::most_missed`] names.
pub const MISSED_MAX: usize = 50;

/// Messages, counted twice: by the numbers that users had, and by receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageCounts {
    /// How many.
    pub messages: u64,
    /// Users that should have had them, added up over messages.
    pub expected: u64,
    /// Of these, those that had them, by number.
    pub delivered: u64,
    /// Those of whom receipts tell, over the socket.
    pub receipts: u64,
    /// What receipts don't tell: users that had them through `/sync`, less receipts of users that were not watching.
    pub aside: i64,
    /// Messages of which `delivered` is not `receipts` and `aside` together.
    pub differing: u64,
}

/// An event that somebody missed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MissedEvent {
    /// The channel, `type:id`.
    pub channel: String,
    /// The event's number in the channel.
    pub number: u64,
    /// Users that should have had it.
    pub expected: u64,
    /// Of these, those that never had it.
    pub missed: u64,
    /// The message that it is, if it is one of throng's and somebody had it.
    pub message: Option<String>,
    /// When that was sent, in seconds since the start instant.
    pub sent_s: Option<f64>,
}

/// What the fan-out figures are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FanoutInfo {
    /// Whether every receipt of every worker is in the figures; `None` in results that don't say.
    pub exact: Option<bool>,
    /// Whose receipts are not.
    pub lacks: Vec<Lacking>,
    /// Deliveries that came after their message's figures were made.
    pub late: u64,
}

/// A source whose receipts are missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lacking {
    /// Its name.
    pub source: String,
    /// Its users whose receipts are missing: those that were connected when the last of it came.
    pub users: u64,
    /// From when on, in seconds since the start instant: the first second that it did not ship.
    pub from_s: f64,
    /// Messages that were first received from a second before that on, and so may lack receivers.
    pub messages: u64,
    /// Why, in a word or two.
    pub why: String,
}
