//! One user of a chat service, whose connection keeps itself alive and misses nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use measure::{Clock, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use wire::api::{ChannelState, MessageAnswer, OutgoingMessage, ReactionAnswer, StopWatchingAnswer};
use wire::event::EventHead;

use crate::api::{Answered, Api, Caller};
use crate::carrier::Carrier;
use crate::endpoint::Endpoint;
use crate::error::{CallError, Closed, ConnectError};
use crate::http::Http;
use crate::link;
use crate::websocket::Timings;

/// Who connects where.
#[derive(Clone)]
pub struct Settings {
    /// The service, or the one of its nodes that is tried first.
    pub endpoint: Endpoint,
    /// Its other nodes: the next is tried when one is gone without a word, or can't be connected to. A connection is known to
    /// the node that holds it alone, so calls go there too.
    pub others: Vec<Endpoint>,
    /// The app's key.
    pub api_key: String,
    /// The user; the token must be theirs.
    pub user_id: String,
    /// For people; may be empty.
    pub name: String,
    /// The user's JWT.
    pub token: String,
    /// Where time comes from.
    pub clock: Clock,
    /// How long connecting, and each call, may take.
    pub within: Duration,
    /// At most so many calls at once; more wait.
    pub http_connections: usize,
    /// Notices that may wait to be taken. A user who takes none for 35 s loses the connection.
    pub notices: usize,
}

impl Settings {
    /// Settings for a user, with 10 s for each step, 4 calls at once, and 1,024 waiting notices.
    pub fn new(endpoint: Endpoint, api_key: &str, user_id: &str, token: &str) -> Self {
        Self {
            endpoint,
            others: Vec::new(),
            api_key: api_key.to_owned(),
            user_id: user_id.to_owned(),
            name: String::new(),
            token: token.to_owned(),
            clock: Clock::System,
            within: Duration::from_secs(10),
            http_connections: 4,
            notices: 1_024,
        }
    }
}

/// The token and the key don't belong into logs.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.endpoint).field("user_id", &self.user_id).finish()
    }
}

/// What a connection tells its user.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An event.
    Event {
        /// When it was there.
        at: Timestamp,
        /// Its JSON.
        frame: Bytes,
        /// It was missed while the connection was away, and came through `/sync`.
        recovered: bool,
    },
    /// The connection is lost; it is being made again.
    Lost {
        /// When that was seen.
        at: Timestamp,
        /// How it ended.
        closed: Closed,
    },
    /// An attempt to connect again failed; there will be another.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        error: ConnectError,
    },
    /// The connection is back; its channels are being watched again.
    Reconnected {
        /// When its first event was there.
        at: Timestamp,
        /// How long the parts took.
        timings: Timings,
    },
    /// A channel could not be watched or caught up with after a reconnect: events may be missing.
    Gap {
        /// The channel.
        cid: String,
        /// Why.
        error: CallError,
    },
    /// The service doesn't want this user: the last notice.
    Gone {
        /// When.
        at: Timestamp,
        /// What it said.
        why: String,
    },
}

impl Notice {
    /// The head of the event, if it is one and can be read.
    pub fn head(&self) -> Option<EventHead<'_>> {
        match self {
            Self::Event { frame, .. } => EventHead::parse(frame).ok(),
            _ => None,
        }
    }
}

/// The notices of a connection, in order; ends when the connection does.
pub type Notices = mpsc::Receiver<Notice>;

/// What the client and its connection's task share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// The API of each node; there is at least one.
    nodes: Vec<Api>,
    /// Which of them has the connection, or is tried next.
    node: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Of the connection that is up.
    pub(crate) connection_id: Option<String>,
    /// The channels that are watched, and the newest `seq` seen of each.
    pub(crate) watched: BTreeMap<String, u64>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API of the node that has the connection.
    pub(crate) fn api(&self) -> &Api {
        &self.nodes[self.node.load(Ordering::Relaxed) % self.nodes.len()]
    }

    /// The node is gone, or takes nobody in: the next one is tried.
    pub(crate) fn turn_away(&self) {
        self.node.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) async fn dial(&self) -> Result<(Carrier, Timings), ConnectError> {
        let (carrier, first, timings) = Carrier::connect(&self.settings, self.api()).await?;
        self.state().connection_id = Some(first.connection_id);
        Ok((carrier, timings))
    }
}

