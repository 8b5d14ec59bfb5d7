//! A channel and its room under any sequence of steps: every watcher gets exactly the events between the numbers at
//! which its watching began and ended, once and in order; the log replays the same; numbers have no gap.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};
use wire::event::{Reaction, User};
use wire::frame::server_payload;

use super::{Outgoing, Room, Sink};
use crate::channel::{Bounds, Channel, NewMessage, Step};
use crate::outbox::Push;
use crate::time::Date;

/// An outbox that keeps everything, until it is told to overflow.
#[derive(Clone, Debug, Default)]
struct Kept(Rc<RefCell<(Vec<Bytes>, bool)>>);

impl Sink for Kept {
    fn push(&self, frame: &Bytes) -> Push {
        let mut kept = self.0.borrow_mut();
        if kept.1 {
            return Push::Closed;
        }
        kept.0.push(frame.clone());
        Push::Queued
    }
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Watch(u64),
    Unwatch(u64),
    Overflow(u64),
    Send { user: u8, id: u8 },
    React { user: u8, id: u8, kind: u8, unique: bool },
    Unreact { user: u8, id: u8, kind: u8 },
    Delete { user: u8, id: u8 },
    Join { user: u8, leave: bool },
    Typing,
}

fn command() -> impl Strategy<Value = Command> {
    let (user, id, kind) = (0_u8..4, 0_u8..12, 0_u8..3);
    prop_oneof![
        3 => (0_u64..8).prop_map(Command::Watch),
        2 => (0_u64..8).prop_map(Command::Unwatch),
        1 => (0_u64..8).prop_map(Command::Overflow),
        6 => (user.clone(), id.clone()).prop_map(|(user, id)| Command::Send { user, id }),
        3 => (user.clone(), id.clone(), kind.clone(), any::<bool>())
            .prop_map(|(user, id, kind, unique)| Command::React { user, id, kind, unique }),
        1 => (user.clone(), id.clone(), kind).prop_map(|(user, id, kind)| Command::Unreact { user, id, kind }),
        1 => (user.clone(), id).prop_map(|(user, id)| Command::Delete { user, id }),
        1 => (user, any::<bool>()).prop_map(|(user, leave)| Command::Join { user, leave }),
        1 => Just(Command::Typing),
    ]
}

fn user(number: u8) -> User {
    User { id: format!("user-{number}"), ..User::default() }
}

struct World {
    channel: Channel,
    room: Room<Kept>,
    /// Each watching connection: what it got, and the number at which it began.
    watching: BTreeMap<u64, (Kept, u64)>,
    at: i64,
}

impl World {
    fn new(log_events: usize, window_messages: usize) -> Self {
        let bounds = Bounds { window_messages, log_events, log_bytes: 1 << 20, kept: true };
        let at = Date { micros: 0, text: "1970-01-01T00:00:00.000000Z".to_owned() };
        let channel = Channel::new("messaging", "a", None, &at, bounds);
        Self { channel, room: Room::new(0), watching: BTreeMap::new(), at: 0 }
    }

    /// Passes on what a step says; refused steps change nothing.
    fn pass_on<T>(&mut self, step: Result<Step<T>, wire::ApiError>, before: u64) -> Result<(), TestCaseError> {
        let events = match step {
            Ok(step) => step.durable,
            Err(_) => Default::default(),
        };
        for (event, seq) in events.iter().zip(before + 1..) {
            prop_assert_eq!(event.seq, Some(seq), "numbers have no gap");
            self.room.publish(event, None);
        }
        prop_assert_eq!(self.channel.seq(), before + events.len() as u64);
        prop_assert_eq!(self.room.seq(), self.channel.seq());
        Ok(())
    }

