//! A node that is an edge: it holds connections, and has an origin for everything else.
//!
//! The channels of an edge are cells like an origin's, with an audience and no contents. What differs is here: a cell
//! must be subscribed to before it can be watched, calls are passed on, and what the origin must know of the edge's users
//! is collected for the next time that the link's task looks.

mod batches;
mod task;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use measure::{Clock, Timestamp};
use proto::link::link_client::LinkClient;
use proto::link::{AdmittedUser, CallReply, CallRequest, Watcher};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel as Transport;
use wire::ApiError;
use wire::api::ChannelState;

use crate::app::App;
use crate::cell::{Cell, State};
use crate::connection::Connection;
use crate::cuckoo::Filter;
use crate::failure;
use crate::link::Proof;
use crate::sharded::lock;
use crate::users::UserCell;

pub(crate) use task::run;

/// Wishes that may wait for the link's task.
const WISHES: usize = 4_096;
/// How long the description of a channel is good, if nothing happens to it.
const DESCRIPTION_MAX: Duration = Duration::from_secs(1);
/// Pause before a call is tried again over a link that has just broken.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// The origin's client.
pub(crate) type Client = LinkClient<InterceptedService<Transport, Proof>>;

/// How it stands between a cell and the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The origin has not answered yet.
    Pending,
    /// Every event comes here.
    Live,
    /// There is no such channel.
    Absent,
    /// It was given up: there is or will be another cell.
    Gone,
}

/// Who began and stopped to watch since the link's task looked last.
#[derive(Debug, Default)]
pub(crate) struct Comings {
    started: Vec<Watcher>,
    stopped: Vec<Watcher>,
}

/// What an edge has of a channel beside its audience.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Changed under the cell's lock.
    phase: watch::Sender<Phase>,
    comings: Mutex<Comings>,
    /// The channel without its contents, as the origin answered it, and when. Whoever asks waits for whoever asks already.
    description: tokio::sync::Mutex<Option<(ChannelState, Timestamp)>>,
}

impl Remote {
    pub(crate) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Pending),
            comings: Mutex::default(),
            description: tokio::sync::Mutex::default(),
        }
    }

    /// Whether it can be watched; ask under the cell's lock.
    pub(crate) fn is_live(&self) -> bool {
        *self.phase.borrow() == Phase::Live
    }
}

/// What handlers and the link's task share.
#[derive(Debug)]
pub(crate) struct EdgeLink {
    /// `host:port` of the origin.
    origin: String,
    wishes: mpsc::Sender<Arc<Cell>>,
    /// Taken by the task.
    wished: Mutex<Option<mpsc::Receiver<Arc<Cell>>>>,
    /// `None` while the link is down.
    client: watch::Sender<Option<Client>>,
    /// Told when something waits to be said to the origin.
    pub(crate) collected: Notify,
    /// Channels whose watchers have changed.
    changed: Mutex<Vec<Arc<Cell>>>,
    /// Calls whose answers wait until what they led to has been passed on here.
    marks: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    next_mark: AtomicU64,
    /// Users that the origin must hear of, by number: each once, however long the link is down.
    arrivals: Mutex<HashMap<u32, Arc<UserCell>>>,
    pub(crate) filter: Mutex<Filter>,
    pub(crate) stats: EdgeStats,
}

/// What an edge counts.
#[derive(Debug, Default)]
pub(crate) struct EdgeStats {
    /// Times that the link was up.
    pub(crate) attached: AtomicU64,
    /// Calls that were passed on.
    pub(crate) calls: AtomicU64,
    /// Channels whose watchers had to catch up themselves.
    pub(crate) resyncs: AtomicU64,
    /// Events for users, and those of them whose user is not here.
    pub(crate) user_events: AtomicU64,
    pub(crate) user_events_vain: AtomicU64,
}

