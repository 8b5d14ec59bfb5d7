//! One thread's users and all that they share. Single-threaded: nothing here is ever locked by two.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use client::{Api, Caller};
use measure::{Cohort, Gauge, SplitMix64, Timestamp};
use scenarios::Shard;
use tokio::sync::Notify;

use crate::frames::{Channels, Frames, Head};
use crate::plan::{SharedPlan, Start, apis};
use crate::polled::Line;
use crate::record::Book;
use crate::sockets::Sockets;
use crate::tokens::Identity;
use crate::user::{Action, ChannelId, Effects, Event, User};

/// Of a thread's connections for calls, the share for watching, catching up and settling. Actions have the others to
/// themselves, so that a crowd that joins does not stand in the way of messages.
const ERRANDS: f64 = 0.25;
/// A connection or a call that takes longer has failed.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// A user of the thread, by its number in the thread's shard.
pub(crate) type Local = u32;

/// How many users of a thread are connected, and should be: read by whoever reports progress.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Connected and past the first event.
    pub(crate) connected: AtomicI64,
    /// By the schedule.
    pub(crate) planned: AtomicI64,
    /// When the thread began with the schedule, in nanoseconds of our clock; 0: not yet.
    pub(crate) began: AtomicU64,
}

/// One thread's users.
pub(crate) struct Load {
    /// What they do.
    pub(crate) plan: SharedPlan,
    /// When it begins.
    pub(crate) start: Start,
    /// Which users.
    pub(crate) shard: Shard,
    /// What is measured.
    pub(crate) book: Book,
    /// The API of each endpoint, for actions.
    actions: Vec<Api>,
    /// The same, for everything else.
    errands: Vec<Api>,
    /// Their connections.
    pub(crate) sockets: Sockets,
    /// How many errands to one endpoint there can be at once.
    pub(crate) errands_at_once: usize,
    progress: Arc<Progress>,
    world: RefCell<World>,
    random: Cell<SplitMix64>,
    in_flight: Cell<usize>,
    here: Cell<usize>,
    sessions: Cell<usize>,
    arrived: Cell<u64>,
    closing: Cell<bool>,
    /// Told when one of the three has gone down to zero.
    idle: Notify,
}

#[derive(Default)]
struct World {
    users: Vec<Option<Box<Seat>>>,
    channels: Channels,
    frames: Frames,
}

struct Seat {
    user: User,
    line: Option<Line>,
    /// How many addresses of the service have turned it away: it tries the next each time.
    turned_away: u16,
    /// It was due to join again then, and is still settling its last visit.
    rejoin: Option<Timestamp>,
}

impl Load {
    /// The users of `shard`, none of them here yet.
    ///
    /// # Errors
    /// When the system has no epoll for their connections.
    pub(crate) fn new(
        plan: SharedPlan,
        start: Start,
        shard: Shard,
        book: Book,
        progress: Arc<Progress>,
    ) -> io::Result<Self> {
        let users = usize::try_from(plan.scenario.users_in(shard)).unwrap_or(usize::MAX);
        let world = World { users: std::iter::repeat_with(|| None).take(users).collect(), ..World::default() };
        let random = SplitMix64::of(&[plan.scenario.seed, u64::from(shard.index), u64::from(shard.count)]);
        let calls = usize::try_from(plan.calls).unwrap_or(usize::MAX);
        let errands_at_once = ((calls as f64 * ERRANDS) as usize).max(1);
        Ok(Self {
            actions: apis(&plan, calls.saturating_sub(errands_at_once).max(1), WITHIN),
            errands: apis(&plan, errands_at_once, WITHIN),
            sockets: Sockets::new(users)?,
            errands_at_once,
            plan,
            start,
            shard,
            book,
            progress,
            world: RefCell::new(world),
            random: Cell::new(random),
            in_flight: Cell::new(0),
            here: Cell::new(0),
            sessions: Cell::new(0),
            arrived: Cell::new(0),
            closing: Cell::new(false),
            idle: Notify::new(),
        })
    }

