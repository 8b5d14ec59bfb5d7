//! A channel and its audience, behind one lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use measure::Clock;
use wire::event::Event;

use crate::channel::{Channel, encode};
use crate::hub::{Audience, Batch, LineKey, Outgoing, RoomId};
use crate::outlets::{Item, Slots};
use crate::stats::{Stats, add};
use crate::stream::{Pace, Stream};

/// See the module. Lock order: a cell, then a connection; never two cells.
#[derive(Debug)]
pub(crate) struct Cell {
    /// How shards call it.
    pub(crate) room: RoomId,
    state: Mutex<State>,
    stats: Arc<Stats>,
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
    pub(crate) fn new(room: RoomId, channel: Channel, stats: Arc<Stats>) -> Self {
        let audience = Audience::new(channel.seq());
        Self {
            room,
            state: Mutex::new(State { channel, audience, stream: Stream::new(Pace::USUAL), announcing: false }),
            stats,
        }
    }

    /// Locks it, counting how long that had to be waited for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let since = Clock::System.now();
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                add(&self.stats.cell_waits, 1);
                let waited = Clock::System.now().since(since).as_nanos();
                add(&self.stats.cell_wait_ns, u64::try_from(waited).unwrap_or(u64::MAX));
                state
            }
        }
    }

    /// Passes events on to the watchers, `except` one connection if need be: one slot in each queue.
    pub(crate) fn publish(&self, state: &mut State, slots: &mut Slots, mut events: Batch, except: Option<Place>) {
        if events.is_empty() {
            return;
        }
        add(&self.stats.published, events.len() as u64);
        if except.is_none() {
            // What one of them doesn't get can't be part of a stream that all follow.
            events.iter_mut().for_each(|event| state.stream.pack(event));
        }
        for outlet in state.audience.publish(&events) {
            let except = except.filter(|except| except.outlet == outlet).map(|except| except.line);
            slots.send(outlet, Item::Publish { room: self.room, events: events.clone(), except });
        }
    }

    /// Passes an event on that has no number.
    pub(crate) fn broadcast(&self, state: &mut State, slots: &mut Slots, event: &Event, except: Option<Place>) {
        self.publish(state, slots, Batch::from_iter([Outgoing::new(None, encode(event))]), except);
    }
}
