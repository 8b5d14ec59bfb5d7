//! What a run is to a simulated worker: prepared as a real one, started at the same instant, shipped the same way.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::{Adopts, Begin, Known, Running, Timer, Work};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use measure::{Clock, Recorder, SharedRecorder, Timestamp};
use proto::control::{Adopt, Prepare};
use scenarios::{Scenario, Shard};
use tokio::sync::watch;
use tracing::info;

use super::losses::Piece;
use super::player::{Part, Player};
use super::{Config, Losses, Ships, Turn};
use crate::load::Progress;
use crate::plan::Start;
use crate::preflight::scenario_of;
use crate::telemetry::RunInfo;
use crate::work::ship;

/// From the run's planned end until everybody has settled, in the run's time.
const SETTLE: Duration = Duration::from_secs(2);
/// A probe goes on until it is told to stop, but not for ever: so long in the run's time.
const PATIENCE: Duration = Duration::from_secs(120);

/// So long after a worker ended early its users are heard no more by the others, and so long after it was told to it has
/// others' users, in real time: nobody's users have come so far yet, so that all hear the same.
const SOON: Duration = Duration::from_millis(500);

/// A simulated worker, as its agent sees it.
pub(super) struct StandIn {
    pub(super) config: Config,
    pub(super) ships: Arc<dyn Ships>,
    pub(super) clock: Clock,
}

/// A run that could begin.
pub(super) struct Rehearsal {
    run: String,
    scenario: Scenario,
    shard: Option<Shard>,
    data_plane: String,
    speed: f64,
}

impl Work for StandIn {
    type Prepared = Rehearsal;

    fn prepare(&self, order: Prepare) -> BoxFuture<'static, Result<Self::Prepared, String>> {
        let prepared = prepare(order, self.config.probe);
        async move { prepared }.boxed()
    }

    fn start(&self, rehearsal: Self::Prepared, begin: Begin) -> Result<Running, String> {
        let ours = begin.known.borrow().course.to_ours(begin.at);
        let exact = begin.known.borrow().exchanges == 0;
        let (clock, known) = match rehearsal.speed {
            1.0 => (self.clock.clone(), begin.known.clone()),
            _ if !exact => return Err("with a clock of its own a worker rehearses at --speed 1 only".to_owned()),
            // From here on our clock is the run's.
            speed => (Clock::faster(ours, speed), watch::channel(Known::default()).1),
        };
        let start = Start { at: ours, run_at: begin.at };
        let (end, users, shard) = (rehearsal.scenario.timeline().end, rehearsal.scenario.users(), rehearsal.shard);
        self.fail(ours, shard, rehearsal.speed);
        let recorder = SharedRecorder::new(Recorder::new(rehearsal.scenario.cohorts.len(), clock.now()));
        let (progress, taken) = (Arc::new(Progress::default()), Arc::default());
        let part = Part {
            scenario: rehearsal.scenario,
            shard,
            recorder: recorder.clone(),
            progress: Arc::clone(&progress),
            losses: Arc::clone(&self.config.losses),
            taken: Arc::clone(&taken),
            start: begin.at,
        };
        let player = Player::start(part).map_err(|e| format!("no thread for simulated users: {e}"))?;
        info!(run = rehearsal.run, speed = rehearsal.speed, "simulated users begin to join");
        let run = RunInfo {
            run: rehearsal.run,
            source: begin.source,
            data_plane: rehearsal.data_plane,
            start,
            known,
            length: end,
        };
        let settle_at = Arc::new(AtomicU64::new(u64::MAX));
        let session = self.ships.begin(run, recorder, turn(player, Arc::clone(&settle_at)), clock.clone());
        let longest = if shard.is_some() { end + SETTLE } else { end + PATIENCE };
        let wait = until(&self.clock, ours, longest, rehearsal.speed);
        let (mut told, ending) = (begin.ending.clone(), begin.ending);
        let began = shard.map(|_| begins(self.clock.clone(), ours, Arc::clone(&progress)));
        let begun = Arc::clone(&progress);
        let soon = SOON.mul_f64(rehearsal.speed);
        let held = Held {
            users,
            shards: Arc::new(Mutex::new(shard.into_iter().map(|shard| (shard, Duration::ZERO)).collect())),
            losses: Arc::clone(&self.config.losses),
            killed_at: self.config.killed_at,
            taken,
        };
        let over = Arc::clone(&settle_at);
        let adopt = shard.map(|_| held.clone().adopts(clock.clone(), start, soon, over));
        let outcome = async move {
            let _began = began;
            let early = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                _ = told.asked() => true,
            };
            // The last intervals are taken now; the last of all has everybody settle.
            let at = clock.now().since(start.at);
            // From here on nobody else's users come here.
            settle_at.store(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX - 1), Ordering::Relaxed);
            if early {
                held.lose(at + soon);
            }
            ship(session, ending).await
        };
        let read = |n: &AtomicI64| n.load(Ordering::Relaxed).max(0).unsigned_abs();
        let progress = move || (read(&progress.connected), read(&progress.planned));
        let (progress, began) = (Box::new(progress), Box::new(began_at(begun)));
        Ok(Running { outcome: outcome.boxed(), progress, began, adopt })
    }
}

