//! The data directory: an embedded database behind one writer thread.
//!
//! Whoever changes a channel reserves a slot first, hands its records over under the channel's lock (so they arrive in
//! the order of the channel's events), and waits. The writer takes all that has come in meanwhile, commits it with one
//! sync, passes the events on to the watchers, and lets everybody go on.

mod load;
mod read;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use redb::{Database, TableDefinition};
use tokio::sync::{mpsc, oneshot};
use wire::ApiError;

use crate::cell::Cell;
use crate::failure;
use crate::hub::Batch;
use crate::outlets::Slots;
use crate::record::{Record, Table};
use crate::sharded::lock;

pub(crate) use load::load;
pub(crate) use read::{Reader, Wanted};

/// Changes that may wait for the writer; callers beyond wait for a slot.
const QUEUE: usize = 4_096;
/// Changes that go into one commit at most.
const BATCH: usize = 1_024;
/// How long a change waits for a slot, and then for its commit.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the database's cache: what is asked for often is in the channels' own memory.
const CACHE: usize = 64 * 1024 * 1024;

/// The name of the database in the data directory.
const FILE: &str = "chat.redb";

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

impl Table {
    const ALL: [Self; 7] =
        [Self::Channels, Self::Members, Self::Reads, Self::Messages, Self::Places, Self::Events, Self::Users];

    fn definition(self) -> Definition {
        TableDefinition::new(match self {
            Self::Channels => "channels",
            Self::Members => "members",
            Self::Reads => "reads",
            Self::Messages => "messages",
            Self::Places => "places",
            Self::Events => "events",
            Self::Users => "users",
        })
    }
}

/// A change to be kept.
pub(crate) struct Job {
    pub(crate) records: Vec<Record>,
    /// To be passed on when the records are on disk.
    pub(crate) events: Batch,
    /// To whose watchers.
    pub(crate) told: Option<Told>,
}

/// Who is told of a change once it is kept: a channel's watchers, through slots that were reserved before.
pub(crate) struct Told {
    pub(crate) cell: Arc<Cell>,
    pub(crate) slots: Slots,
}

struct Queued {
    job: Job,
    done: oneshot::Sender<()>,
}

/// See the module.
pub(crate) struct Store {
    database: Arc<Database>,
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    failed: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// A place in the writer's queue.
pub(crate) struct Slot(mpsc::OwnedPermit<Queued>);

impl Slot {
    /// Hands a change over; never blocks, so it may be called under a lock.
    pub(crate) fn send(self, job: Job) -> Kept {
        let (done, kept) = oneshot::channel();
        self.0.send(Queued { job, done });
        Kept(kept)
    }
}

/// A change on its way to the disk.
pub(crate) struct Kept(oneshot::Receiver<()>);

impl Kept {
    /// Waits until the change is on disk.
    pub(crate) async fn wait(self) -> Result<(), ApiError> {
        match tokio::time::timeout(PATIENCE, self.0).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(failure::internal("the change could not be written to the data directory")),
            Err(_) => Err(failure::internal("the data directory did not take the change in time")),
        }
    }
}

impl Store {
    /// Opens or creates the database in `directory`, and starts the writer.
    ///
    /// # Errors
    /// When the directory can't be made or written, when the file is no database, or another server has it open.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("can't make the data directory {}", directory.display()))?;
        let file = directory.join(FILE);
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(&file)
            .with_context(|| format!("can't open {}: is another chat server using it?", file.display()))?;
        let transaction = database.begin_write()?;
        for table in Table::ALL {
            transaction.open_table(table.definition())?;
        }
        transaction.commit()?;
        let database = Arc::new(database);
        let failed = Arc::new(AtomicBool::new(false));
        let (queue, queued) = mpsc::channel(QUEUE);
        let writer = Writer { database: database.clone(), queued, failed: failed.clone() };
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run())?;
        Ok(Self { database, queue: Mutex::new(Some(queue)), failed, writer: Mutex::new(Some(writer)) })
    }

    /// Reserves a place in the writer's queue.
    pub(crate) async fn slot(&self) -> Result<Slot, ApiError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(failure::unavailable("the data directory can't be written any more"));
        }
        let queue = lock(&self.queue).clone().ok_or_else(|| failure::unavailable("the server is shutting down"))?;
        match tokio::time::timeout(PATIENCE, queue.reserve_owned()).await {
            Ok(Ok(permit)) => Ok(Slot(permit)),
            Ok(Err(_)) => Err(failure::unavailable("the data directory can't be written any more")),
            Err(_) => Err(failure::unavailable("the data directory is too slow: try again later")),
        }
    }

    /// Keeps records that no channel's events hang on.
    pub(crate) async fn keep(&self, records: Vec<Record>) -> Result<(), ApiError> {
        self.slot().await?.send(Job { records, events: Batch::new(), told: None }).wait().await
    }

    /// Reads what is kept.
    pub(crate) fn reader(&self) -> Reader {
        Reader(self.database.clone())
    }

    /// Writes what is queued, and ends the writer. Blocks.
    pub(crate) fn close(&self) {
        drop(lock(&self.queue).take());
        if let Some(writer) = lock(&self.writer).take()
            && writer.join().is_err()
        {
            tracing::error!("the data directory's writer panicked");
        }
    }
}

/// The writer thread.
struct Writer {
    database: Arc<Database>,
    queued: mpsc::Receiver<Queued>,
    failed: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = self.queued.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH {
                let Ok(next) = self.queued.try_recv() else { break };
                batch.push(next);
            }
            if let Err(error) = self.commit(&batch) {
                // What was broadcast must be on disk, and order must hold: after one failure nothing more is taken.
                tracing::error!("can't write to the data directory, no more changes are taken: {error:#}");
                self.failed.store(true, Ordering::Relaxed);
                return;
            }
            for queued in batch.drain(..) {
                Self::finish(queued);
            }
        }
    }

    fn commit(&self, batch: &[Queued]) -> anyhow::Result<()> {
        if batch.iter().all(|queued| queued.job.records.is_empty()) {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        for table in Table::ALL {
            let records = batch.iter().flat_map(|queued| &queued.job.records).filter(|record| record.table == table);
            let mut records = records.peekable();
            if records.peek().is_none() {
                continue;
            }
            let mut table = transaction.open_table(table.definition())?;
            for record in records {
                match &record.value {
                    Some(value) => drop(table.insert(record.key.as_slice(), value.as_slice())?),
                    None => drop(table.remove(record.key.as_slice())?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn finish(queued: Queued) {
        if let Some(Told { cell, mut slots }) = queued.job.told {
            cell.publish(&mut cell.lock(), &mut slots, queued.job.events, None);
        }
        // Who asked may be gone; the change stands.
        let _ = queued.done.send(());
    }
}