impl EdgeLink {
    pub(crate) fn new(origin: String) -> Self {
        let (wishes, wished) = mpsc::channel(WISHES);
        Self {
            origin,
            wishes,
            wished: Mutex::new(Some(wished)),
            client: watch::Sender::new(None),
            collected: Notify::new(),
            changed: Mutex::default(),
            marks: Mutex::default(),
            next_mark: AtomicU64::new(1),
            arrivals: Mutex::default(),
            filter: Mutex::new(Filter::new()),
            stats: EdgeStats::default(),
        }
    }

    /// Whether the origin can be spoken to.
    pub(crate) fn is_up(&self) -> bool {
        self.client.borrow().is_some()
    }

    /// The channel, subscribed; `None` if the origin has none of that name.
    ///
    /// # Errors
    /// When the origin doesn't answer in time.
    pub(crate) async fn subscribe(&self, app: &App, kind: &str, id: &str) -> Result<Option<Arc<Cell>>, ApiError> {
        let patience = app.config.link_patience;
        let subscribed = async {
            loop {
                let make = || app.remote_cell(kind, id);
                let (cell, _) = app.channels.get_or_insert_with(format!("{kind}:{id}"), make);
                let Some(remote) = &cell.remote else { return Ok(Some(cell)) };
                let mut phase = remote.phase.subscribe();
                if *phase.borrow() == Phase::Pending && self.wishes.send(cell.clone()).await.is_err() {
                    return Err(failure::unavailable("the server is shutting down"));
                }
                match phase.wait_for(|phase| *phase != Phase::Pending).await.map(|phase| *phase) {
                    Ok(Phase::Live) => return Ok(Some(cell)),
                    Ok(Phase::Absent) => return Ok(None),
                    Ok(Phase::Gone | Phase::Pending) | Err(_) => {}
                }
            }
        };
        tokio::time::timeout(patience, subscribed).await.unwrap_or_else(|_| Err(failure::origin_away()))
    }

    /// Passes a call on that changes something. Whoever gets the answer may rely on its events: they are passed on here.
    ///
    /// # Errors
    /// As [`EdgeLink::call`].
    pub(crate) async fn change(&self, app: &App, call: CallRequest) -> Result<CallReply, ApiError> {
        let mark = self.next_mark.fetch_add(1, Ordering::Relaxed);
        let (passed, passes) = oneshot::channel();
        lock(&self.marks).insert(mark, passed);
        let _waits = Waits { marks: &self.marks, mark };
        let reply = self.call(app, CallRequest { edge: app.origin_id, mark, ..call }).await;
        if reply.is_ok() {
            // When the link breaks meanwhile, its events come with the next one.
            let _ = tokio::time::timeout(app.config.link_patience, passes).await;
        }
        reply
    }

    /// Passes a call on. While the link is down it waits; what may be done twice is tried again when the link breaks.
    ///
    /// # Errors
    /// When the origin can't be reached in time, or the link broke and nobody knows whether the call was served.
    pub(crate) async fn call(&self, app: &App, call: CallRequest) -> Result<CallReply, ApiError> {
        crate::stats::add(&self.stats.calls, 1);
        let deadline = app.clock.now() + app.config.link_patience;
        loop {
            let mut client = self.client(&app.clock, deadline).await?;
            let answer = tokio::time::timeout(app.config.request_timeout, client.call(call.clone())).await;
            match answer {
                Ok(Ok(reply)) => return Ok(reply.into_inner()),
                Ok(Err(status)) if status.code() == tonic::Code::Unauthenticated => {
                    tracing::error!("the origin refuses: {}", status.message());
                    return Err(failure::internal("this edge and its origin don't belong together"));
                }
                Ok(Err(status)) if !may_repeat(&call) || app.clock.now() >= deadline => {
                    tracing::debug!("a call was lost: {status}");
                    return Err(failure::origin_away());
                }
                Ok(Err(_)) => tokio::time::sleep(BETWEEN_TRIES).await,
                Err(_) => return Err(failure::origin_away()),
            }
        }
    }

    async fn client(&self, clock: &Clock, deadline: Timestamp) -> Result<Client, ApiError> {
        let mut client = self.client.subscribe();
        let left = deadline.since(clock.now());
        match tokio::time::timeout(left, client.wait_for(Option::is_some)).await {
            Ok(Ok(client)) => client.clone().ok_or_else(failure::origin_away),
            Ok(Err(_)) | Err(_) => Err(failure::origin_away()),
        }
    }

