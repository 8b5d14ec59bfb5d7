//! Channels, their audiences and the floors of several shards under any interleaving of what happens to channels, of
//! watching and going, of taking queues and of passes in pieces: every watcher gets exactly the events between the
//! numbers at which its watching began and ended, once and in order, on whichever shard; the log replays the same;
//! numbers have no gap; whoever takes over the place of one that is gone gets nothing of his.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};
use wire::deflate::{Direction, Inflater};
use wire::event::{Reaction, User};
use wire::frame::{Opcode, server_frame, server_payload};

use super::{Audience, Batch, Floor, LineKey, Outgoing, RoomId};
use crate::channel::{Bounds, Channel, NewMessage, Step, encode};
use crate::outlets::Item;
use crate::session::Answer;
use crate::stream::{Pace, Stream};
use crate::time::Date;

const CONNECTIONS: u32 = 9;
const ROOMS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Change {
    Send { user: u8, id: u8 },
    React { user: u8, id: u8, kind: u8, unique: bool },
    Unreact { user: u8, id: u8, kind: u8 },
    Delete { user: u8, id: u8 },
    Join { user: u8, leave: bool },
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Watch {
        connection: u32,
        room: usize,
    },
    Unwatch {
        connection: u32,
        room: usize,
    },
    /// Its socket breaks, or its reader is too slow: from now on it takes nothing.
    Break(u32),
    /// It asks for an answer, which says that everything before it has come.
    Ask(u32),
    /// It is gone: it watches nothing any more, and its place is free for another.
    Disconnect(u32),
    Change {
        room: usize,
        change: Change,
    },
    /// An event without a number for all but one.
    Typing {
        room: usize,
        except: Option<u32>,
    },
    /// A shard takes items from its queue.
    Take {
        shard: usize,
        items: usize,
    },
    /// A shard goes on with its passes.
    Pass {
        shard: usize,
        budget: usize,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let (user, id, kind) = (0_u8..4, 0_u8..12, 0_u8..3);
    prop_oneof![
        6 => (user.clone(), id.clone()).prop_map(|(user, id)| Change::Send { user, id }),
        3 => (user.clone(), id.clone(), kind.clone(), any::<bool>())
            .prop_map(|(user, id, kind, unique)| Change::React { user, id, kind, unique }),
        1 => (user.clone(), id.clone(), kind).prop_map(|(user, id, kind)| Change::Unreact { user, id, kind }),
        1 => (user.clone(), id).prop_map(|(user, id)| Change::Delete { user, id }),
        1 => (user, any::<bool>()).prop_map(|(user, leave)| Change::Join { user, leave }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let (connection, room, shard) = (0..CONNECTIONS, 0..ROOMS, 0_usize..4);
    let whoever = (connection.clone(), room.clone());
    prop_oneof![
        4 => whoever.clone().prop_map(|(connection, room)| Command::Watch { connection, room }),
        2 => whoever.prop_map(|(connection, room)| Command::Unwatch { connection, room }),
        1 => connection.clone().prop_map(Command::Break),
        1 => connection.clone().prop_map(Command::Ask),
        1 => connection.clone().prop_map(Command::Disconnect),
        8 => (room.clone(), change()).prop_map(|(room, change)| Command::Change { room, change }),
        2 => (room, prop::option::of(connection)).prop_map(|(room, except)| Command::Typing { room, except }),
        5 => (shard.clone(), 1_usize..6).prop_map(|(shard, items)| Command::Take { shard, items }),
        5 => (shard, 1_usize..4).prop_map(|(shard, budget)| Command::Pass { shard, budget }),
    ]
}

fn user(number: u8) -> User {
    User { id: format!("user-{number}"), ..User::default() }
}

/// One shard: its queue, its floor, and what its connections' sockets took.
#[derive(Default)]
struct Shard {
    queue: VecDeque<Item>,
    floor: Floor,
    sockets: BTreeMap<LineKey, Socket>,
}

/// What a connection got, and what it should have got; by room.
struct Socket {
    got: Vec<Bytes>,
    inflater: Inflater,
    compressed: usize,
    broken: bool,
    /// By room: all frames that were published while it watched.
    owed: [Vec<Bytes>; ROOMS],
    watching: [bool; ROOMS],
    /// How much it was owed when it asked.
    asked: VecDeque<[usize; ROOMS]>,
    /// Whether its place will be free once the queue is taken up to here.
    gone: bool,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            got: Vec::new(),
            inflater: Inflater::new(Direction::FULL),
            compressed: 0,
            broken: false,
            owed: Default::default(),
            watching: [false; ROOMS],
            asked: VecDeque::new(),
            gone: false,
        }
    }
}

impl Socket {
    /// Keeps a frame as it was before it was compressed.
    fn take(&mut self, frame: &Bytes) {
        if frame[0] & 0x40 == 0 {
            return self.got.push(frame.clone());
        }
        let mut text = Vec::new();
        let read = self.inflater.message(&server_payload(frame), 10_000, &mut text);
        read.expect("who gets a compressed frame can read it");
        self.got.push(server_frame(Opcode::Text, &text));
        self.compressed += 1;
    }
}

impl Shard {
    fn take(&mut self, items: usize) -> Result<(), TestCaseError> {
        for item in self.queue.drain(..items.min(self.queue.len())) {
            let sockets = &mut self.sockets;
            let mut send = |line, frames: &mut dyn Iterator<Item = &Bytes>| give(sockets, line, frames);
            match item {
                Item::Publish { room, events, except } => drop(self.floor.publish(room, events, except)),
                Item::Watch { room, line, follows } => self.floor.watch(room, line, follows),
                Item::Unwatch { room, line } => self.floor.unwatch(room, line, &mut send),
                Item::Forget { line } => {
                    self.floor.forget(line);
                    check(&self.sockets.remove(&line).unwrap())?;
                }
                Item::Tell { .. } | Item::Close { .. } => {}
                Item::Answer { line, .. } => {
                    self.floor.catch_up(line, &mut send);
                    let socket = self.sockets.get_mut(&line).unwrap();
                    let asked = socket.asked.pop_front().unwrap();
                    let got = (0..ROOMS).map(|room| of_room(&socket.got, room).count());
                    prop_assert!(socket.broken || got.eq(asked), "the answer comes behind all that was owed");
                }
            }
        }
        Ok(())
    }

    fn pass(&mut self, budget: usize) -> bool {
        let Self { floor, sockets, .. } = self;
        floor.pass(budget, &mut |line, frames: &mut dyn Iterator<Item = &Bytes>| give(sockets, line, frames))
    }
}

fn give(sockets: &mut BTreeMap<LineKey, Socket>, line: LineKey, frames: &mut dyn Iterator<Item = &Bytes>) {
    let socket = sockets.get_mut(&line).expect("nothing is sent to a place that is free");
    if !socket.broken {
        frames.for_each(|frame| socket.take(frame));
    }
}

/// A connection got what it was owed, room by room, in order; a broken one the beginning of it.
fn check(socket: &Socket) -> Result<(), TestCaseError> {
    for (room, owed) in socket.owed.iter().enumerate() {
        let got: Vec<&Bytes> = of_room(&socket.got, room).collect();
        let owed = owed.iter().take(if socket.broken { got.len() } else { owed.len() });
        prop_assert_eq!(got, owed.collect::<Vec<_>>());
    }
    Ok(())
}

fn of_room(frames: &[Bytes], room: usize) -> impl Iterator<Item = &Bytes> {
    let cid = format!("messaging:{room}");
    frames.iter().filter(move |frame| json(frame)["cid"] == cid.as_str())
}

fn json(frame: &Bytes) -> Value {
    serde_json::from_slice(&server_payload(frame)).unwrap()
}

fn number(frame: &Bytes) -> Option<u64> {
    json(frame)["seq"].as_u64()
}

struct World {
    rooms: Vec<(Channel, Audience, Stream)>,
    shards: Vec<Shard>,
    /// By connection, and by room that it watches: the number at which that began, and how much it was owed then.
    since: BTreeMap<(u32, usize), (u64, usize)>,
    at: i64,
}

impl World {
    fn new(shards: usize, log_events: usize, window_messages: usize) -> Self {
        let bounds = Bounds { window_messages, log_events, log_bytes: 1 << 20, kept: true };
        let at = Date { micros: 0, text: "1970-01-01T00:00:00.000000Z".to_owned() };
        let pace = Pace { followers: 2, longest: 9, shortest: 3 };
        let room = |room| {
            let channel = Channel::new("messaging", &format!("{room}"), None, &at, bounds);
            (channel, Audience::new(0), Stream::new(pace))
        };
        let rooms = (0..ROOMS).map(room).collect();
        Self { rooms, shards: (0..shards).map(|_| Shard::default()).collect(), since: BTreeMap::new(), at: 0 }
    }

    fn place(&self, connection: u32) -> (usize, LineKey) {
        let shards = self.shards.len() as u32;
        ((connection % shards) as usize, connection / shards)
    }

    /// The connection's socket, opened if nobody has its place; `None` while its place isn't free yet.
    fn socket(&mut self, connection: u32) -> Option<&mut Socket> {
        let (shard, line) = self.place(connection);
        Some(self.shards[shard].sockets.entry(line).or_default()).filter(|socket| !socket.gone)
    }

    fn publish(&mut self, room: usize, mut events: Batch, except: Option<u32>) {
        if except.is_none() {
            events.iter_mut().for_each(|event| self.rooms[room].2.pack(event));
        }
        let except = except.map(|connection| self.place(connection));
        for outlet in self.rooms[room].1.publish(&events) {
            let except = except.filter(|(shard, _)| *shard == outlet).map(|(_, line)| line);
            let item = Item::Publish { room: RoomId(room as u64), events: events.clone(), except };
            self.shards[outlet].queue.push_back(item);
        }
        for (at, shard) in self.shards.iter_mut().enumerate() {
            for (line, socket) in &mut shard.sockets {
                if socket.watching[room] && except != Some((at, *line)) {
                    socket.owed[room].extend(events.iter().map(|event| event.frame.clone()));
                }
            }
        }
    }

    fn watch(&mut self, connection: u32, room: usize) -> Result<(), TestCaseError> {
        let Some(socket) = self.socket(connection) else { return Ok(()) };
        if std::mem::replace(&mut socket.watching[room], true) {
            return Ok(());
        }
        let owed = socket.owed[room].len();
        let (shard, line) = self.place(connection);
        let changed = self.rooms[room].1.watch(shard, connection / 2);
        prop_assert_eq!(changed.seq, self.rooms[room].0.seq());
        let follows = follows(connection);
        self.shards[shard].queue.push_back(Item::Watch { room: RoomId(room as u64), line, follows });
        if follows {
            self.rooms[room].2.came();
        }
        self.since.insert((connection, room), (changed.seq, owed));
        Ok(())
    }

    fn unwatch(&mut self, connection: u32, room: usize) -> Result<(), TestCaseError> {
        let Some(socket) = self.socket(connection) else { return Ok(()) };
        if !std::mem::replace(&mut socket.watching[room], false) {
            return Ok(());
        }
        let owed = socket.owed[room].clone();
        let (shard, line) = self.place(connection);
        let changed = self.rooms[room].1.unwatch(shard, connection / 2);
        self.shards[shard].queue.push_back(Item::Unwatch { room: RoomId(room as u64), line });
        if follows(connection) {
            self.rooms[room].2.went();
        }
        let (from, before) = self.since.remove(&(connection, room)).unwrap();
        let numbers: Vec<u64> = owed[before..].iter().filter_map(number).collect();
        prop_assert_eq!(numbers, (from + 1..=changed.seq).collect::<Vec<_>>());
        Ok(())
    }

    fn run(&mut self, command: Command) -> Result<(), TestCaseError> {
        self.at += 1;
        let at = Date { micros: self.at, text: format!("{:06}", self.at) };
        match command {
            Command::Watch { connection, room } => self.watch(connection, room)?,
            Command::Unwatch { connection, room } => self.unwatch(connection, room)?,
            Command::Break(connection) => {
                if let Some(socket) = self.socket(connection) {
                    socket.broken = true;
                }
            }
            Command::Ask(connection) => {
                if let Some(socket) = self.socket(connection) {
                    let owed = std::array::from_fn(|room| socket.owed[room].len());
                    socket.asked.push_back(owed);
                    let (shard, line) = self.place(connection);
                    let answer = Answer::Frame(Bytes::new());
                    self.shards[shard].queue.push_back(Item::Answer { line, answer });
                }
            }
            Command::Disconnect(connection) => {
                if self.socket(connection).is_some() {
                    (0..ROOMS).try_for_each(|room| self.unwatch(connection, room))?;
                    let (shard, line) = self.place(connection);
                    self.shards[shard].queue.push_back(Item::Forget { line });
                    self.socket(connection).unwrap().gone = true;
                }
            }
            Command::Typing { room, except } => {
                let frame = encode(&self.rooms[room].0.event("typing.start", &at));
                self.publish(room, Batch::from_iter([Outgoing::new(None, frame)]), except);
            }
            Command::Change { room, change } => self.change(room, change, &at)?,
            Command::Take { shard, items } => {
                let shards = self.shards.len();
                self.shards[shard % shards].take(items)?;
            }
            Command::Pass { shard, budget } => {
                let shards = self.shards.len();
                self.shards[shard % shards].pass(budget);
            }
        }
        self.check_counts()
    }

    /// Something that the channel numbers; refused steps change nothing.
    fn change(&mut self, room: usize, change: Change, at: &Date) -> Result<(), TestCaseError> {
        let channel = &mut self.rooms[room].0;
        let before = channel.seq();
        let events = match change {
            Change::Send { user: by, id } => {
                let new = NewMessage {
                    id: format!("m-{id}"),
                    text: "hello".to_owned(),
                    parent_id: (id > 9).then(|| "m-0".to_owned()),
                    custom: Map::new(),
                    user: user(by),
                };
                told(channel.send(new, None, at))
            }
            Change::React { user: by, id, kind, unique } => {
                let (message_id, kind) = (format!("m-{id}"), format!("kind-{kind}"));
                let reaction = Reaction { message_id, kind, ..Reaction::default() };
                told(channel.react(reaction, unique, &user(by), at))
            }
            Change::Unreact { user: by, id, kind } => {
                told(channel.unreact(&format!("m-{id}"), &format!("kind-{kind}"), &user(by), at))
            }
            Change::Delete { user: by, id } => told(channel.delete(&format!("m-{id}"), Some(&user(by).id), at)),
            Change::Join { user: who, leave } => {
                let (add, remove) = if leave { (vec![], vec![user(who).id]) } else { (vec![user(who)], vec![]) };
                told(channel.change_members(add, &remove, &user(who), false, at))
            }
        };
        let numbers: Vec<Option<u64>> = events.iter().map(|event| event.seq).collect();
        prop_assert_eq!(numbers, (before + 1..=channel.seq()).map(Some).collect::<Vec<_>>(), "numbers have no gap");
        self.publish(room, events, None);
        prop_assert_eq!(self.rooms[room].1.seq(), self.rooms[room].0.seq());
        Ok(())
    }

    /// What messages show of their reactions agrees with what there is, and so does the count of watching users.
    fn check_counts(&self) -> Result<(), TestCaseError> {
        for (room, (channel, audience, _)) in self.rooms.iter().enumerate() {
            for entry in channel.window.oldest_first() {
                let mut counts = BTreeMap::new();
                for reaction in &entry.reactions {
                    *counts.entry(reaction.kind.clone()).or_insert(0_u64) += 1;
                }
                prop_assert_eq!(&counts, &entry.message.reaction_counts);
            }
            let watching = self.since.keys().filter(|(_, watched)| *watched == room);
            let users: BTreeSet<u32> = watching.map(|(connection, _)| connection / 2).collect();
            prop_assert_eq!(audience.user_count(), users.len());
        }
        Ok(())
    }

    /// Everything is taken and served: everybody has got what he was owed, and nothing waits any more.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        for shard in &mut self.shards {
            shard.take(usize::MAX)?;
            while shard.pass(1) {}
            prop_assert_eq!(shard.floor.waiting(), 0);
            shard.sockets.values().try_for_each(check)?;
        }
        Ok(())
    }
}

