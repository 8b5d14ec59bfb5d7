//! One worker's users in a rehearsal: what they would have measured, second by second, written into a real recorder. No
//! I/O, no clock; the schedule is the real one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use measure::{Cohort, Counter, Covered, Gauge, Metric, Place, Recorder, Series, SharedRecorder, Timestamp};
use scenarios::model::{ActionKind, Scenario};
use scenarios::{ChannelRef, Shard};

use super::latency::{Latency, Presence};
use super::levels::Levels;
use super::losses::{Losses, Piece, RETURN};
use super::service::{Published, Service};
use super::underway::Underway;
use crate::driver::{Driver, Due, Work};
use crate::load::Progress;

/// Bytes of the first event of a connection.
const FIRST_EVENT_BYTES: u64 = 180;

/// What happens some time after what brought it about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Later {
    Connected { user: u64, cohort: Cohort, visit: u32 },
    Watching { user: u64, cohort: Cohort, visit: u32 },
    Answered { cohort: Cohort, kind: Call, took: u64, late: u64 },
}

/// A call, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Send,
    React,
    Typing,
    Read,
}

/// A user.
#[derive(Clone, Debug, Default)]
enum Seat {
    #[default]
    Away,
    Joining {
        visit: u32,
    },
    Connected {
        visit: u32,
    },
    /// Watching its channels since these numbers.
    Here {
        since: Box<[u64]>,
    },
}

/// A channel, as this worker's users see it.
#[derive(Debug)]
struct Room {
    number: u32,
    /// Users that watch it, by cohort.
    watchers: Vec<u64>,
}

/// Users of one shard, and what is due for them.
struct Crew<'a> {
    shard: Shard,
    driver: Driver<'a>,
    seats: Vec<Seat>,
}

impl<'a> Crew<'a> {
    fn new(scenario: &Scenario, shard: Shard, driver: Driver<'a>) -> Self {
        let users = usize::try_from(scenario.users_in(shard)).unwrap_or(usize::MAX);
        Self { shard, driver, seats: vec![Seat::Away; users] }
    }

    /// The users, in the order of their seats.
    fn users(&self) -> impl Iterator<Item = u64> + use<> {
        let shard = self.shard;
        (0..self.seats.len() as u64).map(move |n| shard.user(n))
    }
}

/// See the module.
pub(super) struct Simulation<'a> {
    scenario: &'a Scenario,
    latency: &'a Latency,
    losses: &'a Losses,
    /// The worker's number among all.
    worker: u32,
    recorder: SharedRecorder,
    progress: Arc<Progress>,
    /// The start instant, in run time.
    start: Timestamp,
    /// The worker's own users, then those that it has taken over.
    crews: Vec<Crew<'a>>,
    service: Service<'a>,
    later: BinaryHeap<Reverse<(Duration, Later)>>,
    rooms: HashMap<ChannelRef, Room>,
    underway: Vec<Underway>,
    levels: Levels,
    over: bool,
}

impl<'a> Simulation<'a> {
    /// The users of `shard`, none of them here yet.
    pub(super) fn new(
        scenario: &'a Scenario,
        latency: &'a Latency,
        losses: &'a Losses,
        shard: Shard,
        (recorder, progress): (SharedRecorder, Arc<Progress>),
        start: Timestamp,
    ) -> Self {
        Self {
            scenario,
            latency,
            losses,
            worker: shard.index,
            recorder,
            progress,
            start,
            crews: vec![Crew::new(scenario, shard, Driver::new(scenario, shard))],
            service: Service::new(scenario, latency, losses),
            later: BinaryHeap::new(),
            rooms: HashMap::new(),
            underway: Vec::new(),
            levels: Levels::new(shard.index),
            over: false,
        }
    }

    /// Has the users of another worker, too; nobody has come to the instant from which on it does.
    pub(super) fn take_over(&mut self, piece: Piece) {
        self.crews.push(Crew::new(self.scenario, piece.shard, piece.driver(self.scenario)));
    }

    /// Everything that happens before `until`, an instant since the run's start.
    pub(super) fn advance(&mut self, until: Duration) {
        if self.over {
            return;
        }
        self.happen(until);
        let recorder = self.recorder.clone();
        recorder.with(|r| {
            let mut received = 0;
            self.underway.retain_mut(|message| {
                received += message.arrive(r, until);
                !message.is_over()
            });
            self.levels.set(r, self.latency, until, received);
        });
    }

    /// The end: what is on its way arrives, and everybody settles.
    pub(super) fn settle(&mut self, at: Duration) {
        if self.over {
            return;
        }
        self.advance(at);
        while let Some(Reverse((_, later))) = self.later.pop() {
            self.pass(later);
        }
        let recorder = self.recorder.clone();
        recorder.with(|r| {
            self.underway.drain(..).for_each(|mut message| {
                message.arrive(r, Duration::MAX);
            });
        });
        let users: Vec<u64> = self.crews.iter().flat_map(Crew::users).collect();
        for user in users {
            if let Some((cohort, _)) = self.scenario.cohort_of(user)
                && !matches!(self.seat(user), None | Some(Seat::Away))
            {
                self.planned(cohort, -1);
                self.end_visit(user, cohort);
            }
        }
        self.over = true;
    }

