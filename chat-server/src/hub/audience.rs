//! Where a channel's watchers are.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::Outgoing;

/// The watchers of one channel, by outlet and by user. Whoever calls knows whether a connection watches already.
#[derive(Debug)]
pub(crate) struct Audience {
    /// Watching connections behind each outlet; outlets beyond its end have none.
    outlets: SmallVec<[u32; 4]>,
    /// Watching connections of each user, by the user's number.
    users: HashMap<u32, u32>,
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

impl Audience {
    /// Nobody watches yet; the channel is at `seq`.
    pub(crate) fn new(seq: u64) -> Self {
        Self { outlets: SmallVec::new(), users: HashMap::new(), seq }
    }

    /// Sets where it begins, when an edge has subscribed to the channel; nobody watches before that.
    pub(crate) fn begin_at(&mut self, seq: u64) {
        debug_assert!(self.users.is_empty(), "who watches already has been told a number");
        self.seq = seq;
    }

    /// A connection behind `outlet` starts to watch: it must get every event after the answered number.
    pub(crate) fn watch(&mut self, outlet: usize, user: u32) -> Changed {
        if self.outlets.len() <= outlet {
            self.outlets.resize(outlet + 1, 0);
        }
        self.outlets[outlet] += 1;
        let connections = self.users.entry(user).or_default();
        *connections += 1;
        Changed { seq: self.seq, user: *connections == 1 }
    }

    /// A connection that watched stops: it gets every event up to the answered number, and none after it.
    pub(crate) fn unwatch(&mut self, outlet: usize, user: u32) -> Changed {
        let mut changed = Changed { seq: self.seq, user: false };
        if let Some(watchers) = self.outlets.get_mut(outlet) {
            *watchers = watchers.saturating_sub(1);
        }
        if let Some(connections) = self.users.get_mut(&user) {
            *connections -= 1;
            if *connections == 0 {
                self.users.remove(&user);
                changed.user = true;
            }
        }
        changed
    }

    /// Notes that events are passed on now, and says which outlets want them.
    pub(crate) fn publish(&mut self, events: &[Outgoing]) -> impl Iterator<Item = usize> {
        for seq in events.iter().filter_map(|event| event.seq) {
            debug_assert_eq!(seq, self.seq + 1, "events are passed on in order, none left out");
            self.seq = seq;
        }
        let wanting = self.outlets.iter().enumerate().filter(|(_, watchers)| **watchers > 0);
        wanting.map(|(outlet, _)| outlet)
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