    /// Notes, under the cell's lock, that a user began or stopped to watch. Above the throttle only the count matters.
    pub(crate) fn note_watching(&self, cell: &Arc<Cell>, state: &mut State, by: &Connection, starts: bool, told: bool) {
        let Some(remote) = &cell.remote else { return };
        if told {
            let watcher = Watcher { user: by.user.id.to_string(), connection: by.number };
            let comings = &mut *lock(&remote.comings);
            if starts { &mut comings.started } else { &mut comings.stopped }.push(watcher);
        }
        if !std::mem::replace(&mut state.announcing, true) {
            lock(&self.changed).push(cell.clone());
            self.collected.notify_one();
        }
    }

    /// The origin must hear of a user: he is new, or has changed.
    pub(crate) fn admit(&self, user: &Arc<UserCell>) {
        user.set_admitted(false);
        lock(&self.arrivals).insert(user.number, user.clone());
        self.collected.notify_one();
    }

    /// A description of the channel that is not older than event number `seq`; `fetch` asks the origin, for all who wait.
    pub(crate) async fn describe<E>(
        clock: &Clock,
        remote: &Remote,
        seq: u64,
        fetch: impl Future<Output = Result<ChannelState, E>>,
    ) -> Result<ChannelState, E> {
        let mut known = remote.description.lock().await;
        let good =
            |(state, at): &&(ChannelState, Timestamp)| state.seq >= seq && clock.now().since(*at) < DESCRIPTION_MAX;
        if let Some((state, _)) = known.as_ref().filter(good) {
            return Ok(state.clone());
        }
        let at = clock.now();
        let state = fetch.await?;
        *known = Some((state.clone(), at));
        Ok(state)
    }
}

/// A call that waits for its mark; whoever made it may go away at any time.
struct Waits<'a> {
    marks: &'a Mutex<HashMap<u64, oneshot::Sender<()>>>,
    mark: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(self.marks).remove(&self.mark);
    }
}

/// A user as the origin is told of him.
pub(crate) fn admission(user: &UserCell) -> AdmittedUser {
    let shown = user.show();
    let mut details = shown.custom;
    if !shown.name.is_empty() {
        details.insert("name".to_owned(), shown.name.into());
    }
    let details = serde_json::to_vec(&details).expect("a user has text keys only, which JSON can hold");
    AdmittedUser { id: shown.id, details: Bytes::from(details) }
}

/// Whether a call can be made twice and mean the same: it only asks, or it names what it makes.
fn may_repeat(call: &CallRequest) -> bool {
    let path = call.path_and_query.split('?').next().unwrap_or_default();
    if call.method == "GET" || call.method == "HEAD" || path == "/sync" || path == "/channels" {
        return true;
    }
    if path.ends_with("/query") || path.ends_with("/read") || path.ends_with("/event") {
        return true;
    }
    let named = || {
        let body = serde_json::from_slice::<wire::api::SendMessage>(&call.body);
        body.is_ok_and(|body| body.message.id.is_some_and(|id| !id.is_empty()))
    };
    path.ends_with("/message") && named()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_the_same_twice_is_repeated() {
        let call = |method: &str, path: &str, body: &str| CallRequest {
            method: method.to_owned(),
            path_and_query: path.to_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..CallRequest::default()
        };
        assert!(may_repeat(&call("GET", "/messages/m-1?api_key=k", "")));
        assert!(may_repeat(&call("POST", "/channels/a/b/query?api_key=k", "{}")));
        assert!(may_repeat(&call("POST", "/channels/a/b/message", r#"{"message": {"id": "m-1", "text": "x"}}"#)));
        assert!(!may_repeat(&call("POST", "/channels/a/b/message", r#"{"message": {"text": "x"}}"#)));
        assert!(!may_repeat(&call("POST", "/messages/m-1/reaction", "{}")));
        assert!(!may_repeat(&call("DELETE", "/messages/m-1", "")));
    }
}