impl StandIn {
    /// Has happen what fails of this worker, in a run that starts at `start` on our clock.
    fn fail(&self, start: Timestamp, shard: Option<Shard>, speed: f64) {
        if let (Some(at), Some(shard)) = (self.config.killed_at, shard) {
            self.config.losses.add(shard, at);
            let (killed, wait) = (self.config.killed.clone(), until(&self.clock, start, at, speed));
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                killed.cancel();
            });
        }
        for cut in &self.config.cuts {
            cuts(self.config.cut.clone(), until(&self.clock, start, cut.at, speed), cut.lasts);
        }
    }
}

/// The users that a worker has: its own, and those that it takes over.
#[derive(Clone)]
struct Held {
    /// Users of the run.
    users: u64,
    /// Each with when it became this worker's.
    shards: Arc<Mutex<Vec<(Shard, Duration)>>>,
    losses: Arc<Losses>,
    killed_at: Option<Duration>,
    taken: Arc<Mutex<Vec<Piece>>>,
}

impl Held {
    /// They do nothing any more from an instant on.
    fn lose(&self, at: Duration) {
        for (shard, from) in self.shards.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.losses.add(*shard, at.max(*from));
        }
    }

    /// Takes others' users over, until `over` has an end.
    fn adopts(self, clock: Clock, start: Start, soon: Duration, over: Arc<AtomicU64>) -> Adopts {
        Box::new(move |order: &Adopt| {
            let shard = Shard::new(order.shard_index, order.shard_count).map_err(|e| e.to_string())?.among(self.users);
            let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
            if shards.iter().any(|(held, _)| *held == shard) {
                // The answer did not arrive.
                return Ok(());
            }
            if over.load(Ordering::Relaxed) != u64::MAX {
                return Err("the run is over here".to_owned());
            }
            let piece = Piece { shard, of: order.lost_count, from: clock.now().since(start.at) + soon };
            self.losses.taken(piece);
            if let Some(at) = self.killed_at {
                // They are lost with this worker.
                self.losses.add(shard, at.max(piece.from));
            }
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
            shards.push((shard, piece.from));
            info!(?shard, from = ?piece.from, "users are taken over");
            Ok(())
        })
    }
}

fn prepare(order: Prepare, probe: bool) -> Result<Rehearsal, String> {
    if order.rehearsal_speed < 1.0 {
        return Err("this worker simulates its users, and takes part in rehearsals only (throng rehearse)".to_owned());
    }
    let (index, count) = (order.shard_index, order.shard_count);
    let scenario = scenario_of(order.scenario)?;
    let shard = if probe { None } else { Some(scenario.shard(index, count).map_err(|e| e.to_string())?) };
    Ok(Rehearsal { run: order.run, scenario, shard, data_plane: order.data_plane, speed: order.rehearsal_speed })
}

/// Cuts the links after `wait`, for as long as it lasts.
fn cuts(cut: watch::Sender<u32>, wait: Duration, lasts: Option<Duration>) {
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        cut.send_modify(|cuts| *cuts += 1);
        if let Some(lasts) = lasts {
            tokio::time::sleep(lasts).await;
            cut.send_modify(|cuts| *cuts -= 1);
        }
    });
}

/// A worker's load begins when its event loop gets to it.
fn begins(clock: Clock, at: Timestamp, progress: Arc<Progress>) -> tokio_util::task::AbortOnDropHandle<()> {
    let begins = tokio::spawn(async move {
        // Without a timer nobody knows when it began.
        let Ok(timer) = Timer::new(clock.clone()) else { return };
        if timer.until(at).await.is_ok() {
            progress.began.store(clock.now().as_nanos(), Ordering::Relaxed);
        }
    });
    tokio_util::task::AbortOnDropHandle::new(begins)
}

fn began_at(progress: Arc<Progress>) -> impl Fn() -> Option<Timestamp> {
    move || Some(progress.began.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Timestamp::from_nanos)
}

/// How long to wait, by the system's clock, for an instant of the run that starts at `start` on `clock`.
fn until(clock: &Clock, start: Timestamp, at: Duration, speed: f64) -> Duration {
    (start + at.div_f64(speed)).since(clock.now())
}

/// Each interval that is taken is the next whole second of the run, whatever the time; the one in which the run ends has
/// everybody settle.
fn turn(player: Player, settle_at: Arc<AtomicU64>) -> Turn {
    let mut until = Duration::ZERO;
    Box::new(move || {
        until += Duration::from_secs(1);
        let end = Duration::from_nanos(settle_at.load(Ordering::Relaxed));
        if until < end {
            player.advance(until);
        } else {
            player.settle(end);
        }
    })
}
