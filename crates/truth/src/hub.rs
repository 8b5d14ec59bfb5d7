//! Channels, who watches them, and what a message leads to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use measure::{SplitMix64, Timestamp};
use wire::Stamp;

use crate::config::Config;
use crate::faults::{Purpose, fault};
use crate::ledger::{Heard, Ledger};
use crate::outlet::{Delivery, Outlet};
use crate::post::Post;

/// Ids of messages that are remembered; a repeat of an older one is a new message.
const IDS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
struct Channel {
    seq: u64,
    /// By connection, in the order in which they came.
    watchers: Vec<u64>,
}

#[derive(Debug)]
struct Connection {
    outlet: Arc<Outlet>,
    /// Its newest delivery is due then: none may come earlier.
    newest: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<String, Channel>,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
    deliveries: u64,
    ids: HashSet<String>,
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What is kept of it.
    pub(crate) heard: Heard,
    /// Its stamp.
    pub(crate) stamp: Option<Stamp>,
    /// When it came.
    pub(crate) came: Timestamp,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It is on its way.
    New,
    /// Its id was known; it is told to nobody.
    Known,
    /// Too much waits already.
    Full,
}

/// Channels and connections.
#[derive(Debug)]
pub(crate) struct Hub {
    config: Config,
    post: Arc<Post>,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
}

impl Hub {
    pub(crate) fn new(config: Config, post: Arc<Post>, ledger: Arc<Ledger>) -> Self {
        Self { config, post, ledger, state: Mutex::default() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection, with the number that names it.
    pub(crate) fn join(&self, outlet: Arc<Outlet>) -> u64 {
        self.with(|s| {
            s.next_connection += 1;
            s.connections.insert(s.next_connection, Connection { outlet, newest: Timestamp::default() });
            s.next_connection
        })
    }

    /// A connection is gone.
    pub(crate) fn part(&self, connection: u64) {
        self.with(|s| {
            s.connections.remove(&connection);
            s.channels.values_mut().for_each(|c| c.watchers.retain(|w| *w != connection));
        });
    }

    /// A channel's newest number.
    pub(crate) fn seq(&self, cid: &str) -> u64 {
        self.with(|s| s.channels.get(cid).map_or(0, |c| c.seq))
    }

    /// Begins to watch, and answers the channel's newest number; `None` if there is no such connection.
    pub(crate) fn watch(&self, cid: &str, connection: u64) -> Option<u64> {
        self.with(|s| {
            s.connections.contains_key(&connection).then(|| {
                let channel = s.channels.entry(cid.to_owned()).or_default();
                if !channel.watchers.contains(&connection) {
                    channel.watchers.push(connection);
                }
                channel.seq
            })
        })
    }

    /// Stops to watch, and answers the channel's newest number: up to there everything still comes.
    pub(crate) fn unwatch(&self, cid: &str, connection: u64) -> u64 {
        self.with(|s| {
            let Some(channel) = s.channels.get_mut(cid) else { return 0 };
            channel.watchers.retain(|w| *w != connection);
            channel.seq
        })
    }

    /// Numbers a message and puts its deliveries in line; `frame` makes its frame.
    pub(crate) fn publish(&self, message: &Incoming, frame: impl FnOnce(u64) -> Bytes) -> Published {
        self.with(|s| {
            if s.ids.contains(&message.heard.id) {
                self.ledger.repeated();
                return Published::Known;
            }
            let State { channels, connections, deliveries, ids, .. } = s;
            let channel = channels.entry(message.heard.cid.clone()).or_default();
            if !self.post.has_room(channel.watchers.len()) {
                return Published::Full;
            }
            if ids.len() < IDS_MAX {
                ids.insert(message.heard.id.clone());
            }
            channel.seq += 1;
            self.ledger.heard(message.heard.clone(), channel.seq, channel.watchers.len() as u64);
            let cid: Arc<str> = message.heard.cid.as_str().into();
            let number = channel.seq;
            let delivery = Delivery { frame: frame(number), cid, number, stamp: message.stamp, came: message.came };
            for watcher in &channel.watchers {
                let number = *deliveries;
                *deliveries += 1;
                if let Some(connection) = connections.get_mut(watcher) {
                    let mut draws = SplitMix64::of(&[self.config.seed, Purpose::Delay as u64, number]);
                    let at = connection.newest.max(message.came + self.config.delay.draw(&mut draws));
                    connection.newest = at;
                    let fault = fault(&self.config, number);
                    // In line while the hub is locked: a connection's deliveries keep the order of their numbers.
                    self.post.deliver(at, Arc::clone(&connection.outlet), delivery.clone(), fault);
                }
            }
            Published::New
        })
    }
}
