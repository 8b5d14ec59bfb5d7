//! Who watches a channel on this node, and the order in which they get its events. Sans-I/O.
//!
//! A [`Room`] stands behind its channel's lock, so the order of its steps is the order of frames in every outbox. What
//! numbers the events (a channel of this process, or later an origin behind a link) is not its business: it passes on
//! what it is given, and remembers the newest number, so that a watcher knows from where on it got everything.

#[cfg(test)]
mod simulation;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::outbox::Push;

/// Where a watcher's frames go.
pub(crate) trait Sink {
    /// Queues a frame.
    fn push(&self, frame: &Bytes) -> Push;
}

/// An event as a frame; durable ones have a number.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The channel's event number.
    pub(crate) seq: Option<u64>,
    /// The whole frame, made once.
    pub(crate) frame: Bytes,
}

#[derive(Debug)]
struct Watcher<S> {
    connection: u64,
    user: Arc<str>,
    sink: S,
}

/// The watchers of one channel.
#[derive(Debug)]
pub(crate) struct Room<S> {
    watchers: Vec<Watcher<S>>,
    /// Connection to its place in `watchers`.
    places: HashMap<u64, usize>,
    /// Connections of each watching user.
    users: HashMap<Arc<str>, u32>,
    /// The newest event that was passed on.
    seq: u64,
}

/// What a step has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The newest event number when it happened.
    pub(crate) seq: u64,
    /// Whether the user's first connection came, or its last one went.
    pub(crate) user: bool,
}

/// How many got a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FannedOut {
    /// Outboxes that took it.
    pub(crate) queued: u64,
    /// Outboxes that it closed as slow readers'.
    pub(crate) overflowed: u64,
}

impl<S: Sink> Room<S> {
    /// A room without watchers whose channel is at `seq`.
    pub(crate) fn new(seq: u64) -> Self {
        Self { watchers: Vec::new(), places: HashMap::new(), users: HashMap::new(), seq }
    }

    /// Starts to watch: the connection gets every event after the answered number. Watching twice changes nothing.
    pub(crate) fn watch(&mut self, connection: u64, user: &Arc<str>, sink: S) -> Changed {
        if self.places.contains_key(&connection) {
            return Changed { seq: self.seq, user: false };
        }
        self.places.insert(connection, self.watchers.len());
        self.watchers.push(Watcher { connection, user: user.clone(), sink });
        let connections = self.users.entry(user.clone()).or_default();
        *connections += 1;
        Changed { seq: self.seq, user: *connections == 1 }
    }

    /// Stops watching: the connection got every event up to the answered number and gets none after it.
    pub(crate) fn unwatch(&mut self, connection: u64) -> Changed {
        let mut changed = Changed { seq: self.seq, user: false };
        let Some(place) = self.places.remove(&connection) else { return changed };
        let gone = self.watchers.swap_remove(place);
        if let Some(moved) = self.watchers.get(place) {
            self.places.insert(moved.connection, place);
        }
        if let Some(connections) = self.users.get_mut(&gone.user) {
            *connections -= 1;
            if *connections == 0 {
                self.users.remove(&gone.user);
                changed.user = true;
            }
        }
        changed
    }

    /// Passes an event on to all watchers, `except` one connection if need be.
    pub(crate) fn publish(&mut self, event: &Outgoing, except: Option<u64>) -> FannedOut {
        if let Some(seq) = event.seq {
            debug_assert_eq!(seq, self.seq + 1, "events are passed on in order, none left out");
            self.seq = seq;
        }
        let mut fanned_out = FannedOut::default();
        for watcher in self.watchers.iter().filter(|watcher| Some(watcher.connection) != except) {
            match watcher.sink.push(&event.frame) {
                Push::Queued => fanned_out.queued += 1,
                Push::Overflowed => fanned_out.overflowed += 1,
                Push::Closed => {}
            }
        }
        fanned_out
    }

    /// Watching users.
    pub(crate) fn user_count(&self) -> usize {
        self.users.len()
    }

    /// The newest event that was passed on.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }
}
