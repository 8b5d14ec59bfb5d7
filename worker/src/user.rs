//! One virtual user, without I/O: `step(event) -> effects`.
//!
//! A visit: connect, watch the user's channels, receive, and at its end settle. To settle means to learn each channel's
//! last number, to wait until everything up to it is there, and to account for the rest as lost. A user that leaves
//! learns the number from the answer to `stop-watching`; at the end of the run it is told.

use std::time::Duration;

use measure::Cohort;
use smallvec::SmallVec;
use wire::backoff::reconnect_delay;

use crate::account::{Account, Note, Notes, Tally};

/// How long a user that leaves waits for what is still on its way.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);

/// A channel, as the users of one thread number it.
pub(crate) type ChannelId = u32;

/// Something that happened to a user. What answers a connection's question carries that connection's `epoch`, so that
/// late answers are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is time to join.
    Join,
    /// The first event was there.
    Connected { epoch: u32 },
    /// The connection failed before its first event, or was lost; `retry` unless the server wants no more of it.
    Lost { epoch: u32, retry: bool },
    /// An event of a channel came over the socket.
    Frame { epoch: u32, channel: ChannelId, seq: u64 },
    /// The query that starts watching was answered.
    Watched { epoch: u32, channel: ChannelId, seq: u64 },
    /// It failed.
    WatchFailed { epoch: u32, channel: ChannelId },
    /// `/sync` was answered with these events.
    Synced { epoch: u32, events: Vec<(ChannelId, u64)> },
    /// It failed.
    SyncFailed { epoch: u32 },
    /// It is time to leave.
    Leave,
    /// A channel's last number for a user that leaves: from `stop-watching` or a query.
    Ended { channel: ChannelId, seq: u64 },
    /// A channel's last number as the run ends.
    Last { channel: ChannelId, seq: u64 },
    /// No answer to the question for a channel's last number.
    EndUnknown { channel: ChannelId },
    /// The run ends: no more visits; last numbers will be told.
    Drain,
    /// Waiting has an end.
    GiveUp { visit: u32 },
}

/// What is to be done for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a connection after a wait.
    Connect { epoch: u32, after: Duration },
    /// Ask to watch a channel after a wait.
    Watch { epoch: u32, channel: ChannelId, after: Duration },
    /// Ask for what was missed: of each channel, all after this number.
    Sync { epoch: u32, after: Duration, since: Vec<(ChannelId, u64)> },
    /// Ask to stop watching a channel; the answer is [`Event::Ended`] or [`Event::EndUnknown`].
    StopWatching { epoch: u32, channel: ChannelId },
    /// Ask for a channel's number without watching it; the answer as above.
    AskEnd { channel: ChannelId },
    /// Tell [`Event::GiveUp`] in a while.
    GiveUpAfter { visit: u32, after: Duration },
    /// Close the connection.
    Close,
    /// The visit is over and accounted for.
    Left,
}

/// What a step leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// What to add to the counters.
    pub(crate) tally: Tally,
    /// Channels that are watched now, minus those that were before.
    pub(crate) watching: i64,
    /// Whether the event is one that the user had not got before.
    pub(crate) fresh: bool,
    /// What befell which events; nearly always nothing.
    pub(crate) notes: Vec<(ChannelId, Note)>,
    /// Channels whose last number nobody told, so that what is lost of them isn't known.
    pub(crate) unsettled: u64,
    /// What is to be done, in order.
    pub(crate) actions: SmallVec<[Action; 1]>,
}

impl Effects {
    fn note(&mut self, channel: ChannelId, notes: Notes) {
        self.notes.extend(notes.into_iter().map(|note| (channel, note)));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not here: not yet, between visits, or for good.
    Away,
    /// A connection is being made, or will be after a wait.
    Connecting,
    /// Connected.
    Online,
    /// The server closed for good; the visit's account stays open until its end.
    Shut,
}

/// Why nothing new is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// It is not leaving.
    No,
    /// Its visit is over: it asks for last numbers itself.
    Leave,
    /// The run is over: it is told the last numbers.
    Drain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// Not watched.
    No,
    /// Asked for.
    Asked,
    /// Answered.
    Yes,
}

