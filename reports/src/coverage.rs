//! The account by event of a whole run: of each event, how many users should have had it, and how many missed it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use measure::{Coverage, Interval, MessageKey, Named, Steps};

/// Steps of coverage that are kept, at about 50 bytes each. A run with more of them, from millions of visits to a long
/// run's events, has no account by event; that by user stays.
const STEPS_MAX: usize = 2_000_000;

/// Messages whose place and receipts are kept: as many as fit a hash table of 2²¹ places, which takes 84 MB. Of later ones
/// receipts are not held against the account.
const MESSAGES_MAX: usize = 1_800_000;

/// A message's place, and what its receipts say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// The channel by its index.
    channel: u32,
    receivers: u32,
    /// The event's number.
    pub number: u64,
    /// When it was sent, in run time.
    pub sent_ns: u64,
}

/// What is known of the events of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// `type:id`.
    pub name: Arc<str>,
    /// Users that should have had each event.
    pub watched: Steps,
    /// Those of them that never had it.
    pub missed: Steps,
    /// What receipts don't tell.
    pub aside: Steps,
}

/// What is known of the events of all channels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverages {
    channels: Vec<Channel>,
    index: HashMap<Arc<str>, u32>,
    steps: usize,
    messages: HashMap<MessageKey, Placed>,
    /// There were more messages than are kept.
    unplaced: bool,
    /// There were more steps than are kept, and so none are.
    shed: bool,
    /// Entries that were left out before they came here.
    uncovered: u64,
}

impl Coverages {
    /// Adds an interval's.
    pub(crate) fn add(&mut self, interval: &Interval) {
        self.uncovered = self.uncovered.saturating_add(interval.uncovered);
        for (name, coverage) in &interval.coverage {
            let index = self.index(name);
            self.cover(index, coverage);
            coverage.messages.iter().for_each(|(number, named)| self.place(index, *number, named));
        }
        for (key, receipt) in &interval.receipts {
            if let Some(placed) = self.messages.get_mut(key) {
                placed.receivers = placed.receivers.saturating_add(u32::try_from(receipt.count()).unwrap_or(u32::MAX));
            }
        }
    }

    fn index(&mut self, name: &str) -> u32 {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let (index, name) = (self.channels.len() as u32, Arc::<str>::from(name));
        self.index.insert(Arc::clone(&name), index);
        let (watched, missed, aside) = Default::default();
        self.channels.push(Channel { name, watched, missed, aside });
        index
    }

    fn cover(&mut self, index: u32, coverage: &Coverage) {
        if self.shed {
            return;
        }
        let channel = &mut self.channels[index as usize];
        let before = channel.len();
        channel.watched.merge(&coverage.watched);
        channel.missed.merge(&coverage.missed);
        channel.aside.merge(&coverage.aside);
        self.steps = (self.steps + channel.len()).saturating_sub(before);
        if self.steps > STEPS_MAX {
            self.shed = true;
            for channel in &mut self.channels {
                (channel.watched, channel.missed, channel.aside) = Default::default();
            }
        }
    }

    fn place(&mut self, channel: u32, number: u64, named: &Named) {
        if self.messages.len() >= MESSAGES_MAX && !self.messages.contains_key(&named.message) {
            self.unplaced = true;
            return;
        }
        let new = Placed { channel, receivers: 0, number, sent_ns: named.sent.as_nanos() };
        self.messages.entry(named.message).or_insert(new);
    }

    /// Whether there is an account of all events that came, and if not, why.
    pub(crate) fn whole(&self) -> Result<(), &'static str> {
        if self.shed {
            return Err("It has more entries than are kept (2,000,000), so there is none.");
        }
        if self.uncovered > 0 {
            return Err("So many visits ended within a second that some are not in it.");
        }
        Ok(())
    }

    /// Whether every message's receipts are kept.
    pub(crate) fn names_all(&self) -> bool {
        !self.unplaced
    }

    /// The channels by name, and the messages of each by number.
    pub(crate) fn by_name(&self) -> BTreeMap<&str, Events<'_>> {
        let mut messages: Vec<Vec<(u64, MessageKey)>> = vec![Vec::new(); self.channels.len()];
        for (key, placed) in &self.messages {
            messages[placed.channel as usize].push((placed.number, *key));
        }
        messages.iter_mut().for_each(|all| all.sort_unstable());
        let events = self.channels.iter().zip(messages);
        events.map(|(channel, messages)| (&*channel.name, Events { all: self, channel, messages })).collect()
    }
}

impl Channel {
    fn len(&self) -> usize {
        self.watched.len() + self.missed.len() + self.aside.len()
    }
}

/// The events of a channel, for reading.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    all: &'a Coverages,
    /// The channel.
    pub channel: &'a Channel,
    /// Its messages by number.
    messages: Vec<(u64, MessageKey)>,
}

impl Events<'_> {
    /// The message that an event is, and when it was sent, in run time.
    pub(crate) fn message(&self, number: u64) -> Option<(MessageKey, u64)> {
        let at = self.messages.partition_point(|(n, _)| *n < number);
        let (_, key) = self.messages.get(at).filter(|(n, _)| *n == number)?;
        Some((*key, self.all.messages.get(key)?.sent_ns))
    }

    /// All messages by number, with the receivers of whom receipts tell.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let receivers = |key| self.all.messages.get(key).map_or(0, |placed| u64::from(placed.receivers));
        self.messages.iter().map(move |(number, key)| (*number, receivers(key)))
    }

    /// Stretches of events that as many users watched and as many missed: (first, last, watched, missed), rising.
    pub(crate) fn stretches(&self) -> Vec<(u64, u64, u64, u64)> {
        let Channel { watched, missed, .. } = self.channel;
        let mut cuts: Vec<u64> = watched.changes().chain(missed.changes()).map(|(at, _)| at).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let (mut watched, mut missed) = (watched.reader(), missed.reader());
        let ends = cuts.iter().skip(1).map(|next| next - 1).chain(std::iter::once(u64::MAX));
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let all = cuts.iter().zip(ends).map(|(first, last)| {
            let (watched, missed) = (watched.at(*first), missed.at(*first));
            (*first, last, count(watched), count(missed))
        });
        all.filter(|(.., watched, missed)| watched + missed > 0).collect()
    }
}
