//! Connections of users, whatever carries them: a WebSocket's session or a client that polls.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use measure::Timestamp;
use wire::ApiError;

use crate::app::Cell;
use crate::failure;
use crate::hub::Sink;
use crate::outbox::{Outbox, Push};
use crate::sharded::{Sharded, lock};
use crate::users::UserCell;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Unique in this process.
    pub(crate) number: u64,
    /// Drawn at random, so that ids of connections can't be guessed.
    nonce: u64,
    pub(crate) user: Arc<UserCell>,
    pub(crate) outbox: Outbox,
    /// Channels that it watches; `None` once it is gone.
    watching: Mutex<Option<Vec<Arc<Cell>>>>,
    /// When the client was heard last, as the clock's nanoseconds.
    heard_at: AtomicU64,
    /// Whether it polls, and whether a poll waits right now.
    pub(crate) polls: bool,
    pub(crate) poll_waits: AtomicBool,
}

impl Connection {
    /// Its `connection_id`: two numbers in hexadecimal, 33 characters.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}-{:016x}", self.nonce, self.number)
    }

    /// Notes that the client is there.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.heard_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// When the client was heard last.
    pub(crate) fn heard_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.heard_at.load(Ordering::Relaxed))
    }

    /// Notes that it watches a channel; called under that channel's lock.
    ///
    /// # Errors
    /// When the connection is gone: nobody would ever stop watching for it.
    pub(crate) fn begin_watching(&self, cell: &Arc<Cell>) -> Result<(), ApiError> {
        let mut watching = lock(&self.watching);
        let watching = watching.as_mut().ok_or_else(failure::connection_unknown)?;
        if !watching.iter().any(|other| Arc::ptr_eq(other, cell)) {
            watching.push(cell.clone());
        }
        Ok(())
    }

    /// Notes that it watches a channel no more; called under that channel's lock.
    pub(crate) fn end_watching(&self, cell: &Arc<Cell>) {
        if let Some(watching) = lock(&self.watching).as_mut() {
            watching.retain(|other| !Arc::ptr_eq(other, cell));
        }
    }

    /// It is gone: what it watched. Later calls answer nothing, and it can't begin to watch again.
    pub(crate) fn leave(&self) -> Option<Vec<Arc<Cell>>> {
        lock(&self.watching).take()
    }
}

impl Sink for Arc<Connection> {
    fn push(&self, frame: &Bytes) -> Push {
        self.outbox.push(frame)
    }
}

/// All connections of this node, by `connection_id`.
#[derive(Debug)]
pub(crate) struct Connections {
    by_number: Sharded<u64, Arc<Connection>>,
    next: AtomicU64,
    count: AtomicU64,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { by_number: Sharded::new(), next: AtomicU64::new(1), count: AtomicU64::new(0) }
    }

    /// A new connection of a user.
    pub(crate) fn open(
        &self,
        user: Arc<UserCell>,
        polls: bool,
        outbox_bytes_max: usize,
        now: Timestamp,
    ) -> Arc<Connection> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        user.came();
        let connection = Arc::new(Connection {
            number,
            nonce: uuid::Uuid::new_v4().as_u64_pair().1,
            user,
            outbox: Outbox::new(outbox_bytes_max),
            watching: Mutex::new(Some(Vec::new())),
            heard_at: AtomicU64::new(now.as_nanos()),
            polls,
            poll_waits: AtomicBool::new(false),
        });
        self.by_number.insert(number, connection.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        connection
    }

    /// Forgets a connection.
    pub(crate) fn close(&self, connection: &Connection) {
        if self.by_number.remove(&connection.number).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            connection.user.went();
        }
    }

    /// The connection with this id.
    ///
    /// # Errors
    /// When there is none, or it isn't this user's (`None`: a server, who may name anybody's).
    pub(crate) fn get(&self, id: &str, user: Option<&str>) -> Result<Arc<Connection>, ApiError> {
        let number = id.rsplit_once('-').and_then(|(_, number)| u64::from_str_radix(number, 16).ok());
        let connection = number.and_then(|number| self.by_number.get(&number));
        let ours = |connection: &Arc<Connection>| {
            connection.id() == id && user.is_none_or(|user| *user == *connection.user.id)
        };
        connection.filter(ours).ok_or_else(failure::connection_unknown)
    }

    /// Connections that `pick` wants.
    pub(crate) fn collect(&self, mut pick: impl FnMut(&Connection) -> bool) -> Vec<Arc<Connection>> {
        self.by_number.collect(|connection| pick(connection))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
