//! All that a node knows, and the two ways in which events leave it: kept first or at once.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use measure::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::ApiError;
use wire::event::{Event, kind};
use wire::token::TokenKey;

use crate::channel::{Bounds, Channel, Step, encode};
use crate::config::Config;
use crate::connection::{Connection, Connections};
use crate::failure;
use crate::hub::{Outgoing, Room};
use crate::rate::Limiter;
use crate::sharded::{Sharded, lock};
use crate::stats::{Stats, add};
use crate::store::{Job, Store};
use crate::time::Date;
use crate::users::Users;

/// A channel and its watchers, behind one lock. Lock order: a cell, then a connection; never two cells.
#[derive(Debug)]
pub(crate) struct Cell {
    state: Mutex<State>,
}

/// What a cell's lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) channel: Channel,
    pub(crate) room: Room<Arc<Connection>>,
    /// Whether its watcher count waits to be announced.
    announcing: bool,
}

impl Cell {
    pub(crate) fn new(channel: Channel) -> Self {
        let room = Room::new(channel.seq());
        Self { state: Mutex::new(State { channel, room, announcing: false }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) tokens: TokenKey,
    /// By cid.
    pub(crate) channels: Sharded<String, Arc<Cell>>,
    /// Channels of the messages in memory, by message id.
    pub(crate) messages: Sharded<String, Arc<Cell>>,
    /// Whether a message has ever left memory.
    pub(crate) has_forgotten: AtomicBool,
    pub(crate) users: Users,
    pub(crate) connections: Connections,
    pub(crate) limiter: Limiter,
    pub(crate) stats: Arc<Stats>,
    pub(crate) store: Option<Store>,
    /// Tasks that draining waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when draining begins.
    pub(crate) draining: CancellationToken,
    /// Channels whose watcher count waits to be announced.
    announcements: Mutex<Vec<Arc<Cell>>>,
}

impl App {
    pub(crate) fn new(config: Config, store: Option<Store>, stats: Arc<Stats>) -> Self {
        Self {
            clock: Clock::System,
            tokens: TokenKey::new(config.api_secret.reveal()),
            channels: Sharded::new(),
            messages: Sharded::new(),
            has_forgotten: AtomicBool::new(false),
            users: Users::new(),
            connections: Connections::new(),
            limiter: Limiter::new(config.rates.clone()),
            stats,
            store,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            announcements: Mutex::default(),
            config,
        }
    }

    /// How much a channel keeps.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            window_messages: self.config.window_messages,
            log_events: self.config.log_events,
            log_bytes: self.config.log_bytes,
            kept: self.config.data_dir.is_some(),
        }
    }

    /// How long a closing connection may take to read why; while draining less, so that nobody holds the end up.
    pub(crate) fn farewell_timeout(&self) -> Duration {
        match self.draining.is_cancelled() {
            true => self.config.close_timeout.min(self.config.drain_timeout / 4),
            false => self.config.close_timeout,
        }
    }

    /// The channel with this cid.
    pub(crate) fn channel(&self, cid: &str) -> Result<Arc<Cell>, ApiError> {
        self.channels.get(cid).ok_or_else(|| failure::not_found(format!("channel {cid:?}")))
    }

    /// Changes a channel. Without a store its events leave at once, under the channel's lock. With one they leave, and
    /// this answers, once the change is on disk: nobody ever heard of what a crash can take back.
    pub(crate) async fn change<T>(
        &self,
        cell: &Arc<Cell>,
        step: impl FnOnce(&mut Channel, &Date) -> Result<Step<T>, ApiError>,
    ) -> Result<T, ApiError> {
        let slot = match &self.store {
            Some(store) => Some(store.slot().await?),
            None => None,
        };
        let (answer, kept) = {
            let state = &mut *cell.lock();
            let at = Date::now();
            state.channel.watchers = state.room.user_count() as u64;
            let mut step = step(&mut state.channel, &at)?;
            match slot {
                Some(slot) => {
                    state.channel.record_self(&mut step, false);
                    let job = Job { records: step.records, events: step.durable, cell: Some(cell.clone()) };
                    (step.answer, Some(slot.send(job)))
                }
                None => {
                    for event in &step.durable {
                        publish(&self.stats, &mut state.room, event, None);
                    }
                    (step.answer, None)
                }
            }
        };
        if let Some(kept) = kept {
            kept.wait().await?;
        }
        Ok(answer)
    }

