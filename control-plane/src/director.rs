//! The shell around the core: one task that owns all state. Whatever happens comes in through one bounded queue; what
//! the core wants done goes out to streams and to tasks whose answers come back the same way.

mod commands;
mod effects;
mod restart;
mod views;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use measure::Clock;
use proto::control::{AgentOrder, Hello, StopRequest, SubmitRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use crate::core::{Core, Input};
use crate::courier::News;
use crate::data_plane::DataPlane;
use crate::fleet::Connection;
use crate::limits::Limits;
use crate::record::Record;
use crate::run::{AgentEvent, Event, Plan, RunState};
use crate::store::Store;
use crate::view::{AgentView, RunView};

/// Commands that wait for the director. Whoever sends one more waits, each with a deadline of its own.
const COMMANDS_MAX: usize = 1_024;
/// Orders that wait for one agent; an agent that reads so slowly is cut off.
pub(crate) const ORDERS_MAX: usize = 64;
/// A call waits so long for the director's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Without anything to do the director looks around so often.
const IDLE: Duration = Duration::from_secs(1);

/// What the director is told or asked. It holds secrets, so it has no `Debug`.
pub(crate) enum Command {
    Join(Box<Hello>, mpsc::Sender<AgentOrder>, oneshot::Sender<Connection>),
    Report(Connection, Option<(String, AgentEvent)>),
    BrokeOff(Connection),
    Submit(Box<SubmitRequest>, Box<Plan>, oneshot::Sender<Result<Submitted, SubmitError>>),
    Stop(StopRequest, oneshot::Sender<Option<RunState>>),
    Drain(String, oneshot::Sender<Result<Option<String>, String>>),
    Watch(String, oneshot::Sender<Result<mpsc::Receiver<RunView>, WatchError>>),
    Fleet(oneshot::Sender<Vec<AgentView>>),
    Runs(oneshot::Sender<Vec<RunView>>),
    Run(String, oneshot::Sender<Option<RunView>>),
}

/// A run was queued.
pub(crate) struct Submitted {
    pub(crate) run: String,
    pub(crate) dir: String,
}

/// Why a run was not queued.
pub(crate) enum SubmitError {
    /// There is such a run.
    Exists(String),
    /// Too many wait.
    Full(String),
    /// The control plane is ending.
    Ending,
}

/// Why a run can't be watched.
pub(crate) enum WatchError {
    /// There is no such run.
    Unknown,
    /// So many watch already.
    Full,
}

/// How everybody else talks to the director.
#[derive(Clone)]
pub(crate) struct Handle(mpsc::Sender<Command>);

/// The director is gone, or has too much to do.
#[derive(Debug)]
pub(crate) struct Unanswered;

impl Handle {
    /// Tells the director something.
    pub(crate) async fn tell(&self, command: Command) -> Result<(), Unanswered> {
        self.0.send_timeout(command, ANSWER).await.map_err(|_| Unanswered)
    }

    /// Asks the director something.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        tokio::time::timeout(ANSWER, answer).await.ok().and_then(Result::ok).ok_or(Unanswered)
    }
}

/// See the module.
pub(crate) struct Director {
    core: Core,
    clock: Clock,
    limits: Limits,
    clock_id: String,
    data_plane: DataPlane,
    data_plane_address: String,
    store: Store,
    commands: mpsc::Receiver<Command>,
    news: mpsc::Receiver<(String, News)>,
    tell_news: mpsc::Sender<(String, News)>,
    streams: HashMap<Connection, mpsc::Sender<AgentOrder>>,
    next_connection: Connection,
    records: BTreeMap<String, Record>,
    earlier: Vec<RunView>,
    /// Runs whose watchers want to hear of a change.
    changed: Vec<String>,
    ending: bool,
}

impl Director {
    pub(crate) fn new(
        limits: Limits,
        clock: Clock,
        data_plane: DataPlane,
        data_plane_address: String,
        store: Store,
    ) -> (Self, Handle) {
        let clock_id = measure::clock::host_clock_id();
        let (handle, commands) = mpsc::channel(COMMANDS_MAX);
        let (tell_news, news) = mpsc::channel(COMMANDS_MAX);
        let (earlier, unfinished) = store.earlier(&clock_id);
        let mut director = Self {
            core: Core::new(limits, clock_id.clone()),
            clock,
            limits,
            clock_id,
            data_plane,
            data_plane_address,
            store,
            commands,
            news,
            tell_news,
            streams: HashMap::new(),
            next_connection: 1,
            records: BTreeMap::new(),
            earlier,
            changed: Vec::new(),
            ending: false,
        };
        director.take_up(unfinished);
        (director, Handle(handle))
    }

    /// Directs until `shutdown`. Where runs are kept, it leaves then as a kill would have it, at once: the next life takes
    /// them up. Otherwise it stops what runs, and ends when all has ended or the deadline has passed.
    pub(crate) async fn direct(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut second = interval(Duration::from_secs(1));
        let mut heartbeat = interval((self.limits.lease / proto::BEATS_A_LEASE).max(Duration::from_millis(10)));
        for timer in [&mut second, &mut heartbeat] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
        }
        let mut end = tokio::time::Instant::now();
        self.resume();
        while !self.ending || (self.is_busy() && tokio::time::Instant::now() < end) {
            let wake = self.core.deadline().map_or(IDLE, |at| at.since(self.clock.now()).min(IDLE));
            tokio::select! {
                () = &mut shutdown, if !self.ending => {
                    if self.store.keeps() {
                        tracing::info!("the runs go on without the control plane; it takes them up when it is started again");
                        return;
                    }
                    self.ending = true;
                    end = tokio::time::Instant::now() + self.limits.shutdown;
                    self.stop_all();
                }
                Some(command) = self.commands.recv() => self.command(command),
                Some((run, news)) = self.news.recv() => self.hear(run, news),
                _ = heartbeat.tick() => self.send_heartbeats(),
                _ = second.tick() => self.mark_alive_changed(),
                () = sleep(wake) => self.step(Input::Tick),
                () = sleep_until(end), if self.ending => {}
            }
            self.update_watchers();
        }
        self.let_watchers_read(end).await;
    }

    fn is_busy(&self) -> bool {
        self.core.runs().any(|(_, run)| run.state() != RunState::Ended)
    }

    fn stop_all(&mut self) {
        let alive = self.core.runs().filter(|(_, run)| run.state() != RunState::Ended);
        // Those that wait go first, so that none of them gets a turn when the one under way has ended.
        let alive: Vec<String> = alive.map(|(id, _)| id.clone()).rev().collect();
        for id in alive {
            let reason = "the control plane was told to end".to_owned();
            self.step(Input::Run(id, Event::Stop { reason, interrupted: true, invalid: false, hurry: true }));
        }
    }

    /// The last updates are on their way; a stream ends when its sender is dropped.
    async fn let_watchers_read(&mut self, end: tokio::time::Instant) {
        while self.records.values().any(|r| !r.watchers.is_empty()) && tokio::time::Instant::now() < end {
            self.changed.extend(self.records.keys().cloned());
            self.update_watchers();
            sleep(Duration::from_millis(20)).await;
        }
    }
}