    fn run(&mut self, command: Command) -> Result<(), TestCaseError> {
        self.at += 1;
        let at = &Date { micros: self.at, text: format!("{:06}", self.at) };
        let seq = self.channel.seq();
        match command {
            Command::Watch(connection) => {
                let kept = Kept::default();
                let name: Arc<str> = format!("user-{}", connection / 2).into();
                let changed = self.room.watch(connection, &name, kept.clone());
                prop_assert_eq!(changed.seq, seq);
                self.watching.entry(connection).or_insert((kept, seq));
            }
            Command::Unwatch(connection) => {
                let changed = self.room.unwatch(connection);
                prop_assert_eq!(changed.seq, seq);
                if let Some((kept, from)) = self.watching.remove(&connection) {
                    check(&kept, from, seq)?;
                }
            }
            Command::Overflow(connection) => {
                if let Some((kept, from)) = self.watching.remove(&connection) {
                    check(&kept, from, seq)?;
                    kept.0.borrow_mut().1 = true;
                    self.room.unwatch(connection);
                }
            }
            Command::Typing => {
                let frame = crate::channel::encode(&self.channel.event("typing.start", at));
                self.room.publish(&Outgoing { seq: None, frame }, None);
            }
            change => self.change(change, at)?,
        }
        self.check_counts()
    }

    /// A command that the channel numbers.
    fn change(&mut self, command: Command, at: &Date) -> Result<(), TestCaseError> {
        let seq = self.channel.seq();
        match command {
            Command::Send { user: by, id } => {
                let new = NewMessage {
                    id: format!("m-{id}"),
                    text: "hello".to_owned(),
                    parent_id: (id > 9).then(|| "m-0".to_owned()),
                    custom: Map::new(),
                    user: user(by),
                };
                let step = self.channel.send(new, None, at);
                self.pass_on(step, seq)
            }
            Command::React { user: by, id, kind, unique } => {
                let reaction =
                    Reaction { message_id: format!("m-{id}"), kind: format!("kind-{kind}"), ..Reaction::default() };
                let step = self.channel.react(reaction, unique, &user(by), at);
                self.pass_on(step, seq)
            }
            Command::Unreact { user: by, id, kind } => {
                let step = self.channel.unreact(&format!("m-{id}"), &format!("kind-{kind}"), &user(by), at);
                self.pass_on(step, seq)
            }
            Command::Delete { user: by, id } => {
                let step = self.channel.delete(&format!("m-{id}"), Some(&user(by).id), at);
                self.pass_on(step, seq)
            }
            Command::Join { user: who, leave } => {
                let (add, remove) = if leave { (vec![], vec![user(who).id]) } else { (vec![user(who)], vec![]) };
                let step = self.channel.change_members(add, &remove, &user(who), false, at);
                self.pass_on(step, seq)
            }
            Command::Watch(_) | Command::Unwatch(_) | Command::Overflow(_) | Command::Typing => Ok(()),
        }
    }

    /// What messages show of their reactions and answers agrees with what there is.
    fn check_counts(&self) -> Result<(), TestCaseError> {
        for entry in self.channel.window.oldest_first() {
            let mut counts = BTreeMap::new();
            for reaction in &entry.reactions {
                *counts.entry(reaction.kind.clone()).or_insert(0_u64) += 1;
            }
            prop_assert_eq!(&counts, &entry.message.reaction_counts);
        }
        let users = self.watching.keys().map(|connection| connection / 2);
        prop_assert_eq!(self.room.user_count(), users.collect::<std::collections::BTreeSet<_>>().len());
        Ok(())
    }
}

/// The watcher's numbered events are all between two numbers, once and in order.
fn check(kept: &Kept, from: u64, to: u64) -> Result<(), TestCaseError> {
    let frames = &kept.0.borrow().0;
    let numbers: Vec<u64> = frames.iter().filter_map(number).collect();
    prop_assert_eq!(numbers, (from + 1..=to).collect::<Vec<_>>());
    Ok(())
}

fn number(frame: &Bytes) -> Option<u64> {
    serde_json::from_slice::<Value>(&server_payload(frame)).unwrap()["seq"].as_u64()
}

proptest! {
    #[test]
    fn watchers_get_every_event_between_their_numbers_once_and_in_order(
        commands in prop::collection::vec(command(), 1..120),
        log_events in 1_usize..60,
        window_messages in 1_usize..12,
    ) {
        let mut world = World::new(log_events, window_messages);
        for command in commands {
            world.run(command)?;
        }
        let newest = world.channel.seq();
        for (kept, from) in world.watching.values() {
            check(kept, *from, newest)?;
        }
        let oldest = newest.saturating_sub(log_events as u64);
        for seq in 0..=newest {
            match world.channel.log.after(seq) {
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
