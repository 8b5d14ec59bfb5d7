//! All that a node knows, and the two ways in which events leave it: kept first or at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use measure::Clock;
use proto::link::Watcher;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::ApiError;
use wire::event::{Event, kind};
use wire::token::TokenKey;

use crate::cell::{Cell, Except, Rest, State};
use crate::channel::{Bounds, Channel, Step};
use crate::config::Config;
use crate::connection::{Connection, Connections};
use crate::edge::{EdgeLink, Remote};
use crate::failure;
use crate::hub::RoomId;
use crate::link::Links;
use crate::online::Online;
use crate::outbox::Closing;
use crate::outlets::{Item, Outlets, Slots};
use crate::rate::Limiter;
use crate::shard::Handle;
use crate::sharded::{Sharded, lock};
use crate::stats::Stats;
use crate::store::{Job, Store, Told};
use crate::time::Date;
use crate::users::Users;

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
    /// The shards, as other threads see them; the queue of each is the outlet with its number.
    pub(crate) shards: Box<[Arc<Handle>]>,
    pub(crate) outlets: Outlets,
    /// Tasks that draining waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when draining begins.
    pub(crate) draining: CancellationToken,
    /// Cancelled when draining is over: shards end.
    pub(crate) ended: CancellationToken,
    /// Cancelled when a shard has failed: the server must end.
    pub(crate) failed: CancellationToken,
    next_room: AtomicU64,
    /// Drawn at random: which process this is, as edges and origins know each other.
    pub(crate) origin_id: u64,
    /// The edges that are attached, at an origin.
    pub(crate) links: Links,
    /// The origin, at an edge.
    pub(crate) edge: Option<Arc<EdgeLink>>,
    pub(crate) online: Online,
    /// Channels whose watcher count waits to be announced.
    announcements: Mutex<Vec<Arc<Cell>>>,
}