/// A connected user. Dropping it ends the connection without a goodbye; [`Client::close`] says one.
pub struct Client {
    shared: Arc<Shared>,
    timings: Timings,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Client {
    /// Connects, and waits for the first event. From then on the connection keeps itself alive and comes back when it
    /// is lost, with the protocol's back-off; see [`Notice`]. Where no WebSocket gets through it is read by polling; every
    /// reconnect tries a WebSocket first.
    ///
    /// # Errors
    /// When this first attempt fails; it is not repeated.
    pub async fn connect(settings: Settings) -> Result<(Self, Notices), ConnectError> {
        let Settings { endpoint, others, http_connections, within, clock, .. } = settings.clone();
        let api = |node| Api::new(Http::new(node, http_connections, within, clock.clone()), &settings.api_key);
        let nodes = std::iter::once(endpoint).chain(others).map(api).collect();
        let (notices, receiver) = mpsc::channel(settings.notices.max(1));
        let shared = Arc::new(Shared { settings, nodes, node: AtomicUsize::default(), state: Mutex::default() });
        let (carrier, timings) = shared.dial().await?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(link::run(Arc::clone(&shared), carrier, notices, stopped));
        Ok((Self { shared, timings, stop, task }, receiver))
    }

    /// How long the parts of the first connecting took.
    pub const fn timings(&self) -> Timings {
        self.timings
    }

    /// Names the connection in API calls; `None` while it is lost.
    pub fn connection_id(&self) -> Option<String> {
        self.shared.state().connection_id.clone()
    }

    /// The API of the node that has the connection, for calls that have no method here.
    pub fn api(&self) -> &Api {
        self.shared.api()
    }

    /// This user, as the one who calls.
    pub fn caller(&self) -> Caller<'_> {
        Caller::new(&self.shared.settings.token)
    }

    /// Starts to watch a channel, creating it if need be. It is watched again after each reconnect, and what was
    /// missed meanwhile comes as recovered events.
    ///
    /// # Errors
    /// As [`Api::call`]; [`CallError::Broken`] while the connection is lost.
    pub async fn watch(&self, cid: &str) -> Result<ChannelState, CallError> {
        let id = self.connection_id().ok_or_else(|| CallError::Broken("not connected just now".into()))?;
        // Before the call: events can be here before its answer is.
        self.shared.state().watched.entry(cid.to_owned()).or_default();
        let answer = self.shared.api().watch(self.caller().over(&id), cid).await;
        let mut state = self.shared.state();
        match &answer {
            Ok(channel) => {
                let seen = state.watched.entry(cid.to_owned()).or_default();
                *seen = channel.seq.max(*seen);
            }
            Err(_) => drop(state.watched.remove(cid)),
        }
        answer
    }

    /// Stops to watch a channel.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn stop_watching(&self, cid: &str) -> Result<StopWatchingAnswer, CallError> {
        self.shared.state().watched.remove(cid);
        let id = self.connection_id().ok_or_else(|| CallError::Broken("not connected just now".into()))?;
        self.shared.api().stop_watching(self.caller().over(&id), cid).await
    }

    /// Sends a message; `make` is told when it is really sent.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn send(
        &self,
        cid: &str,
        make: impl FnOnce(Timestamp) -> OutgoingMessage,
    ) -> Result<Answered<MessageAnswer>, CallError> {
        self.shared.api().send(self.caller(), cid, make).await
    }

    /// Reacts to a message.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn react(&self, message_id: &str, kind: &str) -> Result<ReactionAnswer, CallError> {
        self.shared.api().react(self.caller(), message_id, kind).await
    }

    /// Says goodbye, and waits until the service did so too, at most a second.
    pub async fn close(mut self) {
        // Without a receiver the task has ended already.
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(Duration::from_secs(2), &mut self.task).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("user_id", &self.shared.settings.user_id).finish_non_exhaustive()
    }
}
