//! Seeded simulation: a server that loses, doubles and reorders frames, breaks connections and calls, and knows the
//! truth.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use measure::{Covered, Mishap, SplitMix64};

use super::*;
use crate::account::What;

/// What is on its way to the user: delivered when its time comes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open(u32),
    Refuse(u32),
    AskWatch(u32, ChannelId),
    AskSync(u32, Vec<(ChannelId, u64)>),
    AskStop(u32, ChannelId),
    Tell(u32, Told),
    GiveUp(u32),
    Publish(ChannelId),
    Cut,
    Leave,
    Drain,
    Last,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Watched(ChannelId, u64),
    WatchFailed(ChannelId),
    Synced(Vec<(ChannelId, u64)>),
    SyncFailed,
    Ended(ChannelId, u64),
    EndUnknown(ChannelId),
}

/// What really happened on one channel during the visit.
#[derive(Default, Debug)]
struct Truth {
    base: Option<u64>,
    got: HashSet<u64>,
    synced: HashSet<u64>,
    end: u64,
}

struct World {
    random: SplitMix64,
    user: User,
    now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Step)>>,
    /// Newest number of each channel.
    seq: Vec<u64>,
    /// Of the server's connection: its epoch, and from which number each channel is watched.
    connection: Option<(u32, Vec<Option<u64>>)>,
    /// Frames of the connection, first in first out but for faults.
    wire: VecDeque<(ChannelId, u64)>,
    truth: Vec<Truth>,
    faults: bool,
    total: Tally,
    /// By channel and number: watched, missed, and deliveries, which are receipts and what these don't tell.
    events: HashMap<(ChannelId, u64), [i64; 3]>,
    /// Examples of each mishap, as events.
    mishaps: [u64; 3],
    watching: i64,
    left: bool,
}

impl World {
    fn new(seed: u64, channels: u32, faults: bool) -> Self {
        let mut random = SplitMix64::new(seed);
        let seq = (0..channels).map(|_| random.below(50)).collect();
        Self {
            random,
            user: User::new(7, 0, 0..channels),
            now: 0,
            order: 0,
            queue: BinaryHeap::new(),
            seq,
            connection: None,
            wire: VecDeque::new(),
            truth: (0..channels).map(|_| Truth::default()).collect(),
            faults,
            total: Tally::default(),
            events: HashMap::new(),
            mishaps: [0; 3],
            watching: 0,
            left: false,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.faults && self.random.below(100) < percent
    }

    fn after(&mut self, least: u64, spread: u64, step: Step) {
        let at = self.now + least + self.random.below(spread.max(1));
        self.order += 1;
        self.queue.push(Reverse((at, self.order, step)));
    }

    fn step(&mut self, event: Event) {
        let random = self.random.next_unit();
        let mut frame = None;
        if let Event::Frame { channel, seq, .. } = event {
            self.truth[channel as usize].got.insert(seq);
            frame = Some((channel, seq));
        }
        let mut effects = self.user.step(event, random);
        self.total += effects.tally;
        if let Some(receipt) = frame.filter(|_| effects.fresh) {
            self.events.entry(receipt).or_default()[2] += 1;
        }
        for (channel, (what, first, last)) in std::mem::take(&mut effects.notes) {
            let (place, n) = match what {
                What::Covered(Covered::Watched) => (0, 1),
                What::Covered(Covered::Missed) => (1, 1),
                What::Covered(Covered::Recovered) => (2, 1),
                What::Covered(Covered::Outside) => (2, -1),
                What::Mishap(mishap) => {
                    self.mishaps[mishap as usize] += if mishap == Mishap::Lost { last - first + 1 } else { 1 };
                    continue;
                }
            };
            (first..=last).for_each(|seq| self.events.entry((channel, seq)).or_default()[place] += n);
        }
        self.watching += effects.watching;
        for action in effects.actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap();
        match action {
            Action::Connect { epoch, after } => {
                let step = if self.chance(20) { Step::Refuse(epoch) } else { Step::Open(epoch) };
                self.after(millis(after), 20, step);
            }
            Action::Watch { epoch, channel, after } => self.after(millis(after), 20, Step::AskWatch(epoch, channel)),
            Action::Sync { epoch, after, since } => self.after(millis(after), 20, Step::AskSync(epoch, since)),
            Action::StopWatching { epoch, channel } => self.after(0, 20, Step::AskStop(epoch, channel)),
            Action::AskEnd { channel } => self.after(0, 20, Step::AskStop(u32::MAX, channel)),
            Action::GiveUpAfter { visit, after } => self.after(millis(after), 1, Step::GiveUp(visit)),
            Action::Close => (self.connection, self.wire) = (None, VecDeque::new()),
            Action::Left => self.left = true,
        }
    }

    fn publish(&mut self, channel: ChannelId) {
        self.seq[channel as usize] += 1;
        let seq = self.seq[channel as usize];
        let watched = self.connection.as_ref().is_some_and(|(_, watched)| watched[channel as usize].is_some());
        if !watched || self.chance(10) {
            return;
        }
        self.wire.push_back((channel, seq));
        if self.chance(10) {
            self.wire.push_back((channel, seq));
        }
        if self.chance(10) && self.wire.len() > 1 {
            let last = self.wire.len() - 1;
            self.wire.swap(last, last - 1);
        }
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Open(epoch) if epoch == self.user.epoch() => {
                self.connection = Some((epoch, vec![None; self.seq.len()]));
                self.wire.clear();
                self.step(Event::Connected { epoch });
            }
            Step::Refuse(epoch) => self.step(Event::Lost { epoch, retry: true }),
            Step::AskWatch(epoch, channel) => {
                let seq = self.seq[channel as usize];
                let told = match &mut self.connection {
                    Some((known, watched)) if *known == epoch => {
                        watched[channel as usize] = Some(seq);
                        Told::Watched(channel, seq)
                    }
                    _ => Told::WatchFailed(channel),
                };
                let told = if self.chance(10) { Told::WatchFailed(channel) } else { told };
                self.after(0, 30, Step::Tell(epoch, told));
            }
            Step::AskSync(epoch, since) => {
                let all = since.iter().flat_map(|(c, last)| (last + 1..=self.seq[*c as usize]).map(|seq| (*c, seq)));
                let told = Told::Synced(all.collect());
                let told = if self.chance(20) { Told::SyncFailed } else { told };
                self.after(0, 30, Step::Tell(epoch, told));
            }
            Step::AskStop(epoch, channel) => {
                let seq = self.seq[channel as usize];
                if let Some((known, watched)) = &mut self.connection
                    && *known == epoch
                {
                    watched[channel as usize] = None;
                }
                let told = if self.chance(10) { Told::EndUnknown(channel) } else { Told::Ended(channel, seq) };
                self.after(0, 30, Step::Tell(epoch, told));
            }
            Step::Tell(epoch, told) => self.tell(epoch, told),
            Step::GiveUp(visit) => self.step(Event::GiveUp { visit }),
            Step::Publish(channel) => self.publish(channel),
            Step::Cut => {
                if let Some((epoch, _)) = self.connection.take() {
                    self.wire.clear();
                    self.step(Event::Lost { epoch, retry: true });
                }
            }
            Step::Leave => self.step(Event::Leave),
            Step::Drain => self.step(Event::Drain),
            Step::Last => {
                for channel in 0..self.seq.len() as u32 {
                    let seq = self.seq[channel as usize];
                    self.know_end(channel, seq);
                    self.step(Event::Last { channel, seq });
                }
            }
            Step::Open(_) => {}
        }
    }

