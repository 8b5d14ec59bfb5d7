//! Who is online, as a node acts on it: events for a user go to his connections and to the edges that may hold him, and
//! whoever asked for somebody's presence hears of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use measure::Timestamp;
use proto::link::edge_says::Says as EdgeSaid;
use proto::link::origin_says::Says;
use proto::link::{AdmittedUser, Observing, Presences, UserEvent};
use wire::ApiError;
use wire::api::Member;
use wire::event::{Event, kind};

use crate::app::App;
use crate::cell::Cell;
use crate::channel::encode;
use crate::connection::Connection;
use crate::cuckoo::{Broken, Changes};
use crate::hub::RoomId;
use crate::link::Attached;
use crate::outlets::Item;
use crate::presence::{Change, Presence, Source};
use crate::record::Record;
use crate::sharded::lock;
use crate::stats::add;
use crate::time::Date;
use crate::users::UserCell;

/// How long an event for a user may be late for one who came to an edge before it, and how many such events there are.
const RECENT: Duration = Duration::from_secs(1);
const RECENT_MAX: usize = 1_024;

/// Who asks for somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Listener {
    /// A connection here, as long as it watches this channel.
    Connection(u64, RoomId),
    /// Somebody on this edge.
    Edge(u64),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Online {
    presence: Mutex<Presence<Listener>>,
    /// On an edge: users of whom the origin wants to know.
    wanted: Mutex<HashSet<Arc<str>>>,
    /// On an edge: what the origin must hear.
    news: Mutex<News>,
    /// The newest events for users.
    recent: Mutex<VecDeque<(Timestamp, UserEvent)>>,
    /// Events for users that were sent to edges, and edges that need not be sent them.
    pub(crate) sent: AtomicU64,
    pub(crate) spared: AtomicU64,
}

#[derive(Debug, Default)]
struct News {
    /// Users of whom the origin wants to know, and who came or went.
    moved: HashMap<u32, Arc<UserCell>>,
    observing: Observing,
}

impl Online {
    /// A user who went is told of after `grace`.
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            presence: Mutex::new(Presence::new(grace)),
            wanted: Mutex::default(),
            news: Mutex::default(),
            recent: Mutex::default(),
            sent: AtomicU64::new(0),
            spared: AtomicU64::new(0),
        }
    }
}

impl App {
    /// A connection of a user came.
    pub(crate) fn arrived(&self, user: &Arc<UserCell>) {
        if let Some(edge) = &self.edge {
            lock(&edge.filter).add(&user.id);
            edge.collected.notify_one();
        }
        self.moved(user);
    }

    /// A connection of a user went.
    pub(crate) fn departed(&self, user: &Arc<UserCell>) {
        if let Some(edge) = &self.edge {
            lock(&edge.filter).remove(&user.id);
            edge.collected.notify_one();
        }
        self.moved(user);
    }

    fn moved(&self, user: &Arc<UserCell>) {
        if !user.is_observed() {
            return;
        }
        match &self.edge {
            Some(edge) => {
                lock(&self.online.news).moved.insert(user.number, user.clone());
                edge.collected.notify_one();
            }
            // What counts is how it is under the lock: of two that come and go at once the last one is right.
            None => {
                let mut presence = lock(&self.online.presence);
                presence.set(self.clock.now(), &user.id, Source::Here, user.is_online());
            }
        }
    }

    /// Sets whether members are shown as online: as was told of those who are observed; else as far as filters say.
    pub(crate) fn show_presence(&self, members: &mut [Member]) {
        let links = self.links.all();
        for member in members {
            let told = lock(&self.online.presence).told(&member.user_id);
            let here = || self.users.get(&member.user_id).is_some_and(|user| user.is_online());
            let there = || links.iter().any(|link| link.may_hold(&member.user_id));
            member.user.online = told.unwrap_or_else(|| here() || there());
        }
    }

