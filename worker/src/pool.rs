//! The threads that hold the users: one for each core, nothing shared between them on the way.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use agent::{Known, Timer};
use futures_util::FutureExt as _;
use measure::{Cohort, Recorder, SharedRecorder, Timestamp};
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until, timeout};

use crate::drain;
use crate::driver::Driver;
use crate::load::{Load, Progress};
use crate::plan::{SharedPlan, Start};
use crate::record::Book;
use crate::{session, sockets};

/// How long users may take to settle at the end, as long as events still reach some of them.
const DRAIN: Duration = Duration::from_secs(60);
/// How long they may take while none arrives: what a busy service had queued would come by then.
const SILENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether any has arrived.
const LOOK: Duration = Duration::from_secs(1);
/// How long goodbyes may take after that.
const GOODBYE: Duration = Duration::from_secs(2);

/// A run's threads.
#[derive(Debug)]
pub struct Pool {
    handle: Handle,
}

/// What can be asked of the threads while they run.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Set to stop: how long users may take to settle.
    stop: Arc<watch::Sender<Option<Duration>>>,
    threads: Arc<Mutex<Threads>>,
}

#[derive(Debug, Default)]
struct Threads {
    progress: Vec<Arc<Progress>>,
    /// Those that have not been waited for.
    ends: Vec<oneshot::Receiver<Result<(), String>>>,
    /// All have: there will be no more.
    closed: bool,
}

impl Handle {
    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one thread for each recorder, for the plan's share; they stamp by what is known of the run's clock.
    ///
    /// # Errors
    /// When the run ends, or the system gives no more threads. Those that it did give go on.
    pub fn add(
        &self,
        plan: &SharedPlan,
        start: Start,
        known: &watch::Receiver<Known>,
        recorders: &[SharedRecorder],
    ) -> io::Result<()> {
        let mut pool = self.threads();
        let stopped = self.stop.subscribe();
        if pool.closed || stopped.borrow().is_some() {
            return Err(io::Error::other("the run ends here"));
        }
        let threads = recorders.len() as u32;
        for (number, recorder) in (0..threads).zip(recorders) {
            let progress = Arc::new(Progress::default());
            let book = Book::new(recorder.clone(), plan.clock.clone(), known.clone());
            let (plan, shared, stopped) = (Arc::clone(plan), Arc::clone(&progress), stopped.clone());
            let (ended, end) = oneshot::channel();
            let work = move || {
                let shard = plan.share(number, threads);
                let load = Load::new(plan, start, shard, book, shared);
                let load = load.map_err(|e| format!("no room for the connections of a thread of users: {e}"));
                // Nobody may be waiting any more.
                let _ = ended.send(load.and_then(|load| thread(Rc::new(load), stopped)));
            };
            Builder::new().name(format!("users-{number}")).spawn(work)?;
            pool.progress.push(progress);
            pool.ends.push(end);
        }
        Ok(())
    }

    /// Users that are connected, and that should be.
    pub fn progress(&self) -> (u64, u64) {
        self.threads().progress.iter().fold((0, 0), |(connected, planned), p| {
            let read = |n: &AtomicI64| n.load(Ordering::Relaxed).max(0).unsigned_abs();
            (connected + read(&p.connected), planned + read(&p.planned))
        })
    }

    /// When the last thread began with the schedule, on our clock; nothing as long as one has not.
    pub fn began(&self) -> Option<Timestamp> {
        let threads = self.threads();
        let began = threads.progress.iter().map(|p| p.began.load(Ordering::Relaxed));
        began.min().filter(|first| *first > 0)?;
        threads.progress.iter().map(|p| Timestamp::from_nanos(p.began.load(Ordering::Relaxed))).max()
    }

    /// Begins nothing more, and lets users settle for at most `within`. Of several calls the shortest counts.
    pub fn stop(&self, within: Duration) {
        self.stop.send_modify(|stop| *stop = Some(stop.map_or(within, |earlier| earlier.min(within))));
    }
}

impl Pool {
    /// Recorders for `threads` threads, whose first interval begins at the run's start.
    pub fn recorders(plan: &SharedPlan, threads: u32, start: Start) -> Vec<SharedRecorder> {
        let cohorts = plan.scenario.cohorts.len();
        (0..threads).map(|_| SharedRecorder::new(Recorder::new(cohorts, start.at))).collect()
    }

