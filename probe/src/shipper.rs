//! Takes what a process records once a second and ships it, until the data plane has all of it.

use std::fs::File;
use std::future::Future;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::Known;
use measure::{Clock, Course, Gauge, Interval, Recorder, SharedRecorder, Timestamp};
use proto::telemetry::SourceHello;
use rustix::process::nice;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ledger::{Account, Ledger};
use crate::spool::{Spool, SpoolLimits};
use crate::{host, stream};

/// How far the thread that samples gives way, as `nice` counts: to a tenth of the weight of whoever else wants the
/// processor.
const NICENESS: i32 = 10;

/// A data plane that has acknowledged nothing for so long is not waited for at the end of a run …
const SILENT_MAX: Duration = Duration::from_secs(20);
/// … but for so long at least.
const WAITED_MIN: Duration = Duration::from_secs(5);

/// Something that adds to a recorder once a second: levels, counts since the last time.
pub type Sampler = Box<dyn FnMut(&mut Recorder) + Send>;

/// One source of measurements.
pub struct Source {
    /// Unique in the run: `worker-1`, `probe-1`, `node-1`.
    pub name: String,
    /// `worker`, `probe`, `node`.
    pub kind: String,
    /// Its host.
    pub host: String,
    /// Cores of its host.
    pub cores: u32,
    /// What its threads record into.
    pub recorders: Vec<SharedRecorder>,
    /// What is asked once a second.
    pub samplers: Vec<Sampler>,
}

/// What a shipper must be told.
pub struct ShipperConfig {
    /// The data plane's address: `127.0.0.1:4317` or `http://…`.
    pub data_plane: String,
    /// How it is reached.
    pub links: tls::Links,
    /// The run.
    pub run: String,
    /// When the run starts, on the run's clock (the control plane's).
    pub start: Timestamp,
    /// The run's clock against this process's.
    pub known: watch::Receiver<Known>,
    /// The sources; at least one. The first one's name is the stream's.
    pub sources: Vec<Source>,
    /// Where to keep what is not acknowledged.
    pub spool: SpoolLimits,
    /// The sources are simulated: each taking brings them to the next whole second of the run, however late it comes. So no
    /// second is left out, and none has what belongs to another.
    pub simulated: bool,
}

/// Recorders that came later.
type Added = Arc<Mutex<Vec<SharedRecorder>>>;

/// What waits for the data plane, shared by the task that samples and the one that ships.
#[derive(Debug)]
pub(crate) struct Shared {
    ledger: Mutex<Ledger>,
    /// There is something to ship.
    pub(crate) more: Notify,
    /// Everything is closed, or never will be.
    pub(crate) end: watch::Sender<Option<End>>,
    /// When the data plane last acknowledged something.
    pub(crate) heard: watch::Sender<Option<Instant>>,
}

/// How shipping ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The data plane has everything.
    Closed,
    /// The data plane wants no more, as it says.
    Refused(String),
}

impl Shared {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not everything reached the data plane.
#[derive(Debug, thiserror::Error)]
#[error("{waiting} intervals did not reach the data plane: {reason}{}", where_they_are(self.kept.as_deref()))]
pub struct Unshipped {
    /// Intervals that were not acknowledged.
    pub waiting: usize,
    /// Why.
    pub reason: String,
    /// What was recorded.
    pub accounts: Vec<Account>,
    /// Where those intervals are now.
    pub kept: Option<PathBuf>,
}

/// What a person can do about it.
fn where_they_are(kept: Option<&Path>) -> String {
    let dir = proto::kept::DIR;
    kept.map(|path| {
        let path = path.display();
        format!("; they are kept in {path}, which `throng report` reads in the directory {dir} of the run's")
    })
    .unwrap_or_default()
}

/// Ships for one run.
#[derive(Debug)]
pub struct Shipper {
    shared: Arc<Shared>,
    hellos: Vec<SourceHello>,
    /// Where to keep what could not be shipped.
    keep: PathBuf,
    /// Told when the last interval has been taken.
    sampling: oneshot::Receiver<()>,
    stop_sampling: CancellationToken,
    /// What the first source records into beside what it began with.
    added: Added,
    /// Ends both tasks when the shipper is dropped.
    _all: DropGuard,
}

impl Shipper {
    /// Starts to sample, on a thread of its own, and to ship, in a task of the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: ShipperConfig, clock: Clock) -> Self {
        let machine = if config.simulated { String::new() } else { host::machine() };
        let hellos: Vec<SourceHello> = config.sources.iter().map(|s| hello(&config.run, s, &machine)).collect();
        let stem = format!("{}-{}", config.run, hellos.first().map_or("none", |h| h.source.as_str()));
        let spool = Spool::new(config.spool.clone(), &stem);
        let ledger = Mutex::new(Ledger::new(spool, hellos.iter().map(|h| h.source.clone())));
        let (end, heard) = (watch::Sender::new(None), watch::Sender::new(None));
        let shared = Arc::new(Shared { ledger, more: Notify::new(), end, heard });
        let keep = proto::kept::path(&config.spool.dir, &stem);
        let all = CancellationToken::new();
        let stop_sampling = all.child_token();
        let shipping = stream::ship(config.data_plane.clone(), config.links.clone(), hellos.clone(), shared.clone());
        let ended = all.clone();
        tokio::spawn(async move {
            tokio::select! { () = shipping => {}, () = ended.cancelled() => {} }
        });
        let added = Added::default();
        let sampling = modestly(sample(config, clock, shared.clone(), added.clone(), stop_sampling.clone()));
        Self { shared, hellos, keep, sampling, stop_sampling, added, _all: all.drop_guard() }
    }