    /// A connection that watches a channel wants to hear of these members' coming and going, whom it was shown. Above the
    /// throttle nobody does.
    pub(crate) fn observe(&self, connection: &Connection, cell: &Cell, members: &[Member]) {
        if self.is_throttled(&cell.lock()) {
            return;
        }
        let listener = Listener::Connection(connection.number, cell.room);
        for member in members {
            let user = self.users.get_or_create(&member.user_id).0;
            let shown = member.user.online;
            // At an edge the origin knows better what is so; what it says then is passed on.
            let here = if self.edge.is_some() { shown } else { self.begin_to_observe(&user) };
            let begun = lock(&self.online.presence).observe(self.clock.now(), &user.id, listener, here, shown);
            if self.edge.is_some() {
                let news = &mut lock(&self.online.news).observing;
                let list = if shown { &mut news.begin_online } else { &mut news.begin };
                list.push(user.id.to_string());
            } else if begun.first {
                self.tell_edges_to_observe(&user.id, true);
            }
        }
    }

    /// From now on the user's coming and going is noted. Answers whether he is here.
    fn begin_to_observe(&self, user: &UserCell) -> bool {
        user.set_observed(true);
        user.is_online()
    }

    fn tell_edges_to_observe(&self, user: &str, begins: bool) {
        let mut observing = Observing::default();
        if begins { &mut observing.begin } else { &mut observing.end }.push(user.to_owned());
        for link in self.links.all() {
            link.say(Says::Observing(observing.clone()));
        }
    }

    /// A connection stops watching a channel, and so hears no more of its members' coming and going.
    pub(crate) fn stop_observing(&self, connection: &Connection, cell: &Cell) {
        let listener = Listener::Connection(connection.number, cell.room);
        let over = lock(&self.online.presence).forget_listener(&listener);
        self.not_observed(&over);
    }

    /// Nobody asks for these users any more.
    fn not_observed(&self, users: &[Arc<str>]) {
        if self.edge.is_some() {
            let end = users.iter().map(ToString::to_string);
            lock(&self.online.news).observing.end.extend(end);
            return;
        }
        for user in users {
            if let Some(user) = self.users.get(user) {
                user.set_observed(false);
            }
            self.tell_edges_to_observe(user, false);
        }
    }

    /// An edge attaches: it is told whose presence matters.
    pub(crate) fn show_observed(&self, attached: &Attached) {
        let begin: Vec<String> = lock(&self.online.presence).users().map(ToString::to_string).collect();
        attached.say(Says::Observing(Observing { begin, ..Observing::default() }));
    }

    /// Somebody on an edge asks for users' presence, or does so no more.
    pub(crate) fn observe_from_edge(&self, attached: &Attached, observing: &Observing) {
        let listener = Listener::Edge(attached.edge);
        let shown = observing.begin.iter().map(|user| (user, false));
        for (user, shown) in shown.chain(observing.begin_online.iter().map(|user| (user, true))) {
            let user = self.users.get_or_create(user).0;
            let here = self.begin_to_observe(&user);
            let begun = lock(&self.online.presence).observe(self.clock.now(), &user.id, listener, here, shown);
            if begun.first {
                self.tell_edges_to_observe(&user.id, true);
            }
            if let Some(online) = begun.correct {
                self.tell_edge_presence(attached, &user.id, online, &self.presence_frame(&user.id, online));
            }
        }
        let over = |user: &&String| lock(&self.online.presence).forget(user, &listener);
        let over: Vec<Arc<str>> = observing.end.iter().filter(over).map(|user| user.as_str().into()).collect();
        self.not_observed(&over);
    }

    /// An edge says who of those that matter is there.
    pub(crate) fn presences_from_edge(&self, attached: &Attached, online: &[String], offline: &[String]) {
        let mut presence = lock(&self.online.presence);
        let both = online.iter().map(|user| (user, true)).chain(offline.iter().map(|user| (user, false)));
        for (user, online) in both {
            presence.set(self.clock.now(), &user.as_str().into(), Source::Edge(attached.edge), online);
        }
    }

