//! Both ends of several links under everything that can go wrong: links are cut at any moment, what travels is late,
//! outboxes overflow, the origin is started again with its data or without, channels are given up and wanted again. Every
//! watcher of every edge gets each number after the one at which it began, once and in order, or is told to catch up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use measure::Timestamp;
use proto::link::origin_says::Says;
use proto::link::{Absent, EdgeSays, Event, OriginHello, OriginSays, Resync, Subscribed};

use super::edge::{Edge, Effect, Input};
use super::origin::{self, Origin};
use super::outbox::LinkOutbox;
use crate::channel::EventLog;

const EDGES: usize = 3;
const CHANNELS: u64 = 4;
const LOG_EVENTS: usize = 25;
const OUTBOX_BYTES: usize = 1_000;

/// A small generator of its own: the seed is the whole story.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}

struct Channel {
    created_at: String,
    log: EventLog,
    /// Edges that get its events, and their names for it.
    outlets: Vec<(usize, u32)>,
}

/// The origin's side of one link.
struct Served {
    core: Origin<String>,
    outbox: LinkOutbox<OriginSays>,
}

struct Room {
    cid: Arc<str>,
    /// The number that it is at, once its channel is subscribed.
    seq: Option<u64>,
    /// Whether it can be watched: it is not given up.
    open: bool,
}

struct Watcher {
    edge: usize,
    room: usize,
    /// The number at which it began; `None` while it waits for the subscription.
    from: Option<u64>,
    got: Vec<String>,
    gone: bool,
}

struct EdgeSide {
    core: Edge<usize>,
    rooms: Vec<Room>,
    attached: bool,
    /// What travels to the origin, and from it.
    up: VecDeque<EdgeSays>,
    down: VecDeque<OriginSays>,
}

#[derive(Default)]
struct Seen {
    resyncs: usize,
    replays: usize,
    overflows: usize,
    absent: usize,
    retired: usize,
    cuts: usize,
}