/// Two of three connections can follow compressed streams.
fn follows(connection: u32) -> bool {
    !connection.is_multiple_of(3)
}

fn told<T>(step: Result<Step<T>, wire::ApiError>) -> Batch {
    step.map(|step| step.durable).unwrap_or_default()
}

proptest! {
    // Compressors are slow to make in a debug build, and each case has some.
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn watchers_get_every_event_between_their_numbers_once_and_in_order(
        commands in prop::collection::vec(command(), 1..160),
        shards in 1_usize..4,
        log_events in 1_usize..60,
        window_messages in 1_usize..12,
    ) {
        let mut world = World::new(shards, log_events, window_messages);
        for command in commands {
            world.run(command)?;
        }
        world.finish()?;
        for (channel, ..) in &world.rooms {
            let newest = channel.seq();
            let oldest = newest.saturating_sub(log_events as u64);
            for seq in 0..=newest {
                match channel.log.after(seq) {
                    Ok(frames) => prop_assert_eq!(
                        frames.filter_map(number).collect::<Vec<_>>(),
                        (seq + 1..=newest).collect::<Vec<_>>()
                    ),
                    Err(too_old) => {
                        prop_assert_eq!(too_old.oldest, oldest + 1);
                        prop_assert!(seq < oldest, "what is there must be answered");
                    }
                }
            }
        }
    }
}