    /// In the order of time: who joins at an instant is there before what is published at it.
    fn happen(&mut self, until: Duration) {
        loop {
            let driven = self.crews.iter().enumerate().filter_map(|(n, crew)| Some((crew.driver.next_at()?, n))).min();
            let (crew, driven) = driven.map_or((0, None), |(at, crew)| (crew, Some(at)));
            let passed = self.later.peek().map(|Reverse((at, _))| *at);
            let next = [driven, passed, self.service.next_at()].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at < until) else { return };
            if passed == Some(at) {
                if let Some(Reverse((_, later))) = self.later.pop() {
                    self.pass(later);
                }
            } else if driven == Some(at) {
                if let Some(due) = self.crews[crew].driver.pop(at) {
                    self.due(&due);
                }
            } else if let Some(published) = self.service.pop() {
                self.publish(&published);
            }
        }
    }

    /// Where one of our users sits.
    fn seat(&mut self, user: u64) -> Option<&mut Seat> {
        let crew = self.crews.iter_mut().find(|crew| crew.shard.holds(user))?;
        crew.seats.get_mut(crew.shard.number_of(user) as usize)
    }

    fn sit(&mut self, user: u64, how: Seat) {
        if let Some(seat) = self.seat(user) {
            *seat = how;
        }
    }

    fn due(&mut self, due: &Due) {
        match due.work {
            Work::Join { user, cohort, visit } => self.join(due.at, user, cohort, visit),
            Work::Return { user, cohort } => self.join(due.at, user, cohort, RETURN),
            Work::Leave { user, cohort, .. } => {
                self.planned(cohort, -1);
                self.started(cohort, self.latency.lag(u16::MAX - 1, user));
                self.end_visit(user, cohort);
            }
            Work::Act { action, cohort, kind, ref arrival } => {
                let presence = self.losses.presence(self.scenario, self.latency, arrival.user, due.at);
                let nothing = kind == ActionKind::React && !self.service.has_said(arrival.channel);
                if presence == Presence::Away || nothing {
                    return;
                }
                let late = self.latency.lag(action, arrival.number);
                self.started(cohort, late);
                let call = match kind {
                    ActionKind::Send { .. } => Call::Send,
                    ActionKind::React => Call::React,
                    ActionKind::Typing => Call::Typing,
                    ActionKind::Read => Call::Read,
                };
                if call == Call::Send {
                    self.count(Counter::SendsDue, cohort, 1);
                }
                if presence == Presence::Joining {
                    return self.count(Counter::Dropped, cohort, 1);
                }
                self.recorder.with(|r| r.add(Gauge::InFlight, None, 1));
                let took = self.latency.call(action, arrival.number);
                let at = due.at + Duration::from_micros(late + took);
                self.later.push(Reverse((at, Later::Answered { cohort, kind: call, took, late })));
            }
        }
    }

    fn join(&mut self, at: Duration, user: u64, cohort: Cohort, visit: u32) {
        self.planned(cohort, 1);
        self.sit(user, Seat::Joining { visit });
        let connecting = self.latency.connecting(user, visit);
        self.started(cohort, connecting.lag);
        let connected = at + Duration::from_micros(connecting.connected());
        self.later.push(Reverse((connected, Later::Connected { user, cohort, visit })));
        self.later.push(Reverse((at + connecting.watching(), Later::Watching { user, cohort, visit })));
    }

    fn pass(&mut self, later: Later) {
        match later {
            Later::Connected { user, cohort, visit } => {
                if matches!(self.seat(user), Some(Seat::Joining { visit: v }) if *v == visit) {
                    self.sit(user, Seat::Connected { visit });
                    self.connected(user, cohort, visit);
                }
            }
            Later::Watching { user, cohort, visit } => {
                if matches!(self.seat(user), Some(Seat::Connected { visit: v }) if *v == visit) {
                    self.watch(user, cohort, visit);
                }
            }
            Later::Answered { cohort, kind, took, late } => self.answered(cohort, kind, took, late),
        }
    }

    fn connected(&mut self, user: u64, cohort: Cohort, visit: u32) {
        let connecting = self.latency.connecting(user, visit);
        self.recorder.with(|r| {
            record(r, Metric::Connect, cohort, connecting.connected());
            record(r, Metric::ConnectTcp, cohort, connecting.tcp);
            if let Some(tls) = connecting.tls {
                record(r, Metric::ConnectTls, cohort, tls);
            }
            record(r, Metric::ConnectUpgrade, cohort, connecting.upgrade);
            record(r, Metric::ConnectFirstEvent, cohort, connecting.first_event);
            r.count(Counter::Connected, Some(cohort), 1);
            r.count(Counter::FramesReceived, Some(cohort), 1);
            r.count(Counter::BytesReceived, Some(cohort), FIRST_EVENT_BYTES);
            r.add(Gauge::UsersConnected, Some(cohort), 1);
        });
        self.levels.frames_came(1);
        self.levels.users(1);
        self.progress.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn watch(&mut self, user: u64, cohort: Cohort, visit: u32) {
        let (channels, took) = (self.scenario.channels_of(user), self.latency.connecting(user, visit).watch);
        let cohorts = self.scenario.cohorts.len();
        for channel in &channels {
            let number = self.rooms.len() as u32;
            let room = self.rooms.entry(*channel).or_insert_with(|| {
                self.recorder.with(|r| r.channel(number, &self.scenario.cid(*channel)));
                Room { number, watchers: vec![0; cohorts] }
            });
            room.watchers[usize::from(cohort)] += 1;
        }
        self.recorder.with(|r| {
            r.record_n(of(Metric::Watch, cohort), signed(took), channels.len() as u64);
            r.add(Gauge::Watching, Some(cohort), channels.len() as i64);
        });
        let since = channels.iter().map(|channel| self.service.seq(*channel)).collect();
        self.sit(user, Seat::Here { since });
    }

    /// A user goes. What was published for it is on its way and will arrive.
    fn end_visit(&mut self, user: u64, cohort: Cohort) {
        let seat = self.seat(user).map(std::mem::take).unwrap_or_default();
        let since = match seat {
            Seat::Away | Seat::Joining { .. } => return,
            Seat::Connected { .. } => Box::default(),
            Seat::Here { since } => since,
        };
        let channels = if since.is_empty() { Vec::new() } else { self.scenario.channels_of(user) };
        let mut expected = 0;
        self.recorder.with(|r| {
            for (channel, since) in channels.iter().zip(&since) {
                let last = self.service.seq(*channel);
                let Some(room) = self.rooms.get_mut(channel) else { continue };
                room.watchers[usize::from(cohort)] -= 1;
                if last > *since {
                    expected += last - since;
                    r.cover(room.number, Covered::Watched, since + 1, last);
                }
            }
            if expected > 0 {
                r.count(Counter::Expected, Some(cohort), expected);
            }
            r.add(Gauge::Watching, Some(cohort), -(channels.len() as i64));
            r.add(Gauge::UsersConnected, Some(cohort), -1);
        });
        self.levels.users(-1);
        self.progress.connected.fetch_sub(1, Ordering::Relaxed);
    }

    fn answered(&mut self, cohort: Cohort, kind: Call, took: u64, late: u64) {
        let (metric, counter) = match kind {
            Call::Send => (Metric::Send, Counter::Sent),
            Call::React => (Metric::React, Counter::Acted),
            Call::Typing => (Metric::Typing, Counter::Acted),
            Call::Read => (Metric::Read, Counter::Acted),
        };
        self.recorder.with(|r| {
            record(r, metric, cohort, took + late);
            if kind == Call::Send {
                record(r, Metric::SendService, cohort, took);
            }
            r.count(counter, Some(cohort), 1);
            r.add(Gauge::InFlight, None, -1);
        });
    }

    /// Everybody here who watches a channel is sent an event of it.
    fn publish(&mut self, event: &Published) {
        let Some(room) = self.rooms.get(&event.channel) else { return };
        for (cohort, watchers) in (0..).zip(&room.watchers).filter(|(_, watchers)| **watchers > 0) {
            let Some(key) = event.message else {
                // A reaction: it is counted, and has no latency.
                self.recorder.with(|r| {
                    r.count(Counter::Delivered, Some(cohort), *watchers);
                    r.count(Counter::FramesReceived, Some(cohort), *watchers);
                    r.count(Counter::BytesReceived, Some(cohort), watchers * event.bytes);
                });
                self.levels.frames_came(*watchers);
                continue;
            };
            let sent = self.start + event.at + Duration::from_micros(event.late);
            let place = Place { channel: room.number, number: event.seq, sent };
            let receivers = self.latency.receivers(key, self.worker, cohort, *watchers);
            self.underway.push(Underway::new(event, key, place, cohort, receivers));
        }
    }

    fn planned(&self, cohort: Cohort, by: i64) {
        self.recorder.with(|r| r.add(Gauge::UsersPlanned, Some(cohort), by));
        self.progress.planned.fetch_add(by, Ordering::Relaxed);
    }

    /// Something that was due is started.
    fn started(&self, cohort: Cohort, late: u64) {
        self.recorder.with(|r| {
            r.count(Counter::Due, Some(cohort), 1);
            record(r, Metric::Lag, cohort, late);
        });
    }

    fn count(&self, counter: Counter, cohort: Cohort, n: u64) {
        self.recorder.with(|r| r.count(counter, Some(cohort), n));
    }
}

fn of(metric: Metric, cohort: Cohort) -> Series {
    Series { metric, cohort: Some(cohort) }
}

fn record(r: &mut Recorder, metric: Metric, cohort: Cohort, micros: u64) {
    r.record(of(metric, cohort), signed(micros));
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
