//! The origin's end of its links: the gRPC service, and for each edge a task that does what it says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use proto::link::link_server::{Link, LinkServer};
use proto::link::origin_says::Says;
use proto::link::{
    Absent, AdmittedUpTo, CallReply, CallRequest, EdgeSays, Event, Known, Mark, OriginHello, OriginSays, Resync,
    Subscribed, ToEdge, ToOrigin, Watcher,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::origin::{Effect, Origin, Refused, replay};
use super::outbox::LinkOutbox;
use super::{EdgeOutlet, Proof, calls};
use crate::app::App;
use crate::cell::Cell;
use crate::cuckoo;
use crate::sharded::lock;

/// How long an edge may take to say hello.
const HELLO: Duration = Duration::from_secs(5);
/// How often either side makes sure that the other is there, and how long it waits for the answer.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Calls and streams of one edge at once.
const STREAMS: u32 = 100_000;
/// Bytes that may be on their way before the reader has taken them: of one stream, and of all.
pub(crate) const WINDOWS: (u32, u32) = (4 << 20, 32 << 20);
/// Messages between an outbox and the transport: one that is being sent, and one that is ready.
const AHEAD: usize = 2;

/// One edge, attached.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) edge: u64,
    pub(crate) outbox: Arc<LinkOutbox<OriginSays>>,
    /// Which users it may hold.
    filter: Mutex<cuckoo::Copy>,
}

impl Attached {
    /// Whether the user may be online there.
    pub(crate) fn may_hold(&self, user: &str) -> bool {
        lock(&self.filter).may_hold(user)
    }

    /// Takes changes of its users over.
    ///
    /// # Errors
    /// When they don't fit what is here.
    pub(crate) fn apply(&self, changes: cuckoo::Changes) -> Result<(), cuckoo::Broken> {
        lock(&self.filter).apply(changes)
    }

    /// Says something; a link that can't take it is on its end.
    pub(crate) fn say(&self, says: Says) {
        self.outbox.push(OriginSays { says: Some(says) });
    }
}

/// All edges that are attached.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<HashMap<u64, Arc<Attached>>>);

impl Links {
    /// All of them now.
    pub(crate) fn all(&self) -> Vec<Arc<Attached>> {
        lock(&self.0).values().cloned().collect()
    }

    fn get(&self, edge: u64) -> Option<Arc<Attached>> {
        lock(&self.0).get(&edge).cloned()
    }

    /// An edge attaches; the link that it had before is given up.
    fn add(&self, attached: &Arc<Attached>) {
        if let Some(old) = lock(&self.0).insert(attached.edge, attached.clone()) {
            old.outbox.close("the edge has attached anew");
        }
    }

    fn remove(&self, attached: &Arc<Attached>) {
        let mut links = lock(&self.0);
        if links.get(&attached.edge).is_some_and(|current| Arc::ptr_eq(current, attached)) {
            links.remove(&attached.edge);
        }
    }
}

/// Serves edges until draining begins.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, router: Router) {
    let service = Service { app: app.clone(), router };
    let service = LinkServer::new(service)
        .max_decoding_message_size(proto::LINK_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(proto::LINK_MESSAGE_BYTES_MAX);
    let proof = Proof::new(&app.config.api_secret);
    let service = tonic::service::interceptor::InterceptedService::new(service, move |request| proof.check(request));
    let served = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .add_service(service)
        .serve_with_incoming_shutdown(app.config.links.fleet(listener), app.draining.cancelled());
    if let Err(error) = served.await {
        tracing::error!("edges are not served any more: {error}");
    }
}

struct Service {
    app: Arc<App>,
    router: Router,
}

#[tonic::async_trait]
impl Link for Service {
    type AttachStream = ReceiverStream<Result<ToEdge, Status>>;