struct World {
    random: Random,
    now: Timestamp,
    origin: u64,
    channels: BTreeMap<String, Channel>,
    served: Vec<Option<Served>>,
    edges: Vec<EdgeSide>,
    watchers: Vec<Watcher>,
    seen: Seen,
    created: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Timestamp::from_nanos(1_000_000_000);
        let edge = |id| EdgeSide {
            core: Edge::new(id, now),
            rooms: Vec::new(),
            attached: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
        };
        Self {
            random: Random(seed),
            now,
            origin: 1,
            channels: BTreeMap::new(),
            served: (0..EDGES).map(|_| None).collect(),
            edges: (1..=EDGES as u64).map(edge).collect(),
            watchers: Vec::new(),
            seen: Seen::default(),
            created: 0,
        }
    }

    fn cid(&mut self) -> String {
        format!("room:{}", self.random.below(CHANNELS))
    }

    fn edge(&mut self) -> usize {
        self.random.below(EDGES as u64) as usize
    }

    /// One thing that happens by chance; `calm`: nothing breaks.
    fn happen(&mut self, calm: bool) {
        let edge = self.edge();
        match self.random.below(if calm { 60 } else { 64 }) {
            0 => (0..60).for_each(|_| self.publish()),
            1..=17 => self.publish(),
            18..=23 => self.watch(edge),
            24..=27 => self.unwatch(),
            28..=51 => {
                for _ in 0..=self.random.below(12) {
                    self.travel(edge);
                }
            }
            52..=59 => {
                let long = self.random.below(12) == 0;
                self.pass_time(if long { 11_000 } else { 40 });
            }
            60..=62 => self.cut(edge),
            _ => self.restart(),
        }
    }

    fn publish(&mut self) {
        let cid = self.cid();
        self.created += 1;
        let created_at = format!("created-{}", self.created);
        let channel = self.channels.entry(cid).or_insert_with(|| Channel {
            created_at,
            log: EventLog::new(LOG_EVENTS, 1 << 20),
            outlets: Vec::new(),
        });
        let seq = channel.log.newest() + 1;
        let frame = Bytes::from(format!("{} {seq}", channel.created_at));
        channel.log.push(0, frame.clone());
        for (edge, name) in channel.outlets.clone() {
            let event = Event { channel: name, seq, frame: frame.clone(), except: 0 };
            self.tell(edge, Says::Event(event));
        }
    }

    /// Queues something for an edge; a queue that is full ends the link.
    fn tell(&mut self, edge: usize, says: Says) {
        let Some(served) = &self.served[edge] else { return };
        if !served.outbox.push(OriginSays { says: Some(says) }) {
            self.seen.overflows += 1;
            self.cut(edge);
        }
    }

    fn watch(&mut self, edge: usize) {
        let cid: Arc<str> = self.cid().into();
        let rooms = &mut self.edges[edge].rooms;
        let room = rooms.iter().position(|room| room.open && room.cid == cid).unwrap_or_else(|| {
            rooms.push(Room { cid: cid.clone(), seq: None, open: true });
            rooms.len() - 1
        });
        let from = rooms[room].seq;
        self.watchers.push(Watcher { edge, room, from, got: Vec::new(), gone: false });
        self.step(edge, Input::Want { cid, room });
        self.count(edge, room);
    }

    fn unwatch(&mut self) {
        if self.watchers.is_empty() {
            return;
        }
        let which = self.random.below(self.watchers.len() as u64) as usize;
        let watcher = &mut self.watchers[which];
        if watcher.from.is_some() && !watcher.gone {
            watcher.gone = true;
            let (edge, room) = (watcher.edge, watcher.room);
            self.count(edge, room);
        }
    }

    fn watching(&self, edge: usize, room: usize) -> u64 {
        let here = |watcher: &&Watcher| (watcher.edge, watcher.room, watcher.gone) == (edge, room, false);
        self.watchers.iter().filter(here).count() as u64
    }

    fn count(&mut self, edge: usize, room: usize) {
        let (count, cid) = (self.watching(edge, room), self.edges[edge].rooms[room].cid.clone());
        self.step(edge, Input::Watchers { cid, count, started: Vec::new(), stopped: Vec::new() });
    }

    /// One thing arrives at each end of a link, or the origin hands one over to the network.
    fn travel(&mut self, edge: usize) {
        // The origin takes nothing that may lead to a replay while it has no room for one.
        if self.served[edge].as_ref().is_some_and(|served| served.outbox.has_room())
            && let Some(said) = self.edges[edge].up.pop_front()
        {
            self.serve(edge, said);
        }
        if let Some(said) = self.edges[edge].down.pop_front() {
            self.step(edge, Input::Said(said));
        }
        let Some(served) = &self.served[edge] else { return };
        if let Ok((said, bytes)) = served.outbox.take() {
            served.outbox.sent(bytes);
            self.edges[edge].down.extend(said);
        }
    }

    /// The origin takes what an edge says.
    fn serve(&mut self, edge: usize, said: EdgeSays) {
        let Some(served) = &mut self.served[edge] else { return };
        let Some(effect) = served.core.step(said).expect("the edge keeps to the contract") else { return };
        match effect {
            origin::Effect::Greet { .. } => {
                let hello = OriginHello { version: proto::VERSION.to_owned(), origin: self.origin };
                self.tell(edge, Says::Hello(hello));
            }
            origin::Effect::Subscribe { channel, cid, known, .. } => self.subscribe(edge, channel, cid, known.as_ref()),
            origin::Effect::Unsubscribe { channel, room } => {
                if let Some(room) = self.channels.get_mut(&room) {
                    room.outlets.retain(|outlet| *outlet != (edge, channel));
                }
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, edge: usize, channel: u32, cid: String, known: Option<&proto::link::Known>) {
        let Some(room) = self.channels.get_mut(&cid) else { return self.tell(edge, Says::Absent(Absent { channel })) };
        let (newest, max) = (room.log.newest(), self.served[edge].as_ref().unwrap().outbox.replay_max());
        let Some(replay) = origin::replay(known, &room.created_at, newest, &room.log, max) else {
            return self.tell(edge, Says::Resync(Resync { channel }));
        };
        let seq = replay.after;
        self.seen.replays += usize::from(seq < newest);
        room.outlets.push((edge, channel));
        let created_at = room.created_at.clone();
        self.served[edge].as_mut().unwrap().core.subscribed(channel, cid);
        self.tell(edge, Says::Subscribed(Subscribed { channel, seq, created_at, watchers: 0 }));
        for (frame, seq) in replay.frames.into_iter().zip(seq + 1..) {
            self.tell(edge, Says::Event(Event { channel, seq, frame, except: 0 }));
        }
    }

    fn pass_time(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        (0..EDGES).for_each(|edge| self.step(edge, Input::Tick));
    }

    fn cut(&mut self, edge: usize) {
        self.seen.cuts += 1;
        self.forget(edge);
        if std::mem::replace(&mut self.edges[edge].attached, false) {
            self.step(edge, Input::Lost);
        }
    }

    /// Nothing of a link stays, on either side and on its way.
    fn forget(&mut self, edge: usize) {
        if let Some(mut served) = self.served[edge].take() {
            for (channel, cid) in served.core.leave() {
                if let Some(room) = self.channels.get_mut(&cid) {
                    room.outlets.retain(|outlet| *outlet != (edge, channel));
                }
            }
        }
        self.edges[edge].up.clear();
        self.edges[edge].down.clear();
    }

    fn restart(&mut self) {
        (0..EDGES).for_each(|edge| self.cut(edge));
        self.origin += 1;
        if self.random.below(2) == 0 {
            self.channels.clear();
        }
    }

    fn step(&mut self, edge: usize, input: Input<usize>) {
        for effect in self.edges[edge].core.step(self.now, input) {
            self.obey(edge, effect);
        }
    }

    fn obey(&mut self, edge: usize, effect: Effect<usize>) {
        match effect {
            Effect::Dial => {
                self.forget(edge);
                let outbox = LinkOutbox::new(OUTBOX_BYTES);
                self.served[edge] = Some(Served { core: Origin::new(), outbox });
                self.edges[edge].attached = true;
                self.step(edge, Input::Attached);
            }
            Effect::HangUp(why) => {
                assert!(why.contains("greet"), "the origin keeps to the contract: {why}");
                self.edges[edge].attached = false;
                self.forget(edge);
            }
            Effect::Say(says) => self.edges[edge].up.push_back(says),
            Effect::Begin { room, seq, .. } => {
                let at = *self.edges[edge].rooms[room].seq.get_or_insert(seq);
                assert_eq!(at, seq, "it goes on where it was");
                let waiting = |watcher: &&mut Watcher| (watcher.edge, watcher.room) == (edge, room);
                for watcher in self.watchers.iter_mut().filter(waiting) {
                    watcher.from.get_or_insert(seq);
                }
            }
            Effect::Publish { room, seq, frame, .. } => {
                let seq = seq.expect("only numbered events here");
                let at = self.edges[edge].rooms[room].seq.as_mut().expect("it has begun");
                *at += 1;
                assert_eq!(*at, seq);
                let here = |watcher: &&mut Watcher| (watcher.edge, watcher.room, watcher.gone) == (edge, room, false);
                let frame = String::from_utf8(frame.to_vec()).unwrap();
                self.watchers.iter_mut().filter(here).for_each(|watcher| watcher.got.push(frame.clone()));
            }
            Effect::Absent { room } => {
                self.seen.absent += 1;
                self.close(edge, room);
            }
            Effect::Resync { room } => {
                self.seen.resyncs += 1;
                self.close(edge, room);
            }
            Effect::Retire { room } => {
                if self.watching(edge, room) == 0 {
                    self.seen.retired += 1;
                    self.edges[edge].rooms[room].open = false;
                    let cid = self.edges[edge].rooms[room].cid.clone();
                    self.step(edge, Input::Retired { cid });
                }
            }
            Effect::Greeted { .. } | Effect::Count { .. } | Effect::Other(_) => {}
        }
    }

    /// A room's watchers are told to catch up themselves.
    fn close(&mut self, edge: usize, room: usize) {
        self.edges[edge].rooms[room].open = false;
        let here = |watcher: &&mut Watcher| (watcher.edge, watcher.room) == (edge, room);
        self.watchers.iter_mut().filter(here).for_each(|watcher| watcher.gone = true);
    }

    /// Lets everything arrive, then checks that nobody misses anything.
    fn settle(&mut self) {
        for _ in 0..400 {
            self.pass_time(20);
            (0..EDGES).for_each(|edge| (0..20).for_each(|_| self.travel(edge)));
        }
        assert!(self.edges.iter().all(|edge| edge.core.is_up()), "links come back");
        for watcher in &self.watchers {
            let room = &self.edges[watcher.edge].rooms[watcher.room];
            let Some(from) = watcher.from else {
                assert!(watcher.gone, "whoever waits is answered");
                continue;
            };
            let numbers: Vec<u64> =
                watcher.got.iter().map(|frame| frame.split_once(' ').unwrap().1.parse().unwrap()).collect();
            assert_eq!(numbers, (from + 1..=from + numbers.len() as u64).collect::<Vec<_>>());
            let channels: HashMap<&str, ()> =
                watcher.got.iter().map(|frame| (frame.split_once(' ').unwrap().0, ())).collect();
            assert!(channels.len() <= 1, "of one channel, not of another with its name");
            if !watcher.gone {
                let newest = self.channels[&*room.cid].log.newest();
                assert_eq!(room.seq, Some(newest));
                assert_eq!(from + numbers.len() as u64, newest, "it has everything");
            }
        }
    }
}

#[test]
fn every_watcher_gets_each_event_once_or_is_told_to_catch_up() {
    let mut seen = Seen::default();
    for seed in 0..400 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for step in 0..600 {
            world.happen(step % 200 > 120);
        }
        world.settle();
        seen.resyncs += world.seen.resyncs;
        seen.replays += world.seen.replays;
        seen.overflows += world.seen.overflows;
        seen.absent += world.seen.absent;
        seen.retired += world.seen.retired;
        seen.cuts += world.seen.cuts;
    }
    let Seen { resyncs, replays, overflows, absent, retired, cuts } = seen;
    println!(
        "{cuts} cuts, {overflows} overflows, {replays} replays, {resyncs} resyncs, {absent} absent, {retired} retired"
    );
    assert!(
        [resyncs, replays, overflows, absent, retired, cuts].into_iter().all(|count| count > 100),
        "nothing is proved"
    );
}