    /// Takes what these record from now on with the first source's intervals.
    pub fn add(&self, recorders: Vec<SharedRecorder>) {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).extend(recorders);
    }

    /// Takes the last, partial interval, says goodbye, and waits until the data plane has everything.
    ///
    /// # Errors
    /// When it doesn't have everything at the deadline, or wants no more.
    pub async fn finish(self, deadline: Instant) -> Result<Vec<Account>, Unshipped> {
        self.finish_or(deadline, std::future::pending()).await
    }

    /// The same with an earlier deadline, from when `sooner` says so: what waits then is kept in time.
    ///
    /// # Errors
    /// When it doesn't have everything at the deadline, or wants no more.
    pub async fn finish_or(
        mut self,
        deadline: Instant,
        sooner: impl Future<Output = Instant>,
    ) -> Result<Vec<Account>, Unshipped> {
        self.stop_sampling.cancel();
        let sampled = tokio::time::timeout_at(deadline, &mut self.sampling).await;
        self.shared.ledger().finish();
        self.shared.more.notify_one();
        let (ended, deadline) = tokio::select! {
            ended = self.ended(deadline) => (ended, deadline),
            sooner = sooner => (self.ended(deadline.min(sooner)).await, deadline.min(sooner)),
        };
        let (waiting, accounts) = (self.waiting(), self.accounts());
        let reason = match (sampled, ended) {
            (Ok(Ok(())), Some(End::Closed)) => return Ok(accounts),
            // Its report is written, and would not have them any more.
            (_, Some(End::Refused(reason))) => return Err(Unshipped { waiting, reason, accounts, kept: None }),
            (_, Some(End::Closed)) => "the last interval could not be taken".to_owned(),
            (_, None) if Instant::now() < deadline => "it is silent".to_owned(),
            (_, None) => "the deadline has passed".to_owned(),
        };
        let kept = self.keep().await;
        Err(Unshipped { waiting, reason, accounts, kept })
    }

    /// How shipping ended; `None` if it doesn't, until the deadline or because the data plane is silent.
    async fn ended(&self, deadline: Instant) -> Option<End> {
        let (mut end, mut heard) = (self.shared.end.subscribe(), self.shared.heard.subscribe());
        let at_least = Instant::now() + WAITED_MIN;
        loop {
            let silent_until = heard.borrow_and_update().map_or(at_least, |last| at_least.max(last + SILENT_MAX));
            tokio::select! {
                ended = end.wait_for(Option::is_some) => return ended.ok().and_then(|end| end.clone()),
                _ = heard.changed() => {}
                () = tokio::time::sleep_until(deadline.min(silent_until)) => return None,
            }
        }
    }

    /// Keeps what could not be shipped; where.
    async fn keep(&self) -> Option<PathBuf> {
        let (shared, hellos, path) = (self.shared.clone(), self.hellos.clone(), self.keep.clone());
        let kept = tokio::task::spawn_blocking(move || {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let mut out = BufWriter::new(File::create(&path)?);
            shared.ledger().keep(&hellos, &mut out).map(|()| path)
        });
        let kept = kept.await.map_err(io::Error::other).flatten();
        kept.inspect_err(|error| tracing::error!(%error, "what did not reach the data plane can't be kept")).ok()
    }

    /// What was recorded so far, by source.
    pub fn accounts(&self) -> Vec<Account> {
        self.shared.ledger().accounts()
    }

    /// Intervals that wait for an acknowledgement; more than a few mean that the data plane is away.
    pub fn waiting(&self) -> usize {
        self.shared.ledger().waiting()
    }
}