    /// The number in this thread of a user of the run.
    pub(crate) fn local(&self, user: u64) -> Local {
        self.shard.number_of(user) as Local
    }

    /// An instant of the run on our clock.
    pub(crate) fn instant(&self, at: Duration) -> Timestamp {
        self.start.at + at
    }

    /// A number in [0, 1).
    pub(crate) fn random(&self) -> f64 {
        let mut random = self.random.get();
        let unit = random.next_unit();
        self.random.set(random);
        unit
    }

    /// Reads from a user that has joined at least once.
    pub(crate) fn user<T>(&self, local: Local, read: impl FnOnce(&User) -> T) -> Option<T> {
        self.world.borrow().users.get(local as usize)?.as_ref().map(|seat| read(&seat.user))
    }

    /// Whether a user is away as the scenario has it, or has not returned yet after the loss of its worker: what would fall to
    /// it then is done by nobody. Who should be back from being away, and is not, is not meant.
    pub(crate) fn is_away(&self, local: Local) -> bool {
        let world = self.world.borrow();
        let seat = world.users.get(local as usize).and_then(Option::as_ref);
        seat.is_none_or(|seat| seat.user.has_left() && seat.rejoin.is_none())
    }

    /// All users that have joined at least once.
    pub(crate) fn locals(&self) -> Vec<Local> {
        let world = self.world.borrow();
        let known = world.users.iter().enumerate().filter(|(_, seat)| seat.is_some());
        known.map(|(local, _)| local as Local).collect()
    }

    /// Who a user of the run is.
    pub(crate) fn identity(&self, user: u64) -> Identity {
        self.plan.tokens.identity(&self.plan.scenario, user)
    }

    /// The API that a user of the run calls for its actions.
    pub(crate) fn api_for_actions(&self, user: u64) -> &Api {
        &self.actions[self.endpoint_of(user)]
    }

    /// The API that a user of the run calls for everything else.
    pub(crate) fn api_of(&self, user: u64) -> &Api {
        &self.errands[self.endpoint_of(user)]
    }

    /// The endpoint of a user of the run: its own, or the next that has not turned it away.
    fn endpoint_of(&self, user: u64) -> usize {
        let world = self.world.borrow();
        let seat = world.users.get(self.local(user) as usize).and_then(Option::as_ref);
        self.plan.endpoint_of(user, seat.map_or(0, |seat| u64::from(seat.turned_away)))
    }

    /// A user's endpoint is not there: it tries the next one.
    pub(crate) fn turn_away(&self, local: Local) {
        self.with_seat(local, |seat| seat.turned_away = seat.turned_away.wrapping_add(1));
    }

    /// Reads from a channel's state.
    pub(crate) fn cid(&self, channel: ChannelId) -> String {
        self.world.borrow().channels.get(channel).cid.clone()
    }

    /// The channel with this name, if one of the thread's users watches it.
    pub(crate) fn find(&self, cid: &str) -> Option<ChannelId> {
        self.world.borrow().channels.find(cid)
    }

    /// The newest message that a user of the thread has seen in a channel; empty if none.
    pub(crate) fn newest(&self, cid: &str) -> String {
        let world = self.world.borrow();
        world.channels.find(cid).map_or_else(String::new, |id| world.channels.get(id).newest.clone())
    }

    /// Gives a connection to a user.
    pub(crate) fn attach(&self, local: Local, line: Line) {
        self.with_seat(local, |seat| seat.line = Some(line));
    }

    /// The connection of a user.
    pub(crate) fn line(&self, local: Local) -> Option<Line> {
        self.world.borrow().users.get(local as usize)?.as_ref()?.line.clone()
    }

    /// What the connection of a user is called in API calls.
    pub(crate) fn connection_id(&self, local: Local) -> Option<String> {
        match self.line(local)? {
            Line::Socket(id) => self.sockets.name(id),
            Line::Polled(polled) => Some(polled.id.to_string()),
        }
    }

    /// Takes the connection of a user away, if it still is this one.
    pub(crate) fn detach(&self, local: Local, line: &Line) {
        self.with_seat(local, |seat| drop(seat.line.take_if(|known| known.is(line))));
    }

