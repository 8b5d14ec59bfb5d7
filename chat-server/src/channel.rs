//! A channel: its members, messages, reactions and reads, and the numbers of its events. Sans-I/O: each operation
//! checks, changes the state, and says in a [`Step`] what must be answered, sent and kept.

mod log;
mod members;
mod messages;
mod pages;
mod reactions;
mod reads;
mod window;

use std::collections::HashMap;

use serde_json::{Map, Value};
use wire::api;
use wire::event::{Event, User};

pub(crate) use log::{EventLog, TooOld};
pub(crate) use messages::{NewMessage, Sent};
pub(crate) use pages::Span;
pub(crate) use reads::Read;
pub(crate) use window::{Entry, Window};

use crate::hub::{Batch, Outgoing};
use crate::record::Record;
use crate::skip_list::SkipList;
use crate::time::Date;

/// What an operation has done.
#[derive(Debug)]
pub(crate) struct Step<T> {
    /// For the caller.
    pub(crate) answer: T,
    /// Numbered events, in order; to be passed on as soon as they are kept.
    pub(crate) durable: Batch,
    /// What must be kept before anybody hears of it; empty if nothing is kept at all.
    pub(crate) records: Vec<Record>,
}

impl<T> Step<T> {
    /// Nothing has changed.
    pub(crate) fn nothing(answer: T) -> Self {
        Self { answer, durable: Batch::new(), records: Vec::new() }
    }
}

/// How much a channel keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) window_messages: usize,
    pub(crate) log_events: usize,
    pub(crate) log_bytes: usize,
    /// Whether there is a store that wants records.
    pub(crate) kept: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) cid: String,
    pub(crate) created_at: String,
    pub(crate) created_by: Option<User>,
    pub(crate) last_message_at: Option<String>,
    pub(crate) custom: Map<String, Value>,
    /// By user id.
    pub(crate) members: SkipList<String, api::Member>,
    pub(crate) reads: HashMap<String, Read>,
    pub(crate) window: Window,
    pub(crate) log: EventLog,
    /// The newest date that was given to an event: dates of a channel never run backwards.
    pub(crate) newest: i64,
    /// When each user sent last, for slow mode.
    pub(crate) sent_at: HashMap<String, i64>,
    /// Users that watch it, as its room counts them.
    pub(crate) watchers: u64,
    pub(crate) bounds: Bounds,
    /// Whether its own record has been written.
    pub(crate) recorded: bool,
}

impl Channel {
    /// A channel without members or messages.
    pub(crate) fn new(kind: &str, id: &str, created_by: Option<User>, created_at: &Date, bounds: Bounds) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            cid: format!("{kind}:{id}"),
            created_at: created_at.text.clone(),
            created_by,
            last_message_at: None,
            custom: Map::new(),
            members: SkipList::new(),
            reads: HashMap::new(),
            window: Window::new(bounds.window_messages),
            log: EventLog::new(bounds.log_events, bounds.log_bytes),
            newest: 0,
            sent_at: HashMap::new(),
            watchers: 0,
            bounds,
            recorded: false,
        }
    }

    /// The newest event number that was given out.
    pub(crate) fn seq(&self) -> u64 {
        self.log.newest()
    }

    /// The channel as answers show it.
    pub(crate) fn describe(&self) -> api::Channel {
        api::Channel {
            id: self.id.clone(),
            kind: self.kind.clone(),
            cid: self.cid.clone(),
            created_at: self.created_at.clone(),
            last_message_at: self.last_message_at.clone(),
            created_by: self.created_by.clone(),
            member_count: self.members.len() as u64,
            custom: self.custom.clone(),
        }
    }

    /// An event of this channel, without what makes it one.
    pub(crate) fn event(&self, kind: &str, at: &Date) -> Event {
        Event {
            kind: kind.to_owned(),
            created_at: at.text.clone(),
            cid: self.cid.clone(),
            channel_type: self.kind.clone(),
            channel_id: self.id.clone(),
            ..Event::default()
        }
    }

    /// Numbers an event, encodes it once, and logs it.
    fn emit<T>(&mut self, step: &mut Step<T>, mut event: Event, at: &Date) {
        self.newest = self.newest.max(at.micros);
        let seq = self.log.newest() + 1;
        event.seq = Some(seq);
        let frame = encode(&event);
        self.log.push(self.newest, frame.clone());
        if self.bounds.kept {
            step.records.push(Record::event(&self.cid, seq, self.newest, &frame));
            self.log.forgotten().for_each(|seq| step.records.push(Record::event_gone(&self.cid, seq)));
        }
        step.durable.push(Outgoing::new(Some(seq), frame));
    }

    /// Adds the channel's own record if it was never written, or if `changed`.
    pub(crate) fn record_self<T>(&mut self, step: &mut Step<T>, changed: bool) {
        if self.bounds.kept && (changed || !self.recorded) {
            self.recorded = true;
            step.records.push(Record::channel(&self.describe()));
        }
    }
}

/// An event as a frame.
pub(crate) fn encode(event: &Event) -> bytes::Bytes {
    wire::frame::server_json(event).expect("events have text keys only, which JSON can hold")
}