/// Runs a future on a thread of its own that gives way to those who are being timed: packing a second's intervals is the
/// longest piece of work in a worker, and a frame that waits behind it would show as latency of the service. Answers when
/// it is done; dropped without an answer if the system gives no thread.
fn modestly(work: impl Future<Output = ()> + Send + 'static) -> oneshot::Receiver<()> {
    let (done, is_done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("sampling".into()).spawn(move || {
        // Of this thread alone, on Linux. Where it is refused everything works, and is only less exact.
        if let Err(error) = nice(NICENESS) {
            tracing::debug!(%error, "sampling runs at the same priority as everything else");
        }
        // Its own timers, so that it needs nobody of its process to be on time.
        match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(work),
            Err(error) => tracing::error!(%error, "no event loop to take measurements with"),
        }
        // Nobody may be waiting any more.
        let _ = done.send(());
    });
    if let Err(error) = thread {
        tracing::error!(%error, "no thread to take measurements with");
    }
    is_done
}

fn hello(run: &str, source: &Source, machine: &str) -> SourceHello {
    SourceHello {
        run: run.to_owned(),
        source: source.name.clone(),
        kind: source.kind.clone(),
        host: source.host.clone(),
        cores: source.cores,
        version: proto::VERSION.to_owned(),
        machine: machine.to_owned(),
    }
}