    /// Starts one thread for each recorder; see [`Handle::add`].
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start(
        plan: &SharedPlan,
        start: Start,
        known: &watch::Receiver<Known>,
        recorders: &[SharedRecorder],
    ) -> io::Result<Self> {
        let handle = Handle { stop: Arc::new(watch::Sender::new(None)), threads: Arc::default() };
        handle.add(plan, start, known, recorders)?;
        Ok(Self { handle })
    }

    /// For whoever watches over the threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until all threads are done.
    ///
    /// # Errors
    /// In words, what went wrong in a thread.
    pub async fn finished(&mut self) -> Result<(), String> {
        loop {
            // Held for a moment only: others may be added while this one is waited for.
            let next = {
                let mut threads = self.handle.threads();
                threads.closed = threads.ends.is_empty();
                threads.ends.pop()
            };
            let Some(end) = next else { return Ok(()) };
            end.await.unwrap_or_else(|_| Err("a thread of users ended unexpectedly".into()))?;
        }
    }
}

fn thread(load: Rc<Load>, stop: watch::Receiver<Option<Duration>>) -> Result<(), String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("no event loop for a thread of users: {e}"))?;
    LocalSet::new().block_on(&runtime, run(load, stop))
}

async fn run(load: Rc<Load>, mut stop: watch::Receiver<Option<Duration>>) -> Result<(), String> {
    spawn_local(session::sweep(Rc::clone(&load)));
    let served = spawn_local(sockets::serve(Rc::clone(&load)));
    let driven = drive(&load, &mut stop).await;
    load.close();
    let settled = tokio::select! {
        () = drain::drain(&load) => true,
        () = deadline(&load, &mut stop) => false,
    };
    if !settled {
        drain::give_up(&load);
    }
    // Who doesn't say goodbye in time is left without one.
    let _ = timeout(GOODBYE, load.closed()).await;
    if let Some(Ok(Err(error))) = served.now_or_never() {
        return Err(format!("the connections of a thread of users could not be read: {error}"));
    }
    driven.map_err(|e| format!("no timer for the schedule: {e}"))
}

/// The open loop: starts what is due, when it is due, until the run's end or a stop.
async fn drive(load: &Rc<Load>, stop: &mut watch::Receiver<Option<Duration>>) -> io::Result<()> {
    let timer = Timer::new(load.plan.clock.clone())?;
    let mut driver = Driver::new(&load.plan.scenario, load.shard);
    let end = load.plan.scenario.timeline().end;
    tokio::select! {
        woken = timer.until(load.start.at) => woken?,
        _ = stop.changed() => return Ok(()),
    }
    if let Some(taken) = load.plan.taken_over {
        let apart = |cohort: Cohort, number| {
            taken.returns_after(&load.plan.scenario.cohorts[usize::from(cohort)], load.shard, number)
        };
        driver.take_up(|| load.book.now().since(load.start.at), apart);
    }
    load.begins();
    loop {
        let next = driver.next_at().unwrap_or(end);
        tokio::select! {
            woken = timer.until(load.instant(next)) => woken?,
            // Without a sender nobody wants the run any more.
            _ = stop.changed() => return Ok(()),
        }
        let now = load.book.now().since(load.start.at);
        while let Some(due) = driver.pop(now) {
            load.due(&due);
        }
        if driver.next_at().is_none() && now >= end {
            return Ok(());
        }
    }
}

/// Waits until draining has taken too long: 60 s, 10 s without an event, or what a stop allows.
async fn deadline(load: &Load, stop: &mut watch::Receiver<Option<Duration>>) {
    let begun = Instant::now();
    let (mut arrived, mut heard) = (load.arrived(), begun);
    loop {
        let within = stop.borrow_and_update().unwrap_or(DRAIN).min(DRAIN);
        let (now, end) = (Instant::now(), (begun + within).min(heard + SILENCE));
        if now >= end {
            return;
        }
        tokio::select! {
            () = sleep_until(end.min(now + LOOK)) => if load.arrived() != arrived {
                (arrived, heard) = (load.arrived(), Instant::now());
            },
            changed = stop.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
