//! An edge as a channel's audience sees it: one more outlet, which gets each event once.

use std::sync::Arc;

use proto::link::origin_says::Says;
use proto::link::{Event, OriginSays, WatcherCount};

use super::outbox::LinkOutbox;
use crate::hub::Outgoing;

/// See the module.
#[derive(Debug)]
pub(crate) struct EdgeOutlet {
    pub(crate) link: Arc<LinkOutbox<OriginSays>>,
    /// The edge's name for the channel.
    pub(crate) channel: u32,
    /// Users that watch the channel there.
    pub(crate) watchers: u64,
}

impl EdgeOutlet {
    /// Queues events, for all but one connection if need be. An edge that doesn't keep up loses its link.
    pub(crate) fn publish(&self, events: &[Outgoing], except: Option<u64>) {
        for event in events {
            let (seq, frame) = (event.seq.unwrap_or_default(), event.frame.clone());
            self.say(Says::Event(Event { channel: self.channel, seq, frame, except: except.unwrap_or_default() }));
        }
    }

    /// Tells it how many users watch the channel in all.
    pub(crate) fn count(&self, watchers: u64) {
        self.say(Says::WatcherCount(WatcherCount { channel: self.channel, watchers }));
    }

    pub(crate) fn say(&self, says: Says) {
        // A closed one is on its way out of the audience.
        self.link.push(OriginSays { says: Some(says) });
    }
}