async fn sample(config: ShipperConfig, clock: Clock, shared: Arc<Shared>, added: Added, stop: CancellationToken) {
    let mut takers: Vec<Taker> = config.sources.into_iter().map(|s| Taker::new(s, config.start, clock.now())).collect();
    let mut take_all = |now: Timestamp, known: &Known| {
        let added = std::mem::take(&mut *added.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(first) = takers.first_mut() {
            first.source.recorders.extend(added);
        }
        for (index, taker) in takers.iter_mut().enumerate() {
            let interval = taker.take(now, known);
            shared.ledger().seal(index, interval);
        }
        shared.more.notify_one();
    };
    let mut taken = 0;
    loop {
        let Known { course, .. } = *config.known.borrow();
        let now = clock.now();
        let next = if config.simulated {
            config.start + Duration::from_secs(taken + 1)
        } else {
            boundary_after(config.start, course.to_theirs(now))
        };
        let boundary = course.to_ours(next);
        // What is due is taken first, also when there is an end to it: a simulated second that came late, or several.
        if now < boundary {
            if stop.is_cancelled() {
                break;
            }
            tokio::select! {
                // By the host's clock, which timers follow: a rehearsal's is faster.
                () = tokio::time::sleep(clock.on_host(boundary).since(clock.on_host(now))) => {}
                () = stop.cancelled() => continue,
            }
        }
        // A timer may fire early by its resolution; then what is left is slept.
        let now = clock.now();
        if now >= boundary {
            let known = *config.known.borrow();
            take_all(if config.simulated { boundary } else { now }, &known);
            taken += 1;
        }
    }
    let known = *config.known.borrow();
    take_all(clock.now(), &known);
}

/// The first instant after `now` that is a whole number of seconds, at least one, after `start`.
fn boundary_after(start: Timestamp, now: Timestamp) -> Timestamp {
    let second = Duration::from_secs(1);
    let whole = now.since(start).as_secs();
    start + second * u32::try_from(whole).unwrap_or(u32::MAX).saturating_add(1)
}

/// Makes one interval of all that a source's threads recorded.
struct Taker {
    source: Source,
    sampled: Recorder,
    /// On the run's clock.
    taken_until: Timestamp,
    /// When it was taken last, on our clock, and by which course.
    before: (Timestamp, Course),
}

impl Taker {
    fn new(source: Source, start: Timestamp, now: Timestamp) -> Self {
        Self { source, sampled: Recorder::new(0, now), taken_until: start, before: (now, Course::SAME_CLOCK) }
    }

    fn take(&mut self, now: Timestamp, known: &Known) -> Interval {
        for sampler in &mut self.source.samplers {
            sampler(&mut self.sampled);
        }
        self.testify(now, known);
        let mut interval = self.sampled.take(now);
        for recorder in &self.source.recorders {
            interval.merge(&recorder.take(now));
        }
        // A course never runs backwards; but the run's start may lie after the first interval's end.
        let until = known.course.to_theirs(now).max(self.taken_until);
        interval.start = Some(std::mem::replace(&mut self.taken_until, until));
        interval.end = Some(until);
        interval
    }

    /// Says how the clock stood: the offset now, and the largest bound since the last time. Both courses are straight but
    /// for one bend, so that their bounds are largest at an end.
    fn testify(&mut self, now: Timestamp, known: &Known) {
        let (then, before) = std::mem::replace(&mut self.before, (now, known.course));
        let ends = [before.at(then), before.at(now), known.course.at(then), known.course.at(now)];
        let bound = ends.iter().map(|offset| offset.bound).max().unwrap_or(0);
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (gauge, level) in [
            (Gauge::ClockOffsetNanos, known.course.at(now).nanos),
            (Gauge::ClockBoundNanos, whole(bound)),
            (Gauge::ClockDriftPpb, known.course.drift()),
            (Gauge::ClockExchanges, whole(known.exchanges)),
            (Gauge::ClockJumps, whole(known.jumps)),
        ] {
            self.sampled.set(gauge, None, level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::{Estimate, Offset};

    #[test]
    fn boundaries_are_whole_seconds_after_the_start() {
        let start = Timestamp::from_nanos(5_500_000_000);
        let after = |nanos| boundary_after(start, Timestamp::from_nanos(nanos)).as_nanos();
        assert_eq!(after(1_000_000_000), 6_500_000_000, "before the start: its first second ends first");
        assert_eq!(after(5_500_000_000), 6_500_000_000);
        assert_eq!(after(6_499_999_999), 6_500_000_000);
        assert_eq!(after(6_500_000_000), 7_500_000_000);
        assert_eq!(after(9_700_000_000), 10_500_000_000, "boundaries that were slept through are left out");
    }

    #[test]
    fn a_source_is_one_interval_on_the_runs_clock() {
        let shared = |n: u64| {
            let recorder = SharedRecorder::new(Recorder::new(1, Timestamp::from_nanos(0)));
            recorder.with(|r| r.set(Gauge::UsersConnected, Some(0), n as i64));
            (0..n).for_each(|_| recorder.with(|r| r.record(measure::Metric::Send, 5)));
            recorder
        };
        let sampler: Sampler = Box::new(|r| r.count(measure::Counter::Published, None, 2));
        let source = Source {
            name: "w".into(),
            kind: "worker".into(),
            host: "h".into(),
            cores: 1,
            recorders: vec![shared(3), shared(4)],
            samplers: vec![sampler],
        };
        let mut taker = Taker::new(source, Timestamp::from_nanos(1_000), Timestamp::from_nanos(0));
        let at = |nanos| Timestamp::from_nanos(nanos);
        let estimate = |at, nanos, bound| Estimate { at, offset: Offset { nanos, bound }, drift: 0, drift_bound: 0 };
        let course = Course::begin(&estimate(at(0), 1_500, 7));
        let known = Known { course, exchanges: 8, jumps: 1 };
        let interval = taker.take(at(500), &known);
        assert_eq!((interval.samples(), interval.level(Gauge::UsersConnected)), (7, 7));
        assert_eq!(interval.count(measure::Counter::Published), 2);
        assert_eq!((interval.start, interval.end), (Some(at(1_000)), Some(at(2_000))));
        assert_eq!((interval.level(Gauge::ClockOffsetNanos), interval.level(Gauge::ClockExchanges)), (1_500, 8));
        let course = course.steer(&estimate(at(600), 400, 5));
        let next = taker.take(at(2_000_000_600), &Known { course, exchanges: 9, jumps: 1 });
        assert_eq!((next.start, next.end), (interval.end, Some(at(2_000_001_000))), "a step of 1,100 ns leaves no gap");
        assert_eq!(next.level(Gauge::ClockBoundNanos), 5 + 1_100 + 2, "as it was before the step was made good");
    }
}