    /// Sends an event that has no number to all watchers.
    pub(crate) fn broadcast(&self, state: &mut State, event: &Event, except: Option<u64>) {
        publish(&self.stats, &mut state.room, &Outgoing { seq: None, frame: encode(event) }, except);
    }

    /// Whether the channel has so many watchers that small events stay untold.
    pub(crate) fn is_throttled(&self, state: &State) -> bool {
        self.config.throttle_watchers.is_some_and(|most| state.room.user_count() > most)
    }

    /// Starts to watch, tells the others, and answers the number after which the connection gets every event.
    pub(crate) fn watch(&self, cell: &Arc<Cell>, connection: &Arc<Connection>) -> Result<u64, ApiError> {
        let state = &mut *cell.lock();
        connection.begin_watching(cell)?;
        let changed = state.room.watch(connection.number, &connection.user.id, connection.clone());
        if changed.user {
            self.tell_watching(cell, state, connection, kind::USER_WATCHING_START);
        }
        Ok(changed.seq)
    }

    /// Stops watching, tells the others, and answers the number up to which the connection got every event.
    pub(crate) fn unwatch(&self, cell: &Arc<Cell>, connection: &Arc<Connection>) -> u64 {
        let state = &mut *cell.lock();
        connection.end_watching(cell);
        let changed = state.room.unwatch(connection.number);
        if changed.user {
            self.tell_watching(cell, state, connection, kind::USER_WATCHING_STOP);
        }
        changed.seq
    }

    fn tell_watching(&self, cell: &Arc<Cell>, state: &mut State, connection: &Connection, kind: &str) {
        if self.is_throttled(state) {
            if !std::mem::replace(&mut state.announcing, true) {
                lock(&self.announcements).push(cell.clone());
            }
            return;
        }
        let mut event = state.channel.event(kind, &Date::now());
        event.user = Some(connection.user.show());
        event.watcher_count = Some(state.room.user_count() as u64);
        self.broadcast(state, &event, Some(connection.number));
    }

    /// Announces the watcher counts that wait; called every few seconds.
    pub(crate) fn announce(&self) {
        let waiting = std::mem::take(&mut *lock(&self.announcements));
        for cell in waiting {
            let state = &mut *cell.lock();
            state.announcing = false;
            let mut event = state.channel.event(kind::USER_WATCHING_START, &Date::now());
            event.watcher_count = Some(state.room.user_count() as u64);
            self.broadcast(state, &event, None);
        }
    }

    /// Opens a connection of a user.
    pub(crate) fn open(&self, user: &Arc<crate::users::UserCell>, polls: bool) -> Arc<Connection> {
        self.connections.open(user.clone(), polls, self.config.outbox_bytes_max, self.clock.now())
    }

    /// A connection is gone: nothing of it stays. Calling it again does nothing.
    pub(crate) fn disconnect(&self, connection: &Arc<Connection>) {
        self.connections.close(connection);
        for cell in connection.leave().into_iter().flatten() {
            self.unwatch(&cell, connection);
        }
    }

    /// The first event of a connection, and the answer to a keep-alive.
    pub(crate) fn health_check(&self, connection: &Connection, first: bool) -> Event {
        Event {
            kind: kind::HEALTH_CHECK.to_owned(),
            created_at: Date::now().text,
            cid: "*".to_owned(),
            connection_id: Some(connection.id()),
            me: first.then(|| connection.user.show()),
            ..Event::default()
        }
    }
}

/// Passes an event on to the watchers, and counts.
pub(crate) fn publish(stats: &Stats, room: &mut Room<Arc<Connection>>, event: &Outgoing, except: Option<u64>) {
    let fanned_out = room.publish(event, except);
    add(&stats.published, 1);
    add(&stats.fanned_out, fanned_out.queued);
    add(&stats.fanned_out_bytes, fanned_out.queued * event.frame.len() as u64);
    add(&stats.closed_slow, fanned_out.overflowed);
}
