//! The edge's end of the link: which channels it has subscribed to, how far it is in each, and how it comes back when the
//! link breaks. Sans-I/O: what happens goes in, with the time, and what must be done comes out.
//!
//! `T` is a channel as the rest of the edge knows it. Each event of a channel comes out once and in order, whatever the
//! link does; where that can't be, the channel's watchers are told to catch up themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use measure::Timestamp;
use proto::link::edge_says::Says;
use proto::link::origin_says::Says as OriginSaid;
use proto::link::{EdgeHello, EdgeSays, Event, Known, OriginSays, Subscribe, Unsubscribe, Watcher, Watchers};

/// The first pause before dialling again, and the longest; each is twice the one before, cut by up to a half.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a dialled origin may take to say hello.
const GREETING: Duration = Duration::from_secs(5);
/// How long a channel that nobody watches stays subscribed: a crowd that reconnects would ask for it again.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Debug)]
pub(crate) enum Input<T> {
    /// Somebody wants to watch a channel.
    Want { cid: Arc<str>, room: T },
    /// So many users watch it now.
    Watchers { cid: Arc<str>, count: u64, started: Vec<Watcher>, stopped: Vec<Watcher> },
    /// A channel that was to be retired is: nobody watches it, and nobody can begin to.
    Retired { cid: Arc<str> },
    /// The dialled stream is there.
    Attached,
    /// The stream is gone, or could not be dialled.
    Lost,
    /// The origin says something.
    Said(OriginSays),
    /// Time has passed.
    Tick,
}

/// What must be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<T> {
    /// Dial the origin.
    Dial,
    /// Give the stream up; it is lost already.
    HangUp(&'static str),
    /// Say it over the stream.
    Say(EdgeSays),
    /// The origin has greeted. Another one than before has forgotten what it was told.
    Greeted { another: bool },
    /// The channel's events come from now on: all after this number.
    Begin { room: T, seq: u64, watchers: u64 },
    /// An event for the channel's watchers.
    Publish { room: T, seq: Option<u64>, frame: Bytes, except: Option<u64> },
    /// So many users watch it over all edges.
    Count { room: T, watchers: u64 },
    /// There is no such channel (any more); it is not subscribed.
    Absent { room: T },
    /// Events are missing that can't be had: the watchers must catch up themselves. It is not subscribed any more.
    Resync { room: T },
    /// Nobody has watched it for a while: if that is still so, it may go.
    Retire { room: T },
    /// Something that is not about subscriptions.
    Other(OriginSaid),
}

#[derive(Debug)]
struct Subscription<T> {
    room: T,
    /// Its short name on this stream; 0: it has none yet.
    channel: u32,
    /// How far it is; `None`: the origin has not answered yet.
    known: Option<Known>,
    watchers: u64,
    /// Since when nobody watches it.
    idle_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no stream.
    Down { redial_at: Timestamp },
    /// It is being dialled, or waits to be greeted.
    Dialling { until: Timestamp },
    /// The origin has greeted.
    Up,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Edge<T> {
    id: u64,
    phase: Phase,
    /// Dials in a row that came to nothing.
    failures: u32,
    subscriptions: HashMap<Arc<str>, Subscription<T>>,
    /// Short names on this stream.
    channels: HashMap<u32, Arc<str>>,
    next_channel: u32,
    origin: Option<u64>,
    random: u64,
    effects: Vec<Effect<T>>,
}

impl<T: Clone> Edge<T> {
    /// An edge that has not dialled yet. The id, drawn at random, also varies its pauses.
    pub(crate) fn new(id: u64, now: Timestamp) -> Self {
        Self {
            id,
            phase: Phase::Down { redial_at: now },
            failures: 0,
            subscriptions: HashMap::new(),
            channels: HashMap::new(),
            next_channel: 1,
            origin: None,
            random: id | 1,
            effects: Vec::new(),
        }
    }

    /// Whether the origin can be spoken to.
    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Takes what happened, and says what must be done, in order.
    pub(crate) fn step(&mut self, now: Timestamp, input: Input<T>) -> Vec<Effect<T>> {
        match input {
            Input::Want { cid, room } => self.want(now, &cid, room),
            Input::Watchers { cid, count, started, stopped } => self.watchers(now, &cid, count, started, stopped),
            Input::Retired { cid } => self.retired(&cid),
            Input::Attached => {
                let hello = EdgeHello { version: proto::VERSION.to_owned(), edge: self.id };
                self.say(Says::Hello(hello));
            }
            Input::Lost => self.lost(now),
            Input::Said(OriginSays { says: Some(says) }) => self.said(now, says),
            Input::Said(OriginSays { says: None }) => self.hang_up(now, "it says what this version doesn't know"),
            Input::Tick => self.tick(now),
        }
        std::mem::take(&mut self.effects)
    }

    fn say(&mut self, says: Says) {
        self.effects.push(Effect::Say(EdgeSays { says: Some(says) }));
    }

    fn want(&mut self, now: Timestamp, cid: &Arc<str>, room: T) {
        if let Some(subscription) = self.subscriptions.get_mut(cid) {
            // Whoever wants it watches it in a moment.
            subscription.idle_since = subscription.idle_since.map(|_| now);
            return;
        }
        let new = Subscription { room, channel: 0, known: None, watchers: 0, idle_since: Some(now) };
        self.subscriptions.insert(cid.clone(), new);
        if self.is_up() {
            self.subscribe(cid);
        }
    }

