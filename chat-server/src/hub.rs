//! Who watches a channel, and the order in which watchers get its events. Sans-I/O, in two halves.
//!
//! The [`Audience`] stands behind its channel's lock and knows *where* watchers are: which outlets (this node's shards)
//! have some, and how many users they are. The [`Floor`] belongs to one shard and knows *who* they are there. Between the
//! two lies a queue for each outlet: whatever happens to a channel is put into it under the channel's lock, so the order
//! of a queue is the order of the lock, and a floor that takes its steps in the queue's order gives every watcher exactly
//! the events between its coming and its going. What numbers the events (a channel of this process, or an origin behind
//! a link) is not their business.

mod audience;
mod floor;
#[cfg(test)]
mod simulation;

use bytes::Bytes;
use smallvec::SmallVec;

pub(crate) use audience::Audience;
pub(crate) use floor::Floor;

/// An event as a frame; durable ones have a number.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The channel's event number.
    pub(crate) seq: Option<u64>,
    /// The whole frame, made once.
    pub(crate) frame: Bytes,
    /// The same event in its channel's compressed stream.
    pub(crate) packed: Option<Packed>,
}

impl Outgoing {
    /// An event that is not compressed.
    pub(crate) fn new(seq: Option<u64>, frame: Bytes) -> Self {
        Self { seq, frame, packed: None }
    }
}

/// A frame of a compressed stream. Who can follow, and has got all of them since the stream began, can read it.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) frame: Bytes,
    /// The stream begins anew here: whoever can follow can read it.
    pub(crate) begins: bool,
}

/// Events that one step of a channel has made, in order.
pub(crate) type Batch = SmallVec<[Outgoing; 1]>;

/// A channel's number in this process, by which shards know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RoomId(pub(crate) u64);

/// A connection's place on its shard.
pub(crate) type LineKey = u32;