#[derive(Clone, Debug)]
struct Seat {
    channel: ChannelId,
    watch: Watch,
    /// The channel's last number, once it is known.
    end: Option<u64>,
    /// There was no answer to the question for it.
    guessed: bool,
    account: Account,
}

/// A virtual user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// Its number over the whole run.
    pub(crate) index: u64,
    /// Its cohort.
    pub(crate) cohort: Cohort,
    state: State,
    exit: Exit,
    /// `/sync` was asked and not answered.
    syncing: bool,
    failures: u16,
    /// Counts attempts to connect.
    epoch: u32,
    /// Counts visits.
    visit: u32,
    seats: SmallVec<[Seat; 1]>,
}

impl User {
    /// A user that will watch these channels, and is not here yet.
    pub(crate) fn new(index: u64, cohort: Cohort, channels: impl IntoIterator<Item = ChannelId>) -> Self {
        let seat = |channel| Seat { channel, watch: Watch::No, end: None, guessed: false, account: Account::default() };
        let seats = channels.into_iter().map(seat).collect();
        Self {
            index,
            cohort,
            state: State::Away,
            exit: Exit::No,
            syncing: false,
            failures: 0,
            epoch: 0,
            visit: 0,
            seats,
        }
    }

    /// Whether it is connected.
    pub(crate) fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// Whether it is here, connected or trying to be.
    pub(crate) fn is_here(&self) -> bool {
        self.state != State::Away
    }

    /// Whether its visit is over, or ends.
    pub(crate) fn has_left(&self) -> bool {
        self.visit > 0 && (self.state == State::Away || self.exit == Exit::Leave)
    }

    /// Whether it may act: connected, and not on its way out.
    pub(crate) fn can_act(&self) -> bool {
        self.is_online() && self.exit == Exit::No
    }

    /// Whether it leaves, or has left, because the run is over.
    pub(crate) fn is_drained(&self) -> bool {
        self.exit == Exit::Drain
    }

    /// The attempt to connect that counts.
    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How often it has joined.
    pub(crate) const fn visit(&self) -> u32 {
        self.visit
    }