    /// Asks the origin for a channel's events.
    fn subscribe(&mut self, cid: &Arc<str>) {
        let Some(subscription) = self.subscriptions.get_mut(cid) else { return };
        subscription.channel = self.next_channel;
        self.next_channel = self.next_channel.checked_add(1).unwrap_or(1);
        self.channels.insert(subscription.channel, cid.clone());
        let subscribe = Subscribe {
            cid: cid.to_string(),
            channel: subscription.channel,
            known: subscription.known.clone(),
            watchers: subscription.watchers,
        };
        self.say(Says::Subscribe(subscribe));
    }

    fn watchers(&mut self, now: Timestamp, cid: &str, count: u64, started: Vec<Watcher>, stopped: Vec<Watcher>) {
        let Some(subscription) = self.subscriptions.get_mut(cid) else { return };
        let changed = std::mem::replace(&mut subscription.watchers, count) != count;
        subscription.idle_since = (count == 0).then(|| subscription.idle_since.unwrap_or(now));
        let channel = subscription.channel;
        // Before the origin has greeted there is nobody to tell; it gets the count with the subscription.
        if channel != 0 && (changed || !started.is_empty() || !stopped.is_empty()) {
            self.say(Says::Watchers(Watchers { channel, count, started, stopped }));
        }
    }

    fn retired(&mut self, cid: &str) {
        let Some(gone) = self.subscriptions.remove(cid) else { return };
        if gone.channel != 0 {
            self.channels.remove(&gone.channel);
            self.say(Says::Unsubscribe(Unsubscribe { channel: gone.channel }));
        }
    }

    fn lost(&mut self, now: Timestamp) {
        if matches!(self.phase, Phase::Down { .. }) {
            return;
        }
        self.channels.clear();
        self.next_channel = 1;
        self.subscriptions.values_mut().for_each(|subscription| subscription.channel = 0);
        let pause = PAUSE.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
        self.failures += 1;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let cut = (self.random % 512) as f64 / 1024.0;
        self.phase = Phase::Down { redial_at: now + pause.mul_f64(1.0 - cut) };
    }

    fn hang_up(&mut self, now: Timestamp, why: &'static str) {
        self.effects.push(Effect::HangUp(why));
        self.lost(now);
    }

    fn tick(&mut self, now: Timestamp) {
        match self.phase {
            Phase::Down { redial_at } if now >= redial_at => {
                self.phase = Phase::Dialling { until: now + GREETING };
                self.effects.push(Effect::Dial);
            }
            Phase::Dialling { until } if now >= until => self.hang_up(now, "it doesn't greet in time"),
            _ => {}
        }
        let idle = |subscription: &&mut Subscription<T>| {
            subscription.idle_since.is_some_and(|since| now.since(since) >= LINGER)
        };
        for subscription in self.subscriptions.values_mut().filter(idle) {
            subscription.idle_since = Some(now);
            self.effects.push(Effect::Retire { room: subscription.room.clone() });
        }
    }

    fn said(&mut self, now: Timestamp, says: OriginSaid) {
        match says {
            OriginSaid::Hello(hello) => {
                if hello.version != proto::VERSION {
                    return self.hang_up(now, "it is of another version: edges and origin must be the same throng");
                }
                self.phase = Phase::Up;
                self.failures = 0;
                let before = self.origin.replace(hello.origin);
                self.effects.push(Effect::Greeted { another: before.is_some_and(|before| before != hello.origin) });
                let all: Vec<Arc<str>> = self.subscriptions.keys().cloned().collect();
                all.iter().for_each(|cid| self.subscribe(cid));
            }
            OriginSaid::Subscribed(new) => {
                let Some(subscription) = self.named(new.channel) else { return };
                let (seq, created_at) = (new.seq, new.created_at);
                let at = subscription.known.get_or_insert(Known { seq, created_at }).seq;
                let room = subscription.room.clone();
                if at != seq {
                    return self.hang_up(now, "it goes on where this edge is not");
                }
                self.effects.push(Effect::Begin { room, seq, watchers: new.watchers });
            }
            OriginSaid::Absent(gone) => {
                let gone = self.drop_subscription(gone.channel);
                self.effects.extend(gone.map(|room| Effect::Absent { room }));
            }
            OriginSaid::Resync(gone) => {
                let gone = self.drop_subscription(gone.channel);
                self.effects.extend(gone.map(|room| Effect::Resync { room }));
            }
            OriginSaid::Event(event) => self.event(now, event),
            OriginSaid::WatcherCount(count) => {
                let room = self.named(count.channel).map(|subscription| subscription.room.clone());
                self.effects.extend(room.map(|room| Effect::Count { room, watchers: count.watchers }));
            }
            other => self.effects.push(Effect::Other(other)),
        }
    }

    fn event(&mut self, now: Timestamp, Event { channel, seq, frame, except }: Event) {
        let Some(subscription) = self.named(channel) else { return };
        let Some(known) = &mut subscription.known else {
            return self.hang_up(now, "an event comes before its channel's subscription is answered");
        };
        if seq != 0 {
            if seq != known.seq + 1 {
                return self.hang_up(now, "an event is missing");
            }
            known.seq = seq;
        }
        let (seq, except) = ((seq != 0).then_some(seq), (except != 0).then_some(except));
        let publish = Effect::Publish { room: subscription.room.clone(), seq, frame, except };
        self.effects.push(publish);
    }

    /// The subscription with this short name; one that was given up has none.
    fn named(&mut self, channel: u32) -> Option<&mut Subscription<T>> {
        let cid = self.channels.get(&channel)?;
        self.subscriptions.get_mut(cid)
    }

    fn drop_subscription(&mut self, channel: u32) -> Option<T> {
        let cid = self.channels.remove(&channel)?;
        self.subscriptions.remove(&cid).map(|gone| gone.room)
    }
}
