//! What a run is to a worker: a share of its users, prepared, held, and what they measured shipped.

use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::{Adopts, Begin, Ending, Haste, Known, Running, Work};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use measure::{Clock, Recorder, SharedRecorder};
use proto::control::{Adopt, Prepare};
use tokio::sync::watch;
use tracing::info;

use crate::machine::Machine;
use crate::plan::{SharedPlan, Start};
use crate::pool::{Handle, Pool};
use crate::preflight::{self, Held};
use crate::telemetry::{RunInfo, Session, Telemetry};

/// How long shipping may take after a run: the data plane may be away for a while.
const SHIP: Duration = Duration::from_secs(30);
/// How long users may take to settle when the worker is told to end.
const SETTLE_STOPPED: Duration = Duration::from_secs(10);
/// The same when somebody waits for the end.
const SETTLE_IN_A_HURRY: Duration = Duration::from_millis(1_500);
/// Then what was measured must be shipped.
const SHIP_IN_A_HURRY: Duration = Duration::from_secs(2);

/// Ships what a run's sessions have, at its end. Whoever is told to hurry meanwhile has time left to keep the rest.
pub(crate) fn ship(session: Box<dyn Session>, mut ending: Ending) -> BoxFuture<'static, Result<(), String>> {
    let sooner = async move {
        ending.hurried().await;
        SHIP_IN_A_HURRY
    };
    session.finish(SHIP, sooner.boxed())
}

/// A worker, as its agent sees it.
pub(crate) struct Users {
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) clock: Clock,
    pub(crate) threads: u32,
    pub(crate) machine: Machine,
}

impl Work for Users {
    type Prepared = (SharedPlan, String);

    fn prepare(&self, order: Prepare) -> BoxFuture<'static, Result<Self::Prepared, String>> {
        let (machine, threads, clock) = (self.machine.clone(), self.threads, self.clock.clone());
        let data_plane = order.data_plane.clone();
        async move { Ok((preflight::prepare(order, &machine, threads, &clock).await?, data_plane)) }.boxed()
    }

    fn start(&self, (plan, data_plane): Self::Prepared, begin: Begin) -> Result<Running, String> {
        let start = Start { at: begin.known.borrow().course.to_ours(begin.at), run_at: begin.at };
        let recorders = Pool::recorders(&plan, self.threads, start);
        let mut pool = Pool::start(&plan, start, &begin.known, &recorders)
            .map_err(|error| format!("the users' threads could not be started: {error}"))?;
        info!(run = plan.run, users = plan.users(), threads = self.threads, "users begin to join");
        let session = self.telemetry.begin(
            RunInfo {
                run: plan.run.clone(),
                source: begin.source,
                data_plane,
                start,
                known: begin.known.clone(),
                length: plan.scenario.timeline().end,
            },
            recorders,
        );
        let session = Arc::new(Mutex::new(Some(session)));
        let adopt = Adopting {
            held: vec![(plan, self.threads)],
            sources: self.machine.sources.clone(),
            start,
            known: begin.known,
            pool: pool.handle(),
            session: Arc::clone(&session),
        };
        let (handle, ending) = (pool.handle(), begin.ending);
        let (progress, began) = (pool.handle(), pool.handle());
        let outcome = async move {
            let mut told = ending.clone();
            let stop = async {
                let haste = told.asked().await;
                handle.stop(if haste == Haste::Hurry { SETTLE_IN_A_HURRY } else { SETTLE_STOPPED });
                told.hurried().await;
                handle.stop(SETTLE_IN_A_HURRY);
                pending::<Infallible>().await
            };
            let ran = tokio::select! {
                ran = pool.finished() => ran,
                never = stop => match never {},
            };
            let session = session.lock().unwrap_or_else(PoisonError::into_inner).take();
            let shipped = match session {
                Some(session) => ship(session, ending).await,
                // Nobody else takes it.
                None => Ok(()),
            };
            let errors: Vec<_> = [ran, shipped].into_iter().filter_map(Result::err).collect();
            if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
        };
        Ok(Running {
            outcome: outcome.boxed(),
            progress: Box::new(move || progress.progress()),
            began: Box::new(move || began.began()),
            adopt: Some(adopt.into()),
        })
    }
}

/// What it takes to take users over while a run goes on.
struct Adopting {
    /// What the worker has of the run: its own share first.
    held: Vec<Held>,
    sources: Vec<IpAddr>,
    start: Start,
    known: watch::Receiver<Known>,
    pool: Handle,
    /// Taken when the run is over.
    session: Arc<Mutex<Option<Box<dyn Session>>>>,
}

impl Adopting {
    fn adopt(&mut self, order: &Adopt) -> Result<(), String> {
        if self
            .held
            .iter()
            .any(|(plan, _)| plan.shard.index == order.shard_index && plan.shard.count == order.shard_count)
        {
            // The answer did not arrive.
            return Ok(());
        }
        let machine = Machine { sources: self.sources.clone(), ..Machine::look() };
        let (plan, threads) = preflight::adopt(order, &self.held, &machine)?;
        let (cohorts, now) = (plan.scenario.cohorts.len(), plan.clock.now());
        let recorders: Vec<_> = (0..threads).map(|_| SharedRecorder::new(Recorder::new(cohorts, now))).collect();
        match self.session.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // Before anything is recorded.
            Some(session) => session.add(recorders.clone()),
            None => return Err("the run is over here".into()),
        }
        self.pool.add(&plan, self.start, &self.known, &recorders).map_err(|error| error.to_string())?;
        info!(run = plan.run, users = plan.users(), threads, "users are taken over");
        self.held.push((plan, threads));
        Ok(())
    }
}

impl From<Adopting> for Adopts {
    fn from(mut adopting: Adopting) -> Self {
        Box::new(move |order| adopting.adopt(order))
    }
}