    /// A user joins, for the first time or again.
    pub(crate) fn join(self: &Rc<Self>, user: u64, cohort: Cohort, due: Timestamp) {
        let local = self.local(user);
        {
            let world = &mut *self.world.borrow_mut();
            let channels = &mut world.channels;
            world.users[local as usize].get_or_insert_with(|| {
                let scenario = &self.plan.scenario;
                let watched = scenario.channels_of(user).into_iter().map(|c| {
                    let name = scenario.cid(c);
                    let channel = channels.intern(name.clone());
                    self.book.channel(channel, &name);
                    channel
                });
                Box::new(Seat { user: User::new(user, cohort, watched), line: None, turned_away: 0, rejoin: None })
            });
        }
        if self.user(local, User::is_here) == Some(true) {
            // It joins as soon as it has settled; that it is late will show in the time to connect.
            return self.with_seat(local, |seat| seat.rejoin = Some(due));
        }
        self.here.set(self.here.get() + 1);
        self.step_due(local, Event::Join, due);
    }

    /// A user's visit is over.
    pub(crate) fn leave(self: &Rc<Self>, user: u64, cohort: Cohort) {
        let local = self.local(user);
        let mut never_came = false;
        self.with_seat(local, |seat| never_came = seat.rejoin.take().is_some());
        if never_came {
            return self.book.dropped(cohort);
        }
        self.step(local, Event::Leave);
    }

    /// From now on nobody joins.
    pub(crate) fn close(&self) {
        self.closing.set(true);
    }

    fn with_seat(&self, local: Local, change: impl FnOnce(&mut Seat)) {
        if let Some(Some(seat)) = self.world.borrow_mut().users.get_mut(local as usize) {
            change(seat);
        }
    }

    /// A user has settled: it may be due to be back already.
    fn left(self: &Rc<Self>, local: Local, cohort: Cohort) {
        less(&self.here, &self.idle);
        if self.user(local, User::is_drained) == Some(true) {
            // Not expected to be connected any more; whose visit was over was taken out by the schedule.
            self.planned(cohort, -1);
        }
        let mut rejoin = None;
        self.with_seat(local, |seat| rejoin = seat.rejoin.take());
        match rejoin {
            Some(_) if self.closing.get() => self.planned(cohort, -1),
            Some(due) => {
                self.here.set(self.here.get() + 1);
                self.step_due(local, Event::Join, due);
            }
            None => {}
        }
    }

    /// A message came for a user, of so many bytes before it was inflated.
    pub(crate) fn frame(self: &Rc<Self>, local: Local, epoch: u32, bytes: &[u8], sent: usize, at: Timestamp) {
        let world = &mut *self.world.borrow_mut();
        let Some(seat) = world.users[local as usize].as_mut() else { return };
        let (user, cohort) = (seat.user.index, seat.user.cohort);
        let Some(head) = world.frames.head(bytes, &mut world.channels) else {
            return self.book.unreadable(cohort, sent);
        };
        let Head { channel: Some(channel), seq: Some(seq), .. } = head else {
            // Without a number nothing can be missing or repeated.
            return self.book.frame(cohort, sent, &head, true, at);
        };
        let was_online = seat.user.is_online();
        let effects = seat.user.step(Event::Frame { epoch, channel, seq }, 0.0);
        let online = seat.user.is_online();
        self.book.frame(cohort, sent, &head, effects.fresh, at);
        self.arrived.set(self.arrived.get() + u64::from(effects.fresh));
        if effects.actions.is_empty() {
            // The hot path: nothing to be done but counted.
            return self.book.account(user, cohort, effects.tally, effects.notes, at);
        }
        // Actions may look at the world themselves.
        let me = Rc::clone(self);
        tokio::task::spawn_local(async move { me.carry_out(local, (user, cohort), (was_online, online), effects, at) });
    }

    /// Something happened to a user.
    pub(crate) fn step(self: &Rc<Self>, local: Local, event: Event) {
        self.step_due(local, event, self.book.now());
    }