    fn know_end(&mut self, channel: ChannelId, seq: u64) {
        if self.user.is_here() {
            self.truth[channel as usize].end = seq;
        }
    }

    fn tell(&mut self, epoch: u32, told: Told) {
        if epoch == self.user.epoch() && self.user.is_here() {
            match &told {
                Told::Watched(channel, seq) => {
                    let truth = &mut self.truth[*channel as usize];
                    if truth.base.is_none() {
                        truth.base = Some(*seq);
                    }
                }
                Told::Synced(events) => {
                    for (channel, seq) in events {
                        self.truth[*channel as usize].synced.insert(*seq);
                    }
                }
                _ => {}
            }
        }
        match told {
            Told::Watched(channel, seq) => self.step(Event::Watched { epoch, channel, seq }),
            Told::WatchFailed(channel) => self.step(Event::WatchFailed { epoch, channel }),
            Told::Synced(events) => self.step(Event::Synced { epoch, events }),
            Told::SyncFailed => self.step(Event::SyncFailed { epoch }),
            Told::Ended(channel, seq) => {
                self.know_end(channel, seq);
                self.step(Event::Ended { channel, seq });
            }
            Told::EndUnknown(channel) => self.step(Event::EndUnknown { channel }),
        }
    }

    /// One visit, from joining to leaving or to the run's end.
    fn run(&mut self, leaves: bool) {
        let channels = self.seq.len() as u64;
        for _ in 0..200 {
            let channel = self.random.below(channels) as u32;
            self.after(0, 20_000, Step::Publish(channel));
        }
        for _ in 0..if self.faults { 4 } else { 0 } {
            self.after(100, 18_000, Step::Cut);
        }
        if leaves {
            self.after(18_000, 4_000, Step::Leave);
        } else {
            self.after(20_100, 1, Step::Drain);
            self.after(20_600, 1, Step::Last);
            self.after(30_000, 1, Step::GiveUp(1));
        }
        self.step(Event::Join);
        while let Some(Reverse((at, _, step))) = self.queue.pop() {
            self.now = at;
            // What is on the wire arrives before anything else happens, or some of it a little later.
            while let (Some((epoch, _)), false) = (&self.connection, self.faults && self.random.below(4) == 0) {
                let epoch = *epoch;
                let Some((channel, seq)) = self.wire.pop_front() else { break };
                self.step(Event::Frame { epoch, channel, seq });
            }
            self.happen(step);
        }
    }
}

