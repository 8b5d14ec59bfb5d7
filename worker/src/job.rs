//! The one run that a worker is busy with, from its preparation until everything is shipped.

use std::sync::Arc;
use std::time::Duration;

use measure::offset::Offset;
use measure::{Clock, Timestamp};
use proto::control as pb;
use proto::control::agent_report::Report;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::link::{self, Link};
use crate::machine::Machine;
use crate::plan::{SharedPlan, Start};
use crate::pool::{DRAIN, Handle, Pool};
use crate::preflight;
use crate::telemetry::{RunInfo, Telemetry};

/// How long shipping may take after a run: the data plane may be away for a while.
const SHIP: Duration = Duration::from_secs(30);

/// What came of a stage of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Ready { run: String },
    Refused { run: String, reason: String },
    Finished { run: String, error: String },
}

type Prepared = (SharedPlan, Offset);

enum Stage {
    Idle,
    Preparing { run: String, data_plane: String, task: JoinHandle<Result<Prepared, String>> },
    Prepared { run: String, data_plane: String, plan: SharedPlan, offset: Offset },
    Running { run: String, handle: Handle, stopping: bool, ship: watch::Sender<Duration>, task: JoinHandle<String> },
}

/// The worker's job.
pub(crate) struct Job {
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    threads: u32,
    stage: Stage,
    /// What could not be told yet.
    kept: Vec<Ended>,
}

impl Job {
    pub(crate) fn new(telemetry: Arc<dyn Telemetry>, clock: Clock, threads: u32) -> Self {
        Self { telemetry, clock, threads, stage: Stage::Idle, kept: Vec::new() }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Running { stopping: true, .. })
    }

    /// What has ended while nobody could be told.
    pub(crate) fn kept(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.kept)
    }

    /// Remembers what could not be told. That a run could be prepared is of no use later.
    pub(crate) fn keep(&mut self, ended: Ended) {
        if matches!(ended, Ended::Finished { .. }) {
            self.kept.push(ended);
        }
    }

    /// Begins to prepare; an answer at once only if that can't be.
    pub(crate) fn prepare(
        &mut self,
        order: pb::Prepare,
        machine: Machine,
        link: &Link,
        same_clock: bool,
    ) -> Option<Report> {
        let run = order.run.clone();
        if let Stage::Running { run: busy, .. } = &self.stage {
            let reason = format!("this worker is still busy with the run {busy}");
            return Some(Report::Refused(pb::Refused { run, reason }));
        }
        let data_plane = order.data_plane.clone();
        let (client, clock, threads) = (link.client.clone(), self.clock.clone(), self.threads);
        let task = tokio::spawn(async move {
            let plan = preflight::prepare(order, &machine, threads, &clock).await?;
            let offset = if same_clock { Offset::SAME_CLOCK } else { link::offset(client, &clock).await? };
            Ok((plan, offset))
        });
        // An older preparation that was never started is void.
        self.stage = Stage::Preparing { run, data_plane, task };
        None
    }

    /// Starts what was prepared; an answer at once only if that can't be.
    pub(crate) fn start(&mut self, order: &pb::Start, source: &str) -> Option<Report> {
        let Stage::Prepared { run, data_plane, plan, offset } = &self.stage else {
            warn!(run = order.run, "told to start a run that is not prepared");
            return None;
        };
        if *run != order.run {
            warn!(run = order.run, prepared = run, "told to start another run than the prepared one");
            return None;
        }
        let start = Start { at: offset.to_ours(Timestamp::from_nanos(order.at_ns)), offset: *offset };
        let recorders = Pool::recorders(plan, self.threads, start);
        let mut pool = match Pool::start(plan, start, &recorders) {
            Ok(pool) => pool,
            Err(error) => {
                let run = run.clone();
                self.stage = Stage::Idle;
                let error = format!("the users' threads could not be started: {error}");
                return Some(Report::Finished(pb::Finished { run, error }));
            }
        };
        let info = RunInfo {
            run: run.clone(),
            source: source.to_owned(),
            data_plane: data_plane.clone(),
            start,
            length: plan.scenario.timeline().end,
        };
        info!(run, users = plan.users(), threads = self.threads, "starting");
        let session = self.telemetry.begin(info, recorders);
        let (ship, within) = watch::channel(SHIP);
        let (run, handle) = (run.clone(), pool.handle());
        let task = tokio::spawn(async move {
            let ran = pool.finished().await;
            let within = *within.borrow();
            let shipped = session.finish(within).await;
            let errors: Vec<_> = [ran, shipped].into_iter().filter_map(Result::err).collect();
            errors.join("; ")
        });
        self.stage = Stage::Running { run, handle, stopping: false, ship, task };
        None
    }

    /// Stops a run that the control plane wants stopped; an answer at once if it doesn't run.
    pub(crate) fn stop_run(&mut self, wanted: &str) -> Option<Report> {
        match &self.stage {
            Stage::Running { run, .. } if run == wanted => {
                self.stop(DRAIN);
                None
            }
            Stage::Preparing { run, task, .. } if run == wanted => {
                task.abort();
                self.stage = Stage::Idle;
                Some(finished(wanted))
            }
            Stage::Prepared { run, .. } if run == wanted => {
                self.stage = Stage::Idle;
                Some(finished(wanted))
            }
            _ => None,
        }
    }

    /// Begins nothing more, and lets users settle.
    pub(crate) fn stop(&mut self, within: Duration) {
        if let Stage::Running { handle, stopping, .. } = &mut self.stage {
            *stopping = true;
            handle.stop(within);
        }
    }

    /// Stops, with little time to settle and to ship.
    pub(crate) fn hurry(&mut self, settle: Duration, ship: Duration) {
        self.stop(settle);
        if let Stage::Running { ship: within, .. } = &self.stage {
            within.send_replace(ship);
        }
    }

    /// How many users are connected, and should be.
    pub(crate) fn progress(&self) -> Option<pb::Progress> {
        let Stage::Running { run, handle, .. } = &self.stage else { return None };
        let (users_connected, users_planned) = handle.progress();
        Some(pb::Progress { run: run.clone(), users_connected, users_planned })
    }

    /// Waits until a stage has ended; never, if there is none. Dropping the future loses nothing.
    pub(crate) async fn ended(&mut self) -> Ended {
        match &mut self.stage {
            Stage::Idle | Stage::Prepared { .. } => std::future::pending().await,
            Stage::Preparing { run, data_plane, task } => {
                let prepared = task.await.unwrap_or_else(|e| Err(format!("the preparation failed: {e}")));
                let (run, data_plane) = (std::mem::take(run), std::mem::take(data_plane));
                match prepared {
                    Ok((plan, offset)) => {
                        self.stage = Stage::Prepared { run: run.clone(), data_plane, plan, offset };
                        Ended::Ready { run }
                    }
                    Err(reason) => {
                        warn!(run, reason, "refused");
                        self.stage = Stage::Idle;
                        Ended::Refused { run, reason }
                    }
                }
            }
            Stage::Running { run, task, .. } => {
                let error = task.await.unwrap_or_else(|e| format!("the run failed: {e}"));
                let run = std::mem::take(run);
                self.stage = Stage::Idle;
                info!(run, error, "finished");
                Ended::Finished { run, error }
            }
        }
    }
}

fn finished(run: &str) -> Report {
    Report::Finished(pb::Finished { run: run.to_owned(), error: String::new() })
}
