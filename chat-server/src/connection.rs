//! Connections of users, whatever carries them, as every thread may know them: who, where, and what they watch. What
//! waits for a connection and the socket itself belong to its shard alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use measure::Timestamp;
use smallvec::SmallVec;
use wire::ApiError;

use crate::cell::{Cell, Place};
use crate::failure;
use crate::hub::RoomId;
use crate::outbox::Outbox;
use crate::sharded::{Sharded, lock};
use crate::users::UserCell;

/// The number in a `connection_id`.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    id.rsplit_once('-').and_then(|(_, number)| u64::from_str_radix(number, 16).ok())
}

/// Channels that a connection watches.
type Watched = SmallVec<[Arc<Cell>; 2]>;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Unique in this process.
    pub(crate) number: u64,
    /// Drawn at random, so that ids of connections can't be guessed.
    nonce: u64,
    pub(crate) user: Arc<UserCell>,
    pub(crate) deflate: Deflate,
    /// Where it lives.
    pub(crate) place: Place,
    /// Channels that it watches; `None` once it is gone.
    watching: Mutex<Option<Watched>>,
    /// What a connection has that polls; a WebSocket's has none.
    pub(crate) polled: Option<Box<Polled>>,
}

/// What a WebSocket's ends have agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deflate {
    /// The client may compress.
    pub(crate) agreed: bool,
    /// The client can follow a channel's compressed stream.
    pub(crate) follows: bool,
}

/// A connection that is read by polling. Polls come over any socket, and so on any shard: its outbox has a lock.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) outbox: Outbox,
    /// Whether a poll waits right now.
    pub(crate) waits: AtomicBool,
    /// When the client was heard last, as the clock's nanoseconds.
    heard_at: AtomicU64,
}

impl Polled {
    pub(crate) fn new(outbox_bytes_max: usize, now: Timestamp) -> Self {
        let heard_at = AtomicU64::new(now.as_nanos());
        Self { outbox: Outbox::new(outbox_bytes_max), waits: AtomicBool::new(false), heard_at }
    }

    /// Notes that the client is there.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.heard_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// When the client was heard last.
    pub(crate) fn heard_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.heard_at.load(Ordering::Relaxed))
    }
}

impl Connection {
    /// Its `connection_id`: two numbers in hexadecimal, 33 characters.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}-{:016x}", self.nonce, self.number)
    }

    /// Notes that it watches a channel; called under that channel's lock. `false` if it did already.
    ///
    /// # Errors
    /// When the connection is gone: nobody would ever stop watching for it.
    pub(crate) fn begin_watching(&self, cell: &Arc<Cell>) -> Result<bool, ApiError> {
        let mut watching = lock(&self.watching);
        let watching = watching.as_mut().ok_or_else(failure::connection_unknown)?;
        let is_new = !watching.iter().any(|other| Arc::ptr_eq(other, cell));
        if is_new {
            watching.push(cell.clone());
        }
        Ok(is_new)
    }

    /// Notes that it watches a channel no more; called under that channel's lock. `false` if it didn't.
    pub(crate) fn end_watching(&self, cell: &Arc<Cell>) -> bool {
        let mut watching = lock(&self.watching);
        let Some(watching) = watching.as_mut() else { return false };
        let before = watching.len();
        watching.retain(|other| !Arc::ptr_eq(other, cell));
        watching.len() < before
    }

    /// The channel that it watches under this number.
    pub(crate) fn watched(&self, room: RoomId) -> Option<Arc<Cell>> {
        lock(&self.watching).as_ref()?.iter().find(|cell| cell.room == room).cloned()
    }

    /// It is gone: what it watched. Later calls answer nothing, and it can't begin to watch again.
    pub(crate) fn leave(&self) -> Option<Watched> {
        lock(&self.watching).take()
    }
}

/// All connections of this node, by `connection_id`.
#[derive(Debug)]
pub(crate) struct Connections {
    by_number: Sharded<u64, Arc<Connection>>,
    next: AtomicU64,
    count: AtomicU64,
    /// How many of them poll.
    polled: AtomicU64,
}

impl Connections {
    pub(crate) fn new() -> Self {
        // Edges leave each other's connections out by number, so numbers of different processes should differ.
        let first = (uuid::Uuid::new_v4().as_u64_pair().0 & 0x7fff_ffff_0000_0000) | 1;
        Self {
            by_number: Sharded::new(),
            next: AtomicU64::new(first),
            count: AtomicU64::new(0),
            polled: AtomicU64::new(0),
        }
    }

    /// A new connection of a user.
    pub(crate) fn open(
        &self,
        user: Arc<UserCell>,
        deflate: Deflate,
        place: Place,
        polled: Option<Box<Polled>>,
    ) -> Arc<Connection> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        user.came(number);
        let nonce = uuid::Uuid::new_v4().as_u64_pair().1;
        let watching = Mutex::new(Some(Watched::new()));
        let connection = Arc::new(Connection { number, nonce, user, deflate, place, watching, polled });
        self.by_number.insert(number, connection.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        self.polled.fetch_add(u64::from(connection.polled.is_some()), Ordering::Relaxed);
        connection
    }

    /// Forgets a connection. `false` if it was forgotten before.
    pub(crate) fn close(&self, connection: &Connection) -> bool {
        let was_there = self.by_number.remove(&connection.number).is_some();
        if was_there {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.polled.fetch_sub(u64::from(connection.polled.is_some()), Ordering::Relaxed);
            connection.user.went(connection.number);
        }
        was_there
    }

    /// The connection with this number.
    pub(crate) fn by_number(&self, number: u64) -> Option<Arc<Connection>> {
        self.by_number.get(&number)
    }

    /// Where the connection with this number lives.
    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        self.by_number(number).map(|connection| connection.place)
    }

    /// The connection with this id.
    ///
    /// # Errors
    /// When there is none, or it isn't this user's (`None`: a server, who may name anybody's).
    pub(crate) fn get(&self, id: &str, user: Option<&str>) -> Result<Arc<Connection>, ApiError> {
        let connection = number_of(id).and_then(|number| self.by_number.get(&number));
        let ours = |connection: &Arc<Connection>| {
            connection.id() == id && user.is_none_or(|user| *user == *connection.user.id)
        };
        connection.filter(ours).ok_or_else(failure::connection_unknown)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Bytes that wait for polls.
    pub(crate) fn polled_bytes(&self) -> u64 {
        let mut bytes = 0;
        if self.polled.load(Ordering::Relaxed) > 0 {
            self.by_number.collect(|connection| {
                bytes += connection.polled.as_ref().map_or(0, |polled| polled.outbox.bytes() as u64);
                false
            });
        }
        bytes
    }
}