    fn step_due(self: &Rc<Self>, local: Local, event: Event, due: Timestamp) {
        let random = self.random();
        let stepped = {
            let mut world = self.world.borrow_mut();
            let Some(seat) = world.users.get_mut(local as usize).and_then(Option::as_mut) else { return };
            let before = seat.user.is_online();
            let effects = seat.user.step(event, random);
            ((seat.user.index, seat.user.cohort), (before, seat.user.is_online()), effects)
        };
        let (who, online, effects) = stepped;
        self.carry_out(local, who, online, effects, due);
    }

    fn carry_out(
        self: &Rc<Self>,
        local: Local,
        (user, cohort): (u64, Cohort),
        (before, now): (bool, bool),
        effects: Effects,
        due: Timestamp,
    ) {
        self.book.account(user, cohort, effects.tally, effects.notes, self.book.now());
        self.book.unsettled(cohort, effects.unsettled);
        self.book.add(Gauge::Watching, Some(cohort), effects.watching);
        let by = i64::from(now) - i64::from(before);
        self.book.add(Gauge::UsersConnected, Some(cohort), by);
        self.progress.connected.fetch_add(by, Ordering::Relaxed);
        for action in effects.actions {
            if action == Action::Left {
                self.left(local, cohort);
            } else {
                self.perform(local, action, due);
            }
        }
    }

    /// The thread begins with the schedule.
    pub(crate) fn begins(&self) {
        self.progress.began.store(self.book.now().as_nanos(), Ordering::Relaxed);
    }

    /// More or fewer users should be connected now.
    pub(crate) fn planned(&self, cohort: Cohort, by: i64) {
        self.book.add(Gauge::UsersPlanned, Some(cohort), by);
        self.progress.planned.fetch_add(by, Ordering::Relaxed);
    }

    /// Events that have reached a user for the first time.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.get()
    }

    /// Calls on their way, for actions.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// One call more is on its way, until the guard is dropped.
    pub(crate) fn flight(self: &Rc<Self>) -> Guard {
        self.in_flight.set(self.in_flight.get() + 1);
        self.book.add(Gauge::InFlight, None, 1);
        Guard { load: Rc::clone(self), what: Counted::Flight }
    }

    /// One connection more is being made, until the guard is dropped.
    pub(crate) fn session(self: &Rc<Self>) -> Guard {
        self.opened();
        Guard { load: Rc::clone(self), what: Counted::Session }
    }

    /// One connection more is open.
    pub(crate) fn opened(&self) {
        self.sessions.set(self.sessions.get() + 1);
    }

    /// One connection less is open.
    pub(crate) fn shut(&self) {
        less(&self.sessions, &self.idle);
    }

    /// Waits until no call is on its way.
    pub(crate) async fn calm(&self) {
        self.wait(&self.in_flight).await;
    }

    /// Waits until no user is here.
    pub(crate) async fn empty(&self) {
        self.wait(&self.here).await;
    }

    /// Waits until all connections are closed.
    pub(crate) async fn closed(&self) {
        self.wait(&self.sessions).await;
    }

    async fn wait(&self, count: &Cell<usize>) {
        loop {
            let told = self.idle.notified();
            if count.get() == 0 {
                return;
            }
            told.await;
        }
    }
}

/// Counts something down when dropped.
pub(crate) struct Guard {
    load: Rc<Load>,
    what: Counted,
}

enum Counted {
    Flight,
    Session,
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.what {
            Counted::Flight => {
                self.load.book.add(Gauge::InFlight, None, -1);
                less(&self.load.in_flight, &self.load.idle);
            }
            Counted::Session => self.load.shut(),
        }
    }
}

fn less(count: &Cell<usize>, idle: &Notify) {
    count.set(count.get().saturating_sub(1));
    if count.get() == 0 {
        idle.notify_waiters();
    }
}

/// The caller of a user's calls.
pub(crate) fn caller(identity: &Identity) -> Caller<'_> {
    Caller::new(&identity.token)
}