/// The account by event is the account by user, and says of each event what receipts say.
fn agrees_by_event(world: &World, seed: u64) {
    let sum = |place: usize| world.events.values().map(|counts| counts[place]).sum::<i64>() as u64;
    let total = world.total;
    assert_eq!((sum(0), sum(1), sum(2)), (total.expected, total.lost, total.delivered), "seed {seed}");
    for (event, [watched, missed, delivered]) in &world.events {
        assert_eq!(watched - missed, *delivered, "seed {seed}: {event:?}");
    }
    assert_eq!(world.mishaps, [total.lost, total.duplicated, total.reordered], "seed {seed}");
}

#[test]
fn without_faults_nothing_is_lost_and_everybody_leaves() {
    for seed in 0..300 {
        for leaves in [false, true] {
            let mut world = World::new(seed, 1 + (seed % 3) as u32, false);
            world.run(leaves);
            let total = world.total;
            assert!(world.left && !world.user.is_here() && world.watching == 0, "seed {seed}");
            assert!(total.expected > 0 && total.expected == total.delivered, "seed {seed}: {total:?}");
            assert_eq!((total.lost, total.duplicated, total.reordered, total.recovered), (0, 0, 0, 0), "seed {seed}");
            agrees_by_event(&world, seed);
        }
    }
}

#[test]
fn with_faults_the_account_is_the_truth() {
    let mut seen = Tally::default();
    for seed in 0..2_000 {
        let mut world = World::new(seed, 1 + (seed % 3) as u32, true);
        world.run(seed % 2 == 0);
        let total = world.total;
        assert!(world.left && !world.user.is_here() && world.watching == 0, "seed {seed}");
        assert_eq!(total.expected, total.delivered + total.lost, "seed {seed}: {total:?}");
        let (mut expected, mut least, mut most, mut socket_only) = (0, 0, 0, 0);
        for truth in world.truth.iter().filter(|truth| truth.base.is_some()) {
            let base = truth.base.unwrap();
            let over_socket = truth.got.iter().filter(|seq| **seq > base).count() as u64;
            socket_only += truth.got.difference(&truth.synced).filter(|seq| **seq > base).count() as u64;
            let either = truth.got.union(&truth.synced).filter(|seq| **seq > base);
            let newest = either.clone().max().copied().unwrap_or(base);
            expected += truth.end.max(newest).saturating_sub(base);
            // What `/sync` brings of the socket's own stretch is not taken from it.
            (least, most) = (least + over_socket, most + either.count() as u64);
        }
        assert!((least..=most).contains(&total.delivered), "seed {seed}: {total:?}, {least} to {most}");
        assert!(total.recovered + socket_only <= total.delivered, "seed {seed}: {total:?}");
        assert!(total.expected <= expected, "seed {seed}: {total:?}, {expected}");
        agrees_by_event(&world, seed);
        seen += total;
    }
    assert!(seen.lost > 0 && seen.duplicated > 0 && seen.reordered > 0 && seen.recovered > 0, "{seen:?}");
}

#[test]
fn a_user_that_the_server_sends_away_does_not_come_back() {
    let mut user = User::new(0, 0, [0]);
    user.step(Event::Join, 0.5);
    let effects = user.step(Event::Lost { epoch: 1, retry: false }, 0.5);
    assert!(effects.actions.is_empty() && user.is_here() && !user.is_online());
    user.step(Event::Drain, 0.5);
    let effects = user.step(Event::Last { channel: 0, seq: 5 }, 0.5);
    assert!(effects.actions.contains(&Action::Left));
    assert_eq!(effects.tally, Tally::default(), "it never watched, so nothing was expected");
}

/// A user that watched one channel up to its fifth event, and what follows.
fn unsettled(events: &[Event]) -> u64 {
    let mut user = User::new(0, 0, [0]);
    let before = [Event::Join, Event::Connected { epoch: 1 }, Event::Watched { epoch: 1, channel: 0, seq: 5 }];
    before.iter().chain(events).map(|event| user.step(event.clone(), 0.5).unsettled).sum()
}

#[test]
fn whose_last_number_nobody_told_is_counted() {
    let (channel, unknown) = (0, Event::EndUnknown { channel: 0 });
    let last = Event::Last { channel, seq: 5 };
    assert_eq!(unsettled(&[Event::Leave, Event::Ended { channel, seq: 5 }]), 0);
    assert_eq!(unsettled(&[Event::Leave, unknown.clone()]), 1);
    assert_eq!(unsettled(&[Event::Leave, Event::GiveUp { visit: 1 }]), 1, "no answer at all");
    assert_eq!(unsettled(&[Event::Drain, last.clone()]), 0);
    assert_eq!(unsettled(&[Event::Drain, unknown, last]), 1, "others may know more, the service said nothing");
}