    /// An edge is gone, and with it who was there and who listened there.
    pub(crate) fn forget_edge_presence(&self, edge: u64) {
        let over = {
            let mut presence = lock(&self.online.presence);
            presence.forget_edge(self.clock.now(), edge);
            presence.forget_listener(&Listener::Edge(edge))
        };
        self.not_observed(&over);
    }

    /// Tells what is due; called every so often at an origin.
    pub(crate) async fn tell_presence(&self) {
        let due = lock(&self.online.presence).take_due(self.clock.now());
        for Change { user, online, listeners } in due {
            let frame = self.presence_frame(&user, online);
            for link in self.links.all() {
                if listeners.contains(&Listener::Edge(link.edge)) {
                    self.tell_edge_presence(&link, &user, online, &frame);
                }
            }
            self.tell_listeners(&listeners, &frame).await;
        }
    }

    fn tell_edge_presence(&self, link: &Attached, user: &str, online: bool, frame: &Bytes) {
        let (user, frame) = (user.to_owned(), frame.clone());
        link.say(Says::UserEvent(UserEvent { user, frame, presence: true, online }));
    }

    fn presence_frame(&self, user: &str, online: bool) -> Bytes {
        let shown = self.users.get_or_create(user).0.show();
        let event = Event {
            kind: kind::USER_PRESENCE_CHANGED.to_owned(),
            created_at: Date::now().text,
            cid: "*".to_owned(),
            user: Some(wire::event::User { online, ..shown }),
            ..Event::default()
        };
        encode(&event)
    }

    async fn tell_listeners(&self, listeners: &[Listener], frame: &Bytes) {
        let mut told = HashSet::new();
        for listener in listeners {
            let Listener::Connection(number, room) = listener else { continue };
            let Some(connection) = self.connections.by_number(*number) else { continue };
            let watches = connection.watched(*room).is_some_and(|cell| !self.is_throttled(&cell.lock()));
            if watches && told.insert(*number) {
                self.tell_connection(&connection, frame).await;
            }
        }
    }

    async fn tell_connection(&self, connection: &Connection, frame: &Bytes) {
        // An event that has no number may be lost when the shards are too busy.
        let Ok(mut slots) = self.outlets.reserve(1).await else { return };
        let (place, connection, frame) = (connection.place, connection.number, frame.clone());
        slots.send(place.outlet, Item::Tell { line: place.line, connection, frame });
    }

    /// Tells a user, wherever he is connected.
    pub(crate) async fn tell_user(&self, user: &str, event: &Event) {
        let frame = encode(event);
        let links = self.links.all();
        if !links.is_empty() {
            let now = self.clock.now();
            let recent = &mut *lock(&self.online.recent);
            recent.retain(|(at, _)| now.since(*at) < RECENT);
            if recent.len() == RECENT_MAX {
                recent.pop_front();
            }
            let (user, frame) = (user.to_owned(), frame.clone());
            recent.push_back((now, UserEvent { user, frame, ..UserEvent::default() }));
        }
        // After it was noted: what an edge says of its users meanwhile finds it there.
        for link in links {
            if link.may_hold(user) {
                let (user, frame) = (user.to_owned(), frame.clone());
                link.say(Says::UserEvent(UserEvent { user, frame, ..UserEvent::default() }));
                add(&self.online.sent, 1);
            } else {
                add(&self.online.spared, 1);
            }
        }
        self.tell_connections(user, &frame).await;
    }

    /// An edge's filter changes. Whoever came there a moment ago, and was told something before the origin knew, is told
    /// now.
    ///
    /// # Errors
    /// When the changes don't fit what is here.
    pub(crate) fn apply_filter(&self, attached: &Attached, changes: Changes) -> Result<(), Broken> {
        let recent: Vec<UserEvent> = lock(&self.online.recent).iter().map(|(_, event)| event.clone()).collect();
        let missed: Vec<UserEvent> = recent.into_iter().filter(|event| !attached.may_hold(&event.user)).collect();
        attached.apply(changes)?;
        for event in missed.into_iter().filter(|event| attached.may_hold(&event.user)) {
            add(&self.online.sent, 1);
            attached.say(Says::UserEvent(event));
        }
        Ok(())
    }