    async fn attach(&self, request: Request<Streaming<ToOrigin>>) -> Result<Response<Self::AttachStream>, Status> {
        let outbox = Arc::new(LinkOutbox::new(self.app.config.link_bytes_max));
        let (to_edge, stream) = mpsc::channel(AHEAD);
        let pumped = outbox.clone();
        tokio::spawn(async move {
            let send = async |items| to_edge.send(Ok(ToEdge { items })).await.is_ok();
            let why = pumped.pump(send).await;
            pumped.close(why);
            // It may be gone before it hears why.
            let _ = to_edge.try_send(Err(Status::aborted(why)));
        });
        let task = Task { app: self.app.clone(), core: Origin::new(), outbox, attached: None };
        self.app.tasks.spawn(task.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn call(&self, request: Request<CallRequest>) -> Result<Response<CallReply>, Status> {
        let mut call = request.into_inner();
        if let Some(user) = call.user.take() {
            self.app.admit_from_edge(&[user]).await.map_err(|error| Status::unavailable(error.message))?;
        }
        let (edge, number) = (call.edge, call.mark);
        let answer = calls::answer(&self.router, call).await?;
        if let Some(link) = self.app.links.get(edge).filter(|_| number != 0) {
            link.say(Says::Mark(Mark { number }));
        }
        Ok(Response::new(answer))
    }
}

/// One link.
struct Task {
    app: Arc<App>,
    core: Origin<Arc<Cell>>,
    outbox: Arc<LinkOutbox<OriginSays>>,
    attached: Option<Arc<Attached>>,
}

impl Task {
    async fn run(mut self, mut inbound: Streaming<ToOrigin>) {
        let why = self.listen(&mut inbound).await;
        tracing::info!(edge = self.attached.as_ref().map(|attached| attached.edge), "a link ends: {why}");
        self.outbox.close(why);
        if let Some(attached) = self.attached.take() {
            self.app.links.remove(&attached);
            self.app.forget_edge_presence(attached.edge);
        }
        for (channel, cell) in self.core.leave().collect::<Vec<_>>() {
            self.unsubscribe(channel, &cell);
        }
    }

    /// Does what the edge says until one side ends; answers why.
    async fn listen(&mut self, inbound: &mut Streaming<ToOrigin>) -> &'static str {
        let draining = self.app.draining.clone();
        loop {
            let hello = if self.attached.is_none() { HELLO } else { Duration::MAX };
            let message = tokio::select! {
                () = draining.cancelled() => return "the origin is shutting down",
                () = self.outbox.closed() => return "it is closed",
                message = tokio::time::timeout(hello, inbound.message()) => message,
            };
            let items = match message {
                Ok(Ok(Some(ToOrigin { items }))) => items,
                Ok(Ok(None)) => return "the edge has ended it",
                Ok(Err(_)) => return "it broke",
                Err(_) => return "the edge doesn't say hello",
            };
            for item in items {
                // Nothing that may lead to a replay while there is no room for one.
                if !self.outbox.room().await {
                    return "it is closed";
                }
                if let Err(Refused(why)) = self.obey(item).await {
                    tracing::warn!("an edge is refused: {why}");
                    return why;
                }
            }
        }
    }

    fn say(&self, says: Says) {
        self.outbox.push(OriginSays { says: Some(says) });
    }

    async fn obey(&mut self, said: EdgeSays) -> Result<(), Refused> {
        match self.core.step(said)? {
            None => {}
            Some(Effect::Greet { edge }) => {
                let attached = Attached { edge, outbox: self.outbox.clone(), filter: Mutex::default() };
                let attached = Arc::new(attached);
                let hello = OriginHello { version: proto::VERSION.to_owned(), origin: self.app.origin_id };
                self.say(Says::Hello(hello));
                self.app.links.add(&attached);
                self.app.show_observed(&attached);
                tracing::info!(edge, "an edge is attached");
                self.attached = Some(attached);
            }
            Some(Effect::Subscribe { channel, cid, known, watchers }) => {
                self.subscribe(channel, &cid, known.as_ref(), watchers);
            }
            Some(Effect::Unsubscribe { channel, room }) => self.unsubscribe(channel, &room),
            Some(Effect::Watchers { channel, room, count, started, stopped }) => {
                self.watchers(channel, &room, count, &started, &stopped).await;
            }
            Some(Effect::Filter(changes)) => {
                if let Some(attached) = &self.attached {
                    let applied = self.app.apply_filter(attached, changes);
                    applied.map_err(|cuckoo::Broken| Refused("its filter doesn't fit what is here"))?;
                }
            }
            Some(Effect::Admit { number, users }) => {
                // What could not be kept is said again after the next greeting.
                let admitted = self.app.admit_from_edge(&users).await;
                admitted.into_iter().for_each(|()| self.say(Says::AdmittedUpTo(AdmittedUpTo { number })));
            }
            Some(Effect::Observe(observing)) => {
                if let Some(attached) = &self.attached {
                    self.app.observe_from_edge(attached, &observing);
                }
            }
            Some(Effect::Presences { online, offline }) => {
                if let Some(attached) = &self.attached {
                    self.app.presences_from_edge(attached, &online, &offline);
                }
            }
        }
        Ok(())
    }

    /// From under the channel's lock on, the edge gets every event, behind those that it missed.
    fn subscribe(&mut self, channel: u32, cid: &str, known: Option<&Known>, watchers: u64) {
        let Some(cell) = self.app.channels.get(cid) else { return self.say(Says::Absent(Absent { channel })) };
        let state = &mut *cell.lock();
        let (created_at, newest) = (&state.channel.created_at, state.audience.seq());
        let missed = replay(known, created_at, newest, &state.channel.log, self.outbox.replay_max());
        let Some(missed) = missed else { return self.say(Says::Resync(Resync { channel })) };
        let (seq, created_at) = (missed.after, created_at.clone());
        state.edges.push(EdgeOutlet { link: self.outbox.clone(), channel, watchers });
        state.elsewhere += watchers;
        let watchers = state.watchers();
        self.say(Says::Subscribed(Subscribed { channel, seq, created_at, watchers }));
        for (frame, seq) in missed.frames.into_iter().zip(seq + 1..) {
            self.say(Says::Event(Event { channel, seq, frame, except: 0 }));
        }
        self.core.subscribed(channel, cell.clone());
    }

    fn unsubscribe(&self, channel: u32, cell: &Arc<Cell>) {
        let state = &mut *cell.lock();
        let ours = |edge: &EdgeOutlet| edge.channel == channel && Arc::ptr_eq(&edge.link, &self.outbox);
        let gone: u64 = state.edges.extract_if(.., |edge| ours(edge)).map(|edge| edge.watchers).sum();
        state.elsewhere -= gone;
        if gone > 0 {
            self.app.announce_later(cell, state);
        }
    }

    async fn watchers(&self, channel: u32, cell: &Arc<Cell>, count: u64, started: &[Watcher], stopped: &[Watcher]) {
        {
            let state = &mut *cell.lock();
            let ours = |edge: &&mut EdgeOutlet| edge.channel == channel && Arc::ptr_eq(&edge.link, &self.outbox);
            if let Some(edge) = state.edges.iter_mut().find(ours) {
                state.elsewhere = state.elsewhere - edge.watchers + count;
                edge.watchers = count;
            }
        }
        self.app.tell_watching_at_edge(cell, started, stopped).await;
    }
}
