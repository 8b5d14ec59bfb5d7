//! The task that keeps the link: dials, hears, and does what the core wants done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::link::edge_says::Says;
use proto::link::link_client::LinkClient;
use proto::link::origin_says::Says as OriginSaid;
use proto::link::{EdgeSays, FilterChanges, ToEdge, ToOrigin};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;
use wire::close;

use super::batches::Batches;
use super::{Client, EdgeLink, Phase};
use crate::app::App;
use crate::cell::{Cell, Except};
use crate::hub::{Batch, Outgoing};
use crate::link::edge::{Edge, Effect, Input};
use crate::link::outbox::LinkOutbox;
use crate::link::{KEEP_ALIVE, Proof, WINDOWS};
use crate::outbox::Closing;
use crate::sharded::lock;
use crate::stats::add;
use crate::time::ticks;

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(3);
/// How long the origin may take to acknowledge who came last, when the edge ends.
const FAREWELL: Duration = Duration::from_millis(500);
/// What is collected is said at once, but no sooner than this after what was collected before.
const FLUSH: Duration = Duration::from_millis(25);
/// How often the core is told the time, and what nobody called for is said.
const TICK: Duration = Duration::from_millis(100);
/// Events of one channel that are passed on together at most.
const TOGETHER: usize = 64;

/// A stream that was dialled.
struct Dialled {
    inbound: Streaming<ToEdge>,
    client: Client,
    outbox: Arc<LinkOutbox<EdgeSays>>,
}

type Dialling = JoinHandle<Result<Dialled, String>>;

/// See the module.
struct Task {
    app: Arc<App>,
    edge: Arc<EdgeLink>,
    core: Edge<Arc<Cell>>,
    dialling: Option<Dialling>,
    stream: Option<Dialled>,
    batches: Batches,
    /// Events of one channel that are about to be passed on.
    events: Option<(Arc<Cell>, Batch)>,
    /// The last thing that went wrong, so that it is said once.
    complaint: String,
}

/// Keeps the link until the server has ended.
pub(crate) async fn run(app: Arc<App>, edge: Arc<EdgeLink>) {
    let Some(mut wished) = lock(&edge.wished).take() else { return };
    let core = Edge::new(app.origin_id, app.clock.now());
    let ended = app.ended.clone();
    let mut ticks = ticks(TICK);
    let (mut said_at, mut say_at) = (Instant::now(), None);
    let mut task = Task {
        app,
        edge,
        core,
        dialling: None,
        stream: None,
        batches: Batches::default(),
        events: None,
        complaint: String::new(),
    };
    loop {
        tokio::select! {
            () = ended.cancelled() => break,
            Some(cell) = wished.recv() => task.want(cell).await,
            dialled = next(&mut task.dialling) => task.dialled(dialled).await,
            heard = hear(&mut task.stream) => task.heard(heard).await,
            () = task.edge.collected.notified(), if say_at.is_none() => say_at = Some(said_at + FLUSH),
            () = sleep_until(say_at.unwrap_or(said_at)), if say_at.is_some() => {
                (said_at, say_at) = (Instant::now(), None);
                task.flush().await;
            }
            _ = ticks.tick() => task.tick().await,
        }
    }
    // What was collected last; the origin must have it.
    task.flush().await;
    let all = async {
        while !task.batches.is_empty() {
            let heard = hear(&mut task.stream).await;
            task.heard(heard).await;
        }
    };
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        tracing::warn!("the origin has not heard of all users who came last");
    }
}

async fn next(dialling: &mut Option<Dialling>) -> Result<Dialled, String> {
    match dialling {
        Some(dialling) => dialling.await.unwrap_or_else(|_| Err("dialling was given up".to_owned())),
        None => std::future::pending().await,
    }
}

/// What the origin says next; an error says why it says nothing more.
async fn hear(stream: &mut Option<Dialled>) -> Result<ToEdge, String> {
    let Some(stream) = stream else { return std::future::pending().await };
    tokio::select! {
        () = stream.outbox.closed() => Err("it doesn't take what it is told".to_owned()),
        message = stream.inbound.message() => match message {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err("it has ended the link".to_owned()),
            Err(status) => Err(status.message().to_owned()),
        },
    }
}

