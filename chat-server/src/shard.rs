//! One shard: a thread with a runtime of its own, and the connections that live on it from their first byte to their
//! last. Nothing of it is shared; other threads know its [`Handle`], through which sockets and events come in.

mod line;
mod poller;
mod reactor;
mod tasks;

pub(crate) use line::{Backlog, Line};

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::Context as _;
use axum::Router;
use bytes::Bytes;
use slab::Slab;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use wire::close;

use crate::accept::Permit;
use crate::app::App;
use crate::cell::Place;
use crate::channel::encode;
use crate::connection::{Connection, Deflate, Polled};
use crate::guests::Guests;
use crate::hub::{Floor, LineKey};
use crate::outlets::Queue;
use crate::session::{self, Answer, End};
use crate::stats::ShardStats;
use crate::users::UserCell;

use poller::Poller;

/// Sockets that may be on their way to a shard.
const ARRIVALS: usize = 1_024;
/// Threads of a shard that may read the data directory at once.
const READERS: usize = 8;

/// A socket that was accepted, and its right to be here.
pub(crate) type Arrival = (TcpStream, Permit);

/// A shard as other threads see it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) queue: Arc<Queue>,
    pub(crate) stats: ShardStats,
    pub(crate) guests: Guests,
    pub(crate) sockets: mpsc::Sender<Arrival>,
    /// Taken by the shard.
    pub(crate) arrivals: Mutex<Option<mpsc::Receiver<Arrival>>>,
}

impl Handle {
    pub(crate) fn new() -> Self {
        let (sockets, arrivals) = mpsc::channel(ARRIVALS);
        Self {
            queue: Arc::new(Queue::new()),
            stats: ShardStats::default(),
            guests: Guests::default(),
            sockets,
            arrivals: Mutex::new(Some(arrivals)),
        }
    }
}

/// A socket after its handshake.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) stream: TcpStream,
    /// What came behind the handshake.
    pub(crate) early: Bytes,
    pub(crate) deflate: Deflate,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

/// See the module.
pub(crate) struct Shard {
    /// Its number, which is its queue's too.
    number: usize,
    app: Arc<App>,
    handle: Arc<Handle>,
    lines: RefCell<Slab<Line>>,
    floor: RefCell<Floor>,
    poller: Poller,
}

impl Shard {
    /// The shard whose thread this is.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// What the whole node knows.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Its sockets that wait for a request.
    pub(crate) fn guests(&self) -> &Guests {
        &self.handle.guests
    }

    /// Opens a user's WebSocket.
    pub(crate) fn open(self: &Rc<Self>, upgraded: Upgraded, user: &Arc<UserCell>, permit: Permit) {
        let Upgraded { stream, early, deflate } = upgraded;
        let mut lines = self.lines.borrow_mut();
        let entry = lines.vacant_entry();
        let key = entry.key() as LineKey;
        let place = Place { outlet: self.number, line: key };
        let connection = self.app.connections.open(user.clone(), deflate, place, None);
        self.app.arrived(user);
        let line = entry.insert(Line::socket(stream, connection, permit, self.app.clock.now()));
        let hello = encode(&self.app.health_check(&line.connection, true));
        let mut ended = line.send(&mut std::iter::once(&hello), self).err();
        let mut answers = Vec::new();
        if !early.is_empty() {
            session::receive(&self.app, line, &mut early.to_vec(), |answer| answers.push(answer));
        }
        for answer in answers {
            let end = match answer {
                Answer::Frame(frame) => line.send(&mut std::iter::once(&frame), self).err(),
                Answer::End(end) => Some(end),
            };
            ended = ended.or(end);
        }
        if let Some(Err(error)) = line.stream().map(|stream| self.poller.add(stream, key)) {
            tracing::warn!("can't wait for a socket: {error}");
            ended = Some(End::Gone);
        }
        if self.app.draining.is_cancelled() {
            ended = ended.or(Some(End::by_us(close::GOING_AWAY, "the server is shutting down")));
        }
        drop(lines);
        if let Some(end) = ended {
            self.end(key, end);
        }
    }

    /// Opens a connection that will be read by polling.
    pub(crate) fn open_polled(&self, user: &Arc<UserCell>) -> Arc<Connection> {
        let mut lines = self.lines.borrow_mut();
        let entry = lines.vacant_entry();
        let place = Place { outlet: self.number, line: entry.key() as LineKey };
        let polled = Box::new(Polled::new(self.app.config.outbox_bytes_max, self.app.clock.now()));
        let connection = self.app.connections.open(user.clone(), Deflate::default(), place, Some(polled));
        self.app.arrived(user);
        entry.insert(Line::polled(connection.clone()));
        connection
    }

    /// A WebSocket is over: its client is told why, and then nothing of it stays.
    fn end(self: &Rc<Self>, key: LineKey, end: End) {
        let (farewell, connection) = {
            let mut lines = self.lines.borrow_mut();
            let Some(line) = lines.get_mut(key as usize) else { return };
            let Some(farewell) = line.end(self) else { return };
            (farewell, line.connection.clone())
        };
        self.app.disconnect(&connection);
        if end == End::Gone {
            return;
        }
        self.poller.remove(&farewell.stream);
        let app = self.app.clone();
        let told = async move { session::finish(&app, farewell, &connection, end).await };
        tokio::task::spawn_local(self.app.tasks.track_future(told));
    }
}

/// Starts a shard's thread; `started` hears when it runs.
pub(crate) fn start(
    app: &Arc<App>,
    number: usize,
    router: &Router,
    started: oneshot::Sender<anyhow::Result<()>>,
) -> std::io::Result<JoinHandle<()>> {
    let (app, router) = (app.clone(), router.clone());
    std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || run(&app, number, router, started))
}

fn run(app: &Arc<App>, number: usize, router: Router, started: oneshot::Sender<anyhow::Result<()>>) {
    let runtime =
        Builder::new_current_thread().enable_all().max_blocking_threads(READERS).build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(started.send(Err(anyhow::Error::new(error).context("can't start a shard's runtime"))));
            return;
        }
    };
    runtime.block_on(async {
        let shard = match Poller::new().context("can't start a shard's poller") {
            Ok(poller) => Rc::new(Shard::new(app.clone(), number, poller)),
            Err(error) => return drop(started.send(Err(error))),
        };
        CURRENT.set(Some(shard.clone()));
        drop(started.send(Ok(())));
        if let Err(error) = tasks::run(shard, router).await {
            tracing::error!("a shard has failed, the server ends: {error}");
            app.failed.cancel();
        }
        CURRENT.set(None);
    });
    // What has not ended by now had its deadline.
    runtime.shutdown_background();
}

impl Shard {
    fn new(app: Arc<App>, number: usize, poller: Poller) -> Self {
        Self {
            number,
            handle: app.shards[number].clone(),
            app,
            lines: RefCell::default(),
            floor: RefCell::default(),
            poller,
        }
    }
}
