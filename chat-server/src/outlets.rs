//! Where events leave a channel: bounded queues, one for each shard.
//!
//! Whoever changes a channel, or who watches it, reserves slots in **all** queues first, waiting with a deadline, and
//! fills those that he needs under the channel's lock, which never waits. Receivers are woken when the slots are
//! dropped, after the lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use measure::Clock;
use smallvec::SmallVec;
use tokio::sync::{Notify, Semaphore};
use wire::ApiError;

use crate::failure;
use crate::hub::{Batch, LineKey, RoomId};
use crate::outbox::Closing;
use crate::session::Answer;
use crate::sharded::lock;
use crate::stats::add;

/// Items that may wait in one queue; callers beyond wait for a slot. More than the store's queue has, whose jobs hold a
/// slot each.
const QUEUE: usize = 8_192;
/// How long a caller waits for slots.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum Item {
    /// Events for a room's watchers, `except` one.
    Publish { room: RoomId, events: Batch, except: Option<LineKey> },
    /// A connection starts to watch: it gets what comes behind this, compressed if it `follows` streams.
    Watch { room: RoomId, line: LineKey, follows: bool },
    /// A connection stops watching: it gets what came before this.
    Unwatch { room: RoomId, line: LineKey },
    /// A connection that is over watches nothing any more: its place is free.
    Forget { line: LineKey },
    /// An event for one connection, unless its place is another's by now.
    Tell { line: LineKey, connection: u64, frame: Bytes },
    /// All of a room's watchers are closed.
    Close { room: RoomId, closing: Closing },
    /// What the shard itself says to a connection: it goes behind all that was passed on before.
    Answer { line: LineKey, answer: Answer },
}

/// A shard's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    items: Mutex<VecDeque<Item>>,
    slots: Semaphore,
    ready: Notify,
    /// The most items that ever waited in it.
    depth_max: AtomicU64,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            items: Mutex::default(),
            slots: Semaphore::new(QUEUE),
            ready: Notify::new(),
            depth_max: AtomicU64::new(0),
        }
    }

    /// Moves all items behind those of `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<Item>) {
        let mut items = lock(&self.items);
        if items.is_empty() {
            return;
        }
        self.depth_max.fetch_max((items.len() + into.len()) as u64, Ordering::Relaxed);
        if into.is_empty() {
            std::mem::swap(&mut *items, into);
        } else {
            into.append(&mut items);
        }
    }

    /// So many taken items are done with: their slots are free.
    pub(crate) fn done(&self, items: usize) {
        self.slots.add_permits(items);
    }

    /// Waits until something has come in since the last wait.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Slots that are taken.
    pub(crate) fn depth(&self) -> u64 {
        QUEUE.saturating_sub(self.slots.available_permits()) as u64
    }

    /// The most items that ever waited.
    pub(crate) fn depth_max(&self) -> u64 {
        self.depth_max.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Reserved {
    queue: Arc<Queue>,
    left: usize,
    wake: bool,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.queue.slots.add_permits(self.left);
        if self.wake {
            self.queue.ready.notify_one();
        }
    }
}

/// Reserved slots: as many in each queue as were asked for.
#[derive(Debug)]
pub(crate) struct Slots(SmallVec<[Reserved; 4]>);

impl Slots {
    /// Fills a slot; never waits, so it may be called under a lock.
    pub(crate) fn send(&mut self, outlet: usize, item: Item) {
        let reserved = &mut self.0[outlet];
        reserved.left = reserved.left.checked_sub(1).expect("as many slots were reserved as one step may need");
        let mut items = lock(&reserved.queue.items);
        reserved.wake |= items.is_empty();
        items.push_back(item);
    }
}

/// Callers that had to wait for slots, and how long.
#[derive(Debug, Default)]
pub(crate) struct SlotWaits {
    pub(crate) count: AtomicU64,
    pub(crate) nanos: AtomicU64,
}

/// All queues of this node. An outlet's number is its place here.
#[derive(Debug)]
pub(crate) struct Outlets {
    queues: Box<[Arc<Queue>]>,
    pub(crate) waits: SlotWaits,
}

impl Outlets {
    pub(crate) fn new(queues: impl Iterator<Item = Arc<Queue>>) -> Self {
        Self { queues: queues.collect(), waits: SlotWaits::default() }
    }

    /// Reserves `each` slots in every queue.
    ///
    /// # Errors
    /// When a shard is too busy to make room in time.
    pub(crate) async fn reserve(&self, each: u32) -> Result<Slots, ApiError> {
        let mut slots = Slots(SmallVec::new());
        for queue in &self.queues {
            let permit = match queue.slots.try_acquire_many(each) {
                Ok(permit) => permit,
                Err(_) => {
                    let since = Clock::System.now();
                    let waited = tokio::time::timeout(PATIENCE, queue.slots.acquire_many(each)).await;
                    add(&self.waits.count, 1);
                    let nanos = Clock::System.now().since(since).as_nanos();
                    add(&self.waits.nanos, u64::try_from(nanos).unwrap_or(u64::MAX));
                    match waited {
                        Ok(Ok(permit)) => permit,
                        _ => {
                            return Err(failure::unavailable(
                                "the server is too busy to pass events on: try again later",
                            ));
                        }
                    }
                }
            };
            permit.forget();
            slots.0.push(Reserved { queue: queue.clone(), left: each as usize, wake: false });
        }
        Ok(slots)
    }
}