async fn dial(endpoint: Endpoint, proof: Proof, bytes_max: usize) -> Result<Dialled, String> {
    let transport = endpoint
        .connect_timeout(DIAL)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .connect()
        .await
        .map_err(|error| tls::explain(&error))?;
    let mut client = LinkClient::with_interceptor(transport, proof)
        .max_decoding_message_size(proto::LINK_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(proto::LINK_MESSAGE_BYTES_MAX);
    let outbox = Arc::new(LinkOutbox::new(bytes_max));
    let (to_origin, said) = mpsc::channel(2);
    let pumped = outbox.clone();
    tokio::spawn(async move {
        let why = pumped.pump(async |items| to_origin.send(ToOrigin { items }).await.is_ok()).await;
        pumped.close(why);
    });
    let attached = tokio::time::timeout(DIAL, client.attach(ReceiverStream::new(said))).await;
    let attached = attached.map_err(|_| "it doesn't answer in time".to_owned());
    match attached.and_then(|attached| attached.map_err(|status| tls::explain(&status))) {
        Ok(inbound) => Ok(Dialled { inbound: inbound.into_inner(), client, outbox }),
        Err(why) => {
            outbox.close("it could not be attached");
            Err(why)
        }
    }
}

impl Task {
    async fn step(&mut self, input: Input<Arc<Cell>>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.core.step(self.app.clock.now(), input) {
                inputs.extend(self.obey(effect).await);
            }
        }
    }

    async fn want(&mut self, cell: Arc<Cell>) {
        // Whoever wished it may have been answered meanwhile.
        let pending = cell.remote.as_ref().is_some_and(|remote| *remote.phase.borrow() == Phase::Pending);
        if pending {
            let cid: Arc<str> = cell.lock().channel.cid.as_str().into();
            self.step(Input::Want { cid, room: cell }).await;
        }
    }

    async fn dialled(&mut self, dialled: Result<Dialled, String>) {
        self.dialling = None;
        match dialled {
            Ok(stream) => {
                self.stream = Some(stream);
                self.step(Input::Attached).await;
            }
            Err(why) => self.lost(&why).await,
        }
    }

    async fn heard(&mut self, heard: Result<ToEdge, String>) {
        match heard {
            Ok(message) => {
                for item in message.items {
                    self.step(Input::Said(item)).await;
                    if self.stream.is_none() {
                        break;
                    }
                }
                self.pass_on().await;
            }
            Err(why) => self.lost(&why).await,
        }
    }

    async fn lost(&mut self, why: &str) {
        self.complain(why);
        self.drop_stream();
        self.step(Input::Lost).await;
    }

    fn complain(&mut self, why: &str) {
        if self.complaint != why {
            tracing::warn!(origin = self.edge.origin, "the link to the origin is down: {why}");
            why.clone_into(&mut self.complaint);
        }
    }

    fn drop_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.outbox.close("the link is given up");
        }
        if let Some(dialling) = self.dialling.take() {
            dialling.abort();
        }
        self.edge.client.send_replace(None);
        lock(&self.edge.marks).clear();
    }

    fn say(&self, says: Says) {
        if let Some(stream) = &self.stream {
            stream.outbox.push(EdgeSays { says: Some(says) });
        }
    }

    async fn tick(&mut self) {
        self.flush().await;
        self.step(Input::Tick).await;
    }

    /// Says what was collected.
    async fn flush(&mut self) {
        let changed = std::mem::take(&mut *lock(&self.edge.changed));
        for cell in changed {
            let Some(remote) = &cell.remote else { continue };
            let (cid, count, comings) = {
                let state = &mut *cell.lock();
                state.announcing = false;
                let count = state.audience.user_count() as u64;
                (Arc::from(state.channel.cid.as_str()), count, std::mem::take(&mut *lock(&remote.comings)))
            };
            self.step(Input::Watchers { cid, count, started: comings.started, stopped: comings.stopped }).await;
        }
        if self.core.is_up() {
            self.say_users();
        }
    }

    /// Says who is here.
    fn say_users(&mut self) {
        if let Some(changes) = lock(&self.edge.filter).take_changes() {
            let whole = changes.slots.is_some();
            self.say(Says::Filter(FilterChanges {
                epoch: changes.epoch,
                number: changes.number,
                whole,
                slots: changes.slots.unwrap_or_default().into(),
                writes: changes.writes.into(),
                stash: changes.stash,
            }));
        }
        let arrivals = std::mem::take(&mut *lock(&self.edge.arrivals));
        for admitted in self.batches.add(arrivals.into_values().collect()) {
            self.say(Says::Admitted(admitted));
        }
        for says in self.app.take_presence_news() {
            self.say(says);
        }
    }

    /// Does one thing; answers what follows from it for the core.
    async fn obey(&mut self, effect: Effect<Arc<Cell>>) -> Option<Input<Arc<Cell>>> {
        match effect {
            Effect::Publish { room, seq, frame, except } => {
                self.event(room, Outgoing::new(seq, Bytes::copy_from_slice(&frame)), except).await;
                return None;
            }
            // Everything else stands behind the events that came before it.
            _ => self.pass_on().await,
        }
        match effect {
            Effect::Dial => {
                let (config, origin) = (&self.app.config, &self.edge.origin);
                let (proof, bytes_max) = (Proof::new(&config.api_secret), config.link_bytes_max);
                let endpoint = config.links.endpoint(origin).map_err(|refused| refused.to_string());
                self.dialling = Some(tokio::spawn(async move { dial(endpoint?, proof, bytes_max).await }));
            }
            Effect::HangUp(why) => {
                self.complain(why);
                self.drop_stream();
            }
            Effect::Say(says) => {
                if let Some(stream) = &self.stream {
                    stream.outbox.push(says);
                }
            }
            Effect::Greeted { another } => self.greeted(another),
            Effect::Begin { room, seq, watchers } => {
                let state = &mut *room.lock();
                if let Some(remote) = room.remote.as_ref().filter(|remote| !remote.is_live()) {
                    state.audience.begin_at(seq);
                    remote.phase.send_replace(Phase::Live);
                }
                state.elsewhere = watchers.saturating_sub(state.audience.user_count() as u64);
            }
            Effect::Count { room, watchers } => {
                let state = &mut *room.lock();
                state.elsewhere = watchers.saturating_sub(state.audience.user_count() as u64);
            }
            Effect::Absent { room } => self.give_up(&room, Phase::Absent).await,
            Effect::Resync { room } => self.give_up(&room, Phase::Gone).await,
            Effect::Retire { room } => return self.retire(&room),
            Effect::Other(OriginSaid::AdmittedUpTo(up_to)) => self.batches.acknowledged(up_to.number),
            Effect::Other(OriginSaid::Mark(mark)) => {
                let waits = lock(&self.edge.marks).remove(&mark.number);
                // Whoever waited may have given up.
                waits.map(|passed| passed.send(()));
            }
            Effect::Other(says) => self.app.heard_of_users(says).await,
            Effect::Publish { .. } => {}
        }
        None
    }

    fn greeted(&mut self, another: bool) {
        self.complaint = String::new();
        add(&self.edge.stats.attached, 1);
        tracing::info!(origin = self.edge.origin, "the link to the origin is up");
        lock(&self.edge.filter).begin_anew();
        for admitted in self.batches.again() {
            self.say(Says::Admitted(admitted));
        }
        if another {
            // It may have forgotten everybody.
            let online = self.app.users.collect(|user| user.is_online());
            lock(&self.edge.arrivals).extend(online.into_iter().map(|user| (user.number, user)));
        }
        self.app.observe_anew();
        self.edge.collected.notify_one();
        if let Some(stream) = &self.stream {
            self.edge.client.send_replace(Some(stream.client.clone()));
        }
    }

    /// Collects an event, and passes those before it on if it doesn't belong to them.
    async fn event(&mut self, cell: Arc<Cell>, event: Outgoing, except: Option<u64>) {
        let together = |(other, batch): &(Arc<Cell>, Batch)| Arc::ptr_eq(other, &cell) && batch.len() < TOGETHER;
        if except.is_some() || !self.events.as_ref().is_some_and(together) {
            self.pass_on().await;
        }
        if let Some(except) = except {
            return self.publish(&cell, Batch::from_iter([event]), Some(except)).await;
        }
        self.events.get_or_insert_with(|| (cell, Batch::new())).1.push(event);
    }

    async fn pass_on(&mut self) {
        if let Some((cell, batch)) = self.events.take() {
            self.publish(&cell, batch, None).await;
        }
    }

    async fn publish(&self, cell: &Arc<Cell>, batch: Batch, except: Option<u64>) {
        // While the shards are too busy nothing is read, and the origin sees that.
        let Some(mut slots) = self.app.slots_at_last(1).await else { return };
        let except = except.and_then(|number| self.app.connections.place(number)).map(Except::Here);
        cell.publish(&mut cell.lock(), &mut slots, batch, except);
    }

    /// The channel's events can't be had any more: whoever watches it must catch up himself.
    async fn give_up(&self, cell: &Arc<Cell>, phase: Phase) {
        let watched = {
            let state = cell.lock();
            self.forget(cell, &state.channel.cid, phase);
            state.audience.user_count() > 0
        };
        if watched {
            add(&self.edge.stats.resyncs, 1);
            let why = Closing { code: close::RESYNC, reason: "events were missed here: reconnect, then POST /sync" };
            self.app.close_watchers(cell, why).await;
        }
    }

    /// Gives a channel up that nobody watches.
    fn retire(&self, cell: &Arc<Cell>) -> Option<Input<Arc<Cell>>> {
        let state = cell.lock();
        if state.audience.user_count() > 0 {
            return None;
        }
        self.forget(cell, &state.channel.cid, Phase::Gone);
        Some(Input::Retired { cid: state.channel.cid.as_str().into() })
    }

    fn forget(&self, cell: &Arc<Cell>, cid: &str, phase: Phase) {
        self.app.channels.remove_if(cid, |current| Arc::ptr_eq(current, cell));
        if let Some(remote) = &cell.remote {
            remote.phase.send_replace(phase);
        }
    }
}