impl App {
    pub(crate) fn new(config: Config, store: Option<Store>, stats: Arc<Stats>) -> Self {
        let shards: Box<[Arc<Handle>]> = (0..config.shards.max(1)).map(|_| Arc::new(Handle::new())).collect();
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
            outlets: Outlets::new(shards.iter().map(|shard| shard.queue.clone())),
            shards,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
            failed: CancellationToken::new(),
            next_room: AtomicU64::new(1),
            origin_id: uuid::Uuid::new_v4().as_u64_pair().0,
            links: Links::default(),
            edge: config.origin.clone().map(|origin| Arc::new(EdgeLink::new(origin))),
            online: Online::new(config.presence_grace),
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

    /// A channel gets its place here.
    pub(crate) fn cell(&self, channel: Channel) -> Arc<Cell> {
        let room = RoomId(self.next_room.fetch_add(1, Ordering::Relaxed));
        Arc::new(Cell::new(room, channel, None, self.stats.clone()))
    }

    /// A channel whose origin is elsewhere gets its place here.
    pub(crate) fn remote_cell(&self, kind: &str, id: &str) -> Arc<Cell> {
        let room = RoomId(self.next_room.fetch_add(1, Ordering::Relaxed));
        let channel = Channel::new(kind, id, None, &Date::now(), self.bounds());
        Arc::new(Cell::new(room, channel, Some(Box::new(Remote::new())), self.stats.clone()))
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
        let kept = match &self.store {
            Some(store) => Some(store.slot().await?),
            None => None,
        };
        let mut slots = self.outlets.reserve(1).await?;
        let (answer, kept) = {
            let state = &mut *cell.lock();
            let at = Date::now();
            state.channel.watchers = state.watchers();
            let mut step = step(&mut state.channel, &at)?;
            match kept {
                Some(kept) => {
                    state.channel.record_self(&mut step, false);
                    let told = Some(Told { cell: cell.clone(), slots });
                    let job = Job { records: step.records, events: step.durable, told };
                    (step.answer, Some(kept.send(job)))
                }
                None => {
                    cell.publish(state, &mut slots, step.durable, None);
                    (step.answer, None)
                }
            }
        };
        if let Some(kept) = kept {
            kept.wait().await?;
        }
        Ok(answer)
    }

    /// Whether the channel has so many watchers that small events stay untold.
    pub(crate) fn is_throttled(&self, state: &State) -> bool {
        self.config.throttle_watchers.is_some_and(|most| state.watchers() > most as u64)
    }

    /// Starts to watch, tells the others, and answers the number after which the connection gets every event.
    pub(crate) async fn watch(&self, cell: &Arc<Cell>, connection: &Arc<Connection>) -> Result<u64, ApiError> {
        let mut slots = self.outlets.reserve(2).await?;
        let state = &mut *cell.lock();
        if cell.remote.as_ref().is_some_and(|remote| !remote.is_live()) {
            return Err(failure::origin_away());
        }
        if !connection.begin_watching(cell)? {
            return Ok(state.audience.seq());
        }
        let place = connection.place;
        let changed = state.audience.watch(place.outlet, connection.user.number);
        if connection.deflate.follows {
            state.stream.came();
        }
        let follows = connection.deflate.follows;
        slots.send(place.outlet, Item::Watch { room: cell.room, line: place.line, follows });
        if changed.user {
            self.tell_watching(cell, state, &mut slots, connection, kind::USER_WATCHING_START);
        }
        Ok(changed.seq)
    }

    /// Stops watching, tells the others, and answers the number up to which the connection gets every event.
    pub(crate) async fn unwatch(&self, cell: &Arc<Cell>, connection: &Arc<Connection>) -> Result<u64, ApiError> {
        let slots = self.outlets.reserve(2).await?;
        let state = &mut *cell.lock();
        if !connection.end_watching(cell) {
            return Ok(state.audience.seq());
        }
        self.stop_observing(connection, cell);
        Ok(self.leave(cell, state, slots, connection))
    }

    fn leave(&self, cell: &Arc<Cell>, state: &mut State, mut slots: Slots, connection: &Connection) -> u64 {
        let place = connection.place;
        let changed = state.audience.unwatch(place.outlet, connection.user.number);
        if connection.deflate.follows {
            state.stream.went();
        }
        slots.send(place.outlet, Item::Unwatch { room: cell.room, line: place.line });
        if changed.user {
            self.tell_watching(cell, state, &mut slots, connection, kind::USER_WATCHING_STOP);
        }
        changed.seq
    }

    fn tell_watching(
        &self,
        cell: &Arc<Cell>,
        state: &mut State,
        slots: &mut Slots,
        connection: &Connection,
        kind: &str,
    ) {
        if let Some(edge) = &self.edge {
            let starts = kind == kind::USER_WATCHING_START;
            return edge.note_watching(cell, state, connection, starts, !self.is_throttled(state));
        }
        if self.is_throttled(state) {
            return self.announce_later(cell, state);
        }
        let mut event = state.channel.event(kind, &Date::now());
        event.user = Some(connection.user.show());
        event.watcher_count = Some(state.watchers());
        cell.broadcast(state, slots, &event, Some(Except::Here(connection.place)));
        state.edges.iter().for_each(|edge| edge.count(state.watchers()));
    }

    /// Users began and stopped to watch on an edge, which has been counted: tells the others.
    pub(crate) async fn tell_watching_at_edge(&self, cell: &Arc<Cell>, started: &[Watcher], stopped: &[Watcher]) {
        let started = started.iter().map(|watcher| (watcher, kind::USER_WATCHING_START));
        let stopped = stopped.iter().map(|watcher| (watcher, kind::USER_WATCHING_STOP));
        let mut anybody = false;
        for (watcher, kind) in started.chain(stopped) {
            anybody = true;
            let Ok(mut slots) = self.outlets.reserve(1).await else { break };
            let state = &mut *cell.lock();
            if self.is_throttled(state) {
                return self.announce_later(cell, state);
            }
            let mut event = state.channel.event(kind, &Date::now());
            let user = self.users.get_or_create(&watcher.user).0;
            event.user = Some(wire::event::User { online: true, ..user.show() });
            event.watcher_count = Some(state.watchers());
            cell.broadcast(state, &mut slots, &event, Some(Except::There(watcher.connection)));
        }
        let state = &mut *cell.lock();
        if anybody {
            state.edges.iter().for_each(|edge| edge.count(state.watchers()));
        } else {
            self.announce_later(cell, state);
        }
    }

    /// The channel's watcher count is to be announced.
    pub(crate) fn announce_later(&self, cell: &Arc<Cell>, state: &mut State) {
        if !std::mem::replace(&mut state.announcing, true) {
            lock(&self.announcements).push(cell.clone());
        }
    }

    /// Closes all who watch a channel here.
    pub(crate) async fn close_watchers(&self, cell: &Arc<Cell>, closing: Closing) {
        let Some(mut slots) = self.slots_at_last(1).await else { return };
        for outlet in 0..self.shards.len() {
            slots.send(outlet, Item::Close { room: cell.room, closing });
        }
    }

    /// Announces the watcher counts that wait; called every few seconds.
    pub(crate) async fn announce(&self) {
        let waiting = std::mem::take(&mut *lock(&self.announcements));
        let (mut waiting, resting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|cell| cell.lock().rest.turn());
        lock(&self.announcements).extend(resting);
        while let Some(cell) = waiting.pop() {
            let Ok(mut slots) = self.outlets.reserve(1).await else {
                // Too busy now; the next time they are told.
                waiting.push(cell);
                lock(&self.announcements).append(&mut waiting);
                return;
            };
            let state = &mut *cell.lock();
            state.announcing = false;
            state.rest = Rest::after(state.watchers(), self.config.watcher_count_crowd);
            let mut event = state.channel.event(kind::USER_WATCHING_START, &Date::now());
            event.watcher_count = Some(state.watchers());
            cell.broadcast(state, &mut slots, &event, None);
            state.edges.iter().for_each(|edge| edge.count(state.watchers()));
        }
    }

    /// A connection is gone: it can't be named any more, and soon nothing of it stays. Calling it again does nothing.
    pub(crate) fn disconnect(self: &Arc<Self>, connection: &Arc<Connection>) {
        if self.connections.close(connection) {
            self.departed(&connection.user);
            let (app, connection) = (self.clone(), connection.clone());
            // In a task of its own: whoever called may go away, and the watchers' counts must be right all the same.
            self.tasks.spawn(async move { app.clear(&connection).await });
        }
    }

    async fn clear(&self, connection: &Connection) {
        for cell in connection.leave().into_iter().flatten() {
            self.stop_observing(connection, &cell);
            let Some(slots) = self.slots_at_last(2).await else { return };
            let state = &mut *cell.lock();
            self.leave(&cell, state, slots, connection);
        }
        // Behind everything that names its place.
        let Some(mut slots) = self.slots_at_last(1).await else { return };
        slots.send(connection.place.outlet, Item::Forget { line: connection.place.line });
    }

    /// Slots for what must be said, however busy the shards are; `None` once they have ended.
    pub(crate) async fn slots_at_last(&self, each: u32) -> Option<Slots> {
        while !self.ended.is_cancelled() {
            if let Ok(slots) = self.outlets.reserve(each).await {
                return Some(slots);
            }
        }
        None
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