    /// Answers whether he has any here.
    async fn tell_connections(&self, user: &str, frame: &Bytes) -> bool {
        let Some(user) = self.users.get(user) else { return false };
        let connections = user.connections();
        for connection in connections.iter().filter_map(|number| self.connections.by_number(*number)) {
            self.tell_connection(&connection, frame).await;
        }
        !connections.is_empty()
    }

    /// What an origin says to its edge about users.
    pub(crate) async fn heard_of_users(&self, says: Says) {
        match says {
            Says::UserEvent(UserEvent { user, frame, presence: true, online }) => {
                let listeners = lock(&self.online.presence).hear(&user, online);
                self.tell_listeners(&listeners, &Bytes::copy_from_slice(&frame)).await;
            }
            Says::UserEvent(UserEvent { user, frame, presence: false, .. }) => {
                let found = self.tell_connections(&user, &Bytes::copy_from_slice(&frame)).await;
                if let Some(edge) = &self.edge {
                    add(&edge.stats.user_events, 1);
                    add(&edge.stats.user_events_vain, u64::from(!found));
                }
            }
            Says::Observing(observing) => self.obey_observing(&observing),
            _ => {}
        }
    }

    /// On an edge: the origin wants to know of users, or does so no more.
    fn obey_observing(&self, observing: &Observing) {
        for user in &observing.begin {
            let user = self.users.get_or_create(user).0;
            lock(&self.online.wanted).insert(user.id.clone());
            user.set_observed(true);
            lock(&self.online.news).moved.insert(user.number, user);
        }
        for user in &observing.end {
            lock(&self.online.wanted).remove(user.as_str());
            if let Some(user) = self.users.get(user) {
                user.set_observed(false);
            }
        }
    }

    /// On an edge: the origin is attached anew, and says itself of whom it wants to know; it must hear who is asked for
    /// here. What they were shown may be wrong by now, so the origin corrects it.
    pub(crate) fn observe_anew(&self) {
        for user in std::mem::take(&mut *lock(&self.online.wanted)) {
            if let Some(user) = self.users.get(&user) {
                user.set_observed(false);
            }
        }
        let presence = lock(&self.online.presence);
        let news = &mut *lock(&self.online.news);
        *news = News::default();
        for user in presence.users() {
            let shown = presence.told(user).unwrap_or_default();
            let list = if shown { &mut news.observing.begin_online } else { &mut news.observing.begin };
            list.push(user.to_string());
        }
    }

    /// On an edge: what the origin must hear by now.
    pub(crate) fn take_presence_news(&self) -> Vec<EdgeSaid> {
        let News { moved, observing } = std::mem::take(&mut *lock(&self.online.news));
        let mut says = Vec::new();
        if observing != Observing::default() {
            says.push(EdgeSaid::Observing(observing));
        }
        let mut presences = Presences::default();
        for user in moved.values() {
            let list = if user.is_online() { &mut presences.online } else { &mut presences.offline };
            list.push(user.id.to_string());
        }
        if presences != Presences::default() {
            says.push(EdgeSaid::Presences(presences));
        }
        says
    }

    /// Users connected to an edge: takes them over.
    ///
    /// # Errors
    /// When the data directory doesn't take them.
    pub(crate) async fn admit_from_edge(&self, users: &[AdmittedUser]) -> Result<(), ApiError> {
        let mut records = Vec::new();
        for AdmittedUser { id, details } in users {
            let details = serde_json::from_slice(details).unwrap_or_default();
            match self.users.upsert(id, &details) {
                Ok((user, true)) => records.push(Record::user(&user.show())),
                Ok((_, false)) => {}
                Err(error) => tracing::warn!("an edge admitted a user whom the origin would not: {error}"),
            }
        }
        match self.store.as_ref().filter(|_| !records.is_empty()) {
            Some(store) => store.keep(records).await,
            None => Ok(()),
        }
    }
}
