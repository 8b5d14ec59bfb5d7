//! A channel and its audience, behind one lock.

use std::sync::{Arc, Mutex, MutexGuard};

use wire::event::Event;

use crate::channel::{Channel, encode};
use crate::edge::Remote;
use crate::hub::{Audience, Batch, LineKey, Outgoing, RoomId};
use crate::link::EdgeOutlet;
use crate::outlets::{Item, Slots};
use crate::sharded::lock_counted;
use crate::stats::{Stats, add};
use crate::stream::{Pace, Stream};

/// See the module. Lock order: a cell, then a connection; never two cells.
#[derive(Debug)]
pub(crate) struct Cell {
    /// How shards call it.
    pub(crate) room: RoomId,
    /// What an edge has of it beside; `None` at an origin.
    pub(crate) remote: Option<Box<Remote>>,
    state: Mutex<State>,
    stats: Arc<Stats>,
}

/// The turns of announcing that a channel lets pass before its watcher count is told again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest(u64);

impl Rest {
    /// After an announcement to so many watchers: a turn for each `crowd` of them.
    pub(crate) fn after(watchers: u64, crowd: u64) -> Self {
        Self(watchers / crowd.max(1))
    }

    /// A turn comes; answers whether the channel takes it.
    pub(crate) fn turn(&mut self) -> bool {
        let rested = self.0 == 0;
        self.0 = self.0.saturating_sub(1);
        rested
    }
}

/// What a cell's lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) channel: Channel,
    pub(crate) audience: Audience,
    /// What its watchers share of compression.
    pub(crate) stream: Stream,
    /// Whether its watcher count waits to be announced.
    pub(crate) announcing: bool,
    /// When its watcher count may be told again.
    pub(crate) rest: Rest,
    /// Edges that get its events.
    pub(crate) edges: Vec<EdgeOutlet>,
    /// Users that watch it elsewhere: at an origin on its edges, at an edge anywhere but there.
    pub(crate) elsewhere: u64,
}

impl State {
    /// Users that watch it, here and elsewhere; who does both counts twice.
    pub(crate) fn watchers(&self) -> u64 {
        self.audience.user_count() as u64 + self.elsewhere
    }
}

/// A connection that doesn't get an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Except {
    /// One of this node.
    Here(Place),
    /// The one with this number, on an edge.
    There(u64),
}

/// A connection as the queues know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of its shard's queue.
    pub(crate) outlet: usize,
    /// Its place there.
    pub(crate) line: LineKey,
}

impl Cell {
    pub(crate) fn new(room: RoomId, channel: Channel, remote: Option<Box<Remote>>, stats: Arc<Stats>) -> Self {
        let audience = Audience::new(channel.seq());
        let stream = Stream::new(Pace::USUAL);
        let (edges, elsewhere) = (Vec::new(), 0);
        let state = State { channel, audience, stream, announcing: false, rest: Rest::default(), edges, elsewhere };
        Self { room, remote, state: Mutex::new(state), stats }
    }

    /// Locks it, counting how long that had to be waited for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock_counted(&self.state, &self.stats.cell_waits)
    }

    /// Passes events on to the watchers, `except` one connection if need be: one slot in each queue.
    pub(crate) fn publish(&self, state: &mut State, slots: &mut Slots, mut events: Batch, except: Option<Except>) {
        if events.is_empty() {
            return;
        }
        add(&self.stats.published, events.len() as u64);
        let (here, there) = match except {
            Some(Except::Here(place)) => (Some(place), None),
            Some(Except::There(connection)) => (None, Some(connection)),
            None => (None, None),
        };
        // Edges compress for their own watchers.
        state.edges.iter().for_each(|edge| edge.publish(&events, there));
        if here.is_none() {
            // What one of them doesn't get can't be part of a stream that all follow.
            events.iter_mut().for_each(|event| state.stream.pack(event));
        }
        for outlet in state.audience.publish(&events) {
            let except = here.filter(|except| except.outlet == outlet).map(|except| except.line);
            slots.send(outlet, Item::Publish { room: self.room, events: events.clone(), except });
        }
    }

    /// Passes an event on that has no number.
    pub(crate) fn broadcast(&self, state: &mut State, slots: &mut Slots, event: &Event, except: Option<Except>) {
        self.publish(state, slots, Batch::from_iter([Outgoing::new(None, encode(event))]), except);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_the_crowd_the_rarer_its_count_is_told() {
        let turns_until_told = |watchers| {
            let mut rest = Rest::after(watchers, 100_000);
            (0..100).take_while(|_| !rest.turn()).count()
        };
        assert_eq!([0, 99_999, 100_000, 1_000_000].map(turns_until_told), [0, 0, 1, 10]);
        assert!(!Rest::after(7, 0).turn(), "a crowd of nobody is one of one");
    }
}
