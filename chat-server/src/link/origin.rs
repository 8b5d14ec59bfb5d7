//! The origin's end of one link: what an edge says, checked and with its short names resolved, as what must be done.
//! Sans-I/O.

use std::collections::HashMap;

use bytes::Bytes;
use proto::link::edge_says::Says;
use proto::link::{AdmittedUser, EdgeSays, Known, Observing, Presences, Watcher, Watchers};

use crate::channel::EventLog;
use crate::cuckoo::Changes;

/// Channels that one edge may subscribe to.
const CHANNELS_MAX: usize = 1_000_000;

/// Something that the edge has said wrongly: the link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

/// What must be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<T> {
    /// The edge is who it says; greet it.
    Greet { edge: u64 },
    /// It wants a channel's events. Answered by [`Origin::subscribed`], or by an absent channel.
    Subscribe { channel: u32, cid: String, known: Option<Known>, watchers: u64 },
    /// It wants no more of them.
    Unsubscribe { channel: u32, room: T },
    /// Users watch there, or don't any more.
    Watchers { channel: u32, room: T, count: u64, started: Vec<Watcher>, stopped: Vec<Watcher> },
    /// Its filter has changed.
    Filter(Changes),
    /// Users came; to be acknowledged by the number.
    Admit { number: u64, users: Vec<AdmittedUser> },
    /// Somebody there asks for the presence of these users, or doesn't any more.
    Observe(Observing),
    /// Users who are observed came and went there.
    Presences { online: Vec<String>, offline: Vec<String> },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Origin<T> {
    greeted: bool,
    rooms: HashMap<u32, T>,
}

impl<T: Clone> Origin<T> {
    pub(crate) fn new() -> Self {
        Self { greeted: false, rooms: HashMap::new() }
    }

    /// What one thing that the edge says leads to.
    ///
    /// # Errors
    /// When it breaks the contract.
    pub(crate) fn step(&mut self, said: EdgeSays) -> Result<Option<Effect<T>>, Refused> {
        let says = said.says.ok_or(Refused("it says what this version doesn't know"))?;
        if let Says::Hello(hello) = says {
            if std::mem::replace(&mut self.greeted, true) {
                return Err(Refused("it says hello twice"));
            }
            if hello.version != proto::VERSION {
                return Err(Refused("it is of another version: edges and origin must be the same throng"));
            }
            return Ok(Some(Effect::Greet { edge: hello.edge }));
        }
        if !self.greeted {
            return Err(Refused("it doesn't say hello first"));
        }
        Ok(match says {
            Says::Hello(_) => None,
            Says::Subscribe(new) => {
                if self.rooms.contains_key(&new.channel) {
                    return Err(Refused("it uses the short name of a channel for another"));
                }
                if self.rooms.len() >= CHANNELS_MAX {
                    return Err(Refused("it subscribes to too many channels"));
                }
                let (channel, cid, known, watchers) = (new.channel, new.cid, new.known, new.watchers);
                Some(Effect::Subscribe { channel, cid, known, watchers })
            }
            Says::Unsubscribe(gone) => {
                let channel = gone.channel;
                self.rooms.remove(&channel).map(|room| Effect::Unsubscribe { channel, room })
            }
            Says::Watchers(Watchers { channel, count, started, stopped }) => {
                let room = self.rooms.get(&channel).cloned();
                room.map(|room| Effect::Watchers { channel, room, count, started, stopped })
            }
            Says::Filter(new) => {
                let slots = new.whole.then(|| new.slots.to_vec());
                let (epoch, number, writes, stash) = (new.epoch, new.number, new.writes.to_vec(), new.stash);
                Some(Effect::Filter(Changes { epoch, number, slots, writes, stash }))
            }
            Says::Admitted(new) => Some(Effect::Admit { number: new.number, users: new.users }),
            Says::Observing(new) => Some(Effect::Observe(new)),
            Says::Presences(Presences { online, offline }) => Some(Effect::Presences { online, offline }),
        })
    }

    /// The edge gets the channel's events under this short name.
    pub(crate) fn subscribed(&mut self, channel: u32, room: T) {
        self.rooms.insert(channel, room);
    }

    /// All that it gets, when the link ends.
    pub(crate) fn leave(&mut self) -> impl Iterator<Item = (u32, T)> {
        std::mem::take(&mut self.rooms).into_iter()
    }
}

/// What a subscribing edge missed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// The number after which it gets every event.
    pub(crate) after: u64,
    /// The events between that and the newest that was passed on.
    pub(crate) frames: Vec<Bytes>,
}

/// What an edge missed that knows a channel (or doesn't yet) of which `newest` was passed on last. `None`: the log
/// doesn't have it, it is another channel of that name, or it is more than `bytes_max`, which the edge's watchers had
/// better fetch themselves, since it would fill the link, break it, and be missed again.
pub(crate) fn replay(
    known: Option<&Known>,
    created_at: &str,
    newest: u64,
    log: &EventLog,
    bytes_max: usize,
) -> Option<Replay> {
    let Some(known) = known else { return Some(Replay { after: newest, frames: Vec::new() }) };
    let after = known.seq;
    if known.created_at != created_at || after > newest {
        return None;
    }
    let (mut frames, mut bytes) = (Vec::new(), 0);
    for frame in log.after(after).ok()?.take(usize::try_from(newest - after).unwrap_or(usize::MAX)) {
        bytes += frame.len();
        if bytes > bytes_max {
            return None;
        }
        frames.push(frame.clone());
    }
    Some(Replay { after, frames })
}