    /// Its channels.
    pub(crate) fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.seats.iter().map(|seat| seat.channel)
    }

    /// Its channels whose last number it does not know.
    pub(crate) fn unknown_ends(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.seats.iter().filter(|seat| seat.end.is_none()).map(|seat| seat.channel)
    }

    /// The highest number it knows of a channel.
    pub(crate) fn highest(&self, channel: ChannelId) -> u64 {
        self.seats.iter().find(|seat| seat.channel == channel).map_or(0, |seat| seat.account.highest())
    }

    /// Takes a step. `random` in [0, 1) spreads waits.
    pub(crate) fn step(&mut self, event: Event, random: f64) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::Join if self.state == State::Away => self.join(&mut effects),
            Event::Connected { epoch } if epoch == self.epoch && self.state == State::Connecting => {
                self.connected(&mut effects);
            }
            Event::Lost { epoch, retry } if epoch == self.epoch => self.lost(retry, random, &mut effects),
            Event::Frame { epoch, channel, seq } if epoch == self.epoch => self.frame(channel, seq, &mut effects),
            Event::Watched { epoch, channel, seq } if epoch == self.epoch => self.watched(channel, seq, &mut effects),
            Event::WatchFailed { epoch, channel } if epoch == self.epoch => {
                self.watch_failed(channel, random, &mut effects);
            }
            Event::Synced { epoch, events } if epoch == self.epoch => self.synced(&events, &mut effects),
            Event::SyncFailed { epoch } if epoch == self.epoch && self.is_online() => {
                self.failures = self.failures.saturating_add(1);
                self.ask_missed(reconnect_delay(self.failures.into(), random), &mut effects);
            }
            Event::Leave if self.is_here() && self.exit == Exit::No => self.leave(&mut effects),
            Event::Drain if self.is_here() && self.exit == Exit::No => self.exit = Exit::Drain,
            Event::Ended { channel, seq } if self.exit == Exit::Leave => self.ended(channel, seq, &mut effects),
            Event::Last { channel, seq } if self.exit == Exit::Drain => self.ended(channel, seq, &mut effects),
            Event::EndUnknown { channel } => self.end_unknown(channel, &mut effects),
            Event::GiveUp { visit } if visit == self.visit && self.is_here() => self.settle(&mut effects),
            _ => {}
        }
        effects
    }

    fn seat(&mut self, channel: ChannelId) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.channel == channel)
    }

    fn join(&mut self, effects: &mut Effects) {
        self.visit += 1;
        (self.exit, self.syncing, self.failures) = (Exit::No, false, 0);
        for seat in &mut self.seats {
            (seat.watch, seat.end, seat.account) = (Watch::No, None, Account::default());
            seat.guessed = false;
        }
        self.connect(Duration::ZERO, effects);
    }

    fn connect(&mut self, after: Duration, effects: &mut Effects) {
        self.epoch += 1;
        self.state = State::Connecting;
        effects.actions.push(Action::Connect { epoch: self.epoch, after });
    }

    fn connected(&mut self, effects: &mut Effects) {
        self.state = State::Online;
        self.failures = 0;
        let epoch = self.epoch;
        for seat in &mut self.seats {
            // A run that ends begins no watching, but goes on with those that were.
            if self.exit == Exit::No || seat.account.has_begun() {
                seat.watch = Watch::Asked;
                effects.actions.push(Action::Watch { epoch, channel: seat.channel, after: Duration::ZERO });
            }
        }
    }

    fn lost(&mut self, retry: bool, random: f64, effects: &mut Effects) {
        if self.state == State::Away {
            return;
        }
        for seat in &mut self.seats {
            effects.watching -= i64::from(seat.watch == Watch::Yes);
            seat.watch = Watch::No;
            let mut notes = Notes::default();
            seat.account.disconnect(&mut notes);
            effects.note(seat.channel, notes);
        }
        self.syncing = false;
        self.failures = self.failures.saturating_add(1);
        if retry && self.exit != Exit::Leave {
            self.connect(reconnect_delay(self.failures.into(), random), effects);
        } else {
            self.state = State::Shut;
            // Answers to what the connection asked are of no use any more.
            self.epoch += 1;
            if self.exit != Exit::No {
                self.settle_if_complete(effects);
            }
        }
    }

    fn frame(&mut self, channel: ChannelId, seq: u64, effects: &mut Effects) {
        if let Some(seat) = self.seat(channel) {
            let began = seat.account.has_begun();
            let mut notes = Notes::default();
            effects.tally = seat.account.receive(seq, &mut notes);
            effects.note(channel, notes);
            effects.fresh = effects.tally.delivered > 0 || (!began && effects.tally.duplicated == 0);
            if self.exit != Exit::No {
                self.settle_if_complete(effects);
            }
        }
    }

    fn watched(&mut self, channel: ChannelId, seq: u64, effects: &mut Effects) {
        let Some(seat) = self.seat(channel) else { return };
        if seat.watch != Watch::Asked {
            return;
        }
        seat.watch = Watch::Yes;
        effects.watching += 1;
        let mut notes = Notes::default();
        effects.tally = seat.account.watch(seq, &mut notes);
        effects.note(channel, notes);
        if self.exit != Exit::No {
            self.settle_if_complete(effects);
        }
        self.ask_missed(Duration::ZERO, effects);
    }

    fn watch_failed(&mut self, channel: ChannelId, random: f64, effects: &mut Effects) {
        self.failures = self.failures.saturating_add(1);
        let (epoch, after) = (self.epoch, reconnect_delay(self.failures.into(), random));
        let asked = |seat: &&mut Seat| seat.watch == Watch::Asked;
        if self.is_online() && self.seat(channel).filter(asked).is_some() {
            effects.actions.push(Action::Watch { epoch, channel, after });
        }
    }

    /// Asks for what only `/sync` can bring, in one call, when all channels are watched again.
    fn ask_missed(&mut self, after: Duration, effects: &mut Effects) {
        let waiting = self.seats.iter().any(|seat| seat.watch == Watch::Asked);
        if waiting || !self.is_online() || (self.syncing && after.is_zero()) {
            return;
        }
        let behind = self.seats.iter().filter(|seat| seat.account.is_behind());
        let since: Vec<_> = behind.map(|seat| (seat.channel, seat.account.contiguous())).collect();
        self.syncing = !since.is_empty();
        if self.syncing {
            effects.actions.push(Action::Sync { epoch: self.epoch, after, since });
        }
    }

    fn synced(&mut self, events: &[(ChannelId, u64)], effects: &mut Effects) {
        self.syncing = false;
        for &(channel, seq) in events {
            if let Some(seat) = self.seat(channel) {
                let mut notes = Notes::default();
                effects.tally += seat.account.recover(seq, &mut notes);
                effects.note(channel, notes);
            }
        }
        if self.exit != Exit::No {
            self.settle_if_complete(effects);
        }
    }

    fn leave(&mut self, effects: &mut Effects) {
        self.exit = Exit::Leave;
        let (epoch, online) = (self.epoch, self.is_online());
        for seat in &self.seats {
            let channel = seat.channel;
            if seat.watch == Watch::Yes {
                effects.actions.push(Action::StopWatching { epoch, channel });
            } else if seat.account.has_begun() && !online {
                effects.actions.push(Action::AskEnd { channel });
            }
        }
        effects.actions.push(Action::GiveUpAfter { visit: self.visit, after: SETTLE });
        self.settle_if_complete(effects);
    }

    fn ended(&mut self, channel: ChannelId, seq: u64, effects: &mut Effects) {
        if !self.is_here() {
            return;
        }
        if let Some(seat) = self.seat(channel) {
            seat.end = Some(seq.max(seat.account.highest()));
        }
        self.settle_if_complete(effects);
    }

    fn end_unknown(&mut self, channel: ChannelId, effects: &mut Effects) {
        let leaves = self.exit == Exit::Leave;
        let Some(seat) = self.seat(channel).filter(|seat| seat.end.is_none()) else { return };
        seat.guessed = true;
        if leaves {
            // The best that is known. As the run ends, others may know more.
            seat.end = Some(seat.account.highest());
            self.settle_if_complete(effects);
        }
    }

    fn settle_if_complete(&mut self, effects: &mut Effects) {
        // Without a connection nothing more can come.
        let shut = self.state == State::Shut;
        let complete = |seat: &Seat| {
            !seat.account.has_begun() || seat.end.is_some_and(|end| shut || seat.account.is_complete(end))
        };
        if self.seats.iter().all(complete) {
            self.settle(effects);
        }
    }

    /// Ends the visit: what is not there now is lost.
    fn settle(&mut self, effects: &mut Effects) {
        for seat in &mut self.seats {
            effects.unsettled += u64::from(seat.account.has_begun() && (seat.guessed || seat.end.is_none()));
            let mut notes = Notes::default();
            effects.tally += seat.account.settle(seat.end.unwrap_or_default(), &mut notes);
            effects.note(seat.channel, notes);
            effects.watching -= i64::from(seat.watch == Watch::Yes);
            (seat.watch, seat.account) = (Watch::No, Account::default());
        }
        self.state = State::Away;
        self.epoch += 1;
        effects.actions.push(Action::Close);
        effects.actions.push(Action::Left);
    }
}

#[cfg(test)]
mod tests;
