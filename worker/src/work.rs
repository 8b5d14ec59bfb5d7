//! What a run is to a worker: a share of its users, prepared, held, and what they measured shipped.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use agent::{Begin, Ending, Haste, Running, Work};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use measure::Clock;
use proto::control::Prepare;
use tracing::info;

use crate::machine::Machine;
use crate::plan::{SharedPlan, Start};
use crate::pool::Pool;
use crate::preflight;
use crate::telemetry::{RunInfo, Telemetry};

/// How long shipping may take after a run: the data plane may be away for a while.
const SHIP: Duration = Duration::from_secs(30);
/// How long users may take to settle when the worker is told to end.
const SETTLE_STOPPED: Duration = Duration::from_secs(10);
/// The same when somebody waits for the end.
const SETTLE_IN_A_HURRY: Duration = Duration::from_millis(1_500);
/// Then what was measured must be shipped.
const SHIP_IN_A_HURRY: Duration = Duration::from_secs(2);

/// How long shipping may take at the end of a run.
pub(crate) fn ship_within(ending: &Ending) -> Duration {
    if ending.haste() == Haste::Hurry { SHIP_IN_A_HURRY } else { SHIP }
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
                known: begin.known,
                length: plan.scenario.timeline().end,
            },
            recorders,
        );
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
            let shipped = session.finish(ship_within(&ending)).await;
            let errors: Vec<_> = [ran, shipped].into_iter().filter_map(Result::err).collect();
            if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
        };
        Ok(Running {
            outcome: outcome.boxed(),
            progress: Box::new(move || progress.progress()),
            began: Box::new(move || began.began()),
        })
    }
}
