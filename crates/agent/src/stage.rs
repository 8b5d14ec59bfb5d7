//! The one run that an agent is busy with, from its preparation until everything is shipped.

use std::time::Duration;

use measure::{Clock, Timestamp};
use proto::control as pb;
use proto::control::agent_report::Report;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::link::Link;
use crate::{Adopts, Begin, Ending, Haste, Known, Running, Work, sync};

enum Stage<P> {
    Idle,
    Preparing {
        run: String,
        task: JoinHandle<Result<(P, watch::Receiver<Known>), String>>,
    },
    Prepared {
        run: String,
        prepared: P,
        known: watch::Receiver<Known>,
    },
    Running {
        run: String,
        task: JoinHandle<Result<(), String>>,
        ending: watch::Sender<Option<Haste>>,
        progress: Box<dyn Fn() -> (u64, u64) + Send>,
        began: Box<dyn Fn() -> Option<Timestamp> + Send>,
        known: watch::Receiver<Known>,
        adopt: Option<Adopts>,
    },
}

/// An agent's run, and what the control plane has to be told of it.
pub(crate) struct Job<W: Work> {
    work: W,
    clock: Clock,
    stage: Stage<W::Prepared>,
    /// How long the run goes on while nothing is heard, if it has a limit of its own.
    alone: Option<Duration>,
}

impl<W: Work> Job<W> {
    pub(crate) fn new(work: W, clock: Clock) -> Self {
        Self { work, clock, stage: Stage::Idle, alone: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    /// Whether a run goes on that nobody has told to end.
    pub(crate) fn goes_on(&self) -> bool {
        matches!(&self.stage, Stage::Running { ending, .. } if ending.borrow().is_none())
    }

    /// The run that goes on, is prepared, or could begin; and whether it is the last.
    pub(crate) fn run(&self) -> Option<(&str, bool)> {
        match &self.stage {
            Stage::Running { run, .. } | Stage::Preparing { run, .. } => Some((run, false)),
            Stage::Prepared { run, .. } => Some((run, true)),
            Stage::Idle => None,
        }
    }

    /// Begins to prepare; an answer at once only if that can't be.
    pub(crate) fn prepare(&mut self, order: pb::Prepare, link: &Link, same_clock: bool) -> Option<Report> {
        let run = order.run.clone();
        if let Stage::Running { run: busy, .. } = &self.stage {
            let reason = format!("still busy with the run {busy}");
            return Some(Report::Refused(pb::Refused { run, reason }));
        }
        self.alone = (order.alone_ms > 0).then(|| Duration::from_millis(order.alone_ms.into()));
        let (prepared, client, clock) = (self.work.prepare(order), link.client.clone(), self.clock.clone());
        let task = tokio::spawn(async move {
            let prepared = prepared.await?;
            Ok((prepared, sync::follow(client, same_clock, clock).await?))
        });
        self.abandon();
        self.stage = Stage::Preparing { run, task };
        None
    }

    /// An older preparation that was never started is void.
    fn abandon(&mut self) {
        if let Stage::Preparing { task, .. } = &self.stage {
            task.abort();
        }
        self.stage = Stage::Idle;
    }

    /// Starts what was prepared; an answer at once only if that can't be.
    pub(crate) fn start(&mut self, order: &pb::Start, source: &str) -> Option<Report> {
        let (run, prepared, known) = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Prepared { run, prepared, known } if run == order.run => (run, prepared, known),
            other => {
                self.stage = other;
                warn!(run = order.run, "told to start a run that is not prepared");
                return None;
            }
        };
        let (ending, asked) = watch::channel(None);
        let at = Timestamp::from_nanos(order.at_ns);
        let begin = Begin { source: source.to_owned(), at, known: known.clone(), ending: Ending(asked) };
        match self.work.start(prepared, begin) {
            Ok(running) => {
                info!(run, "starting");
                let task = tokio::spawn(running.outcome);
                let Running { progress, began, adopt, .. } = running;
                self.stage = Stage::Running { run, task, ending, progress, began, known, adopt };
                None
            }
            Err(error) => Some(Report::Finished(pb::Finished { run, error })),
        }
    }

    /// Takes another shard's users over; the answer.
    pub(crate) fn adopt(&mut self, order: &pb::Adopt) -> Report {
        let adopted = match &mut self.stage {
            Stage::Running { run, adopt: Some(adopt), .. } if *run == order.run => adopt(order),
            Stage::Running { run, .. } if *run == order.run => Err("it can't take users over".to_owned()),
            _ => Err("the run does not go on here".to_owned()),
        };
        let pb::Adopt { run, shard_index, shard_count, .. } = order.clone();
        Report::Adopted(pb::Adopted { run, shard_index, shard_count, error: adopted.err().unwrap_or_default() })
    }

    /// How long the run goes on while nothing is heard: what everybody is told, or its own limit.
    pub(crate) fn alone(&self, welcome: Duration) -> Duration {
        self.alone.unwrap_or(welcome)
    }

    /// Nothing was heard for too long. A run with a limit of its own ends in a hurry: others are to take its users over.
    pub(crate) fn stop_alone(&mut self) {
        warn!("the control plane has been away for too long: stopping the run");
        self.stop(if self.alone.is_some() { Haste::Hurry } else { Haste::Ordinary });
    }

    /// Ends the run of this name; an answer at once if it doesn't run yet.
    pub(crate) fn stop_run(&mut self, wanted: &str) -> Option<Report> {
        match &self.stage {
            Stage::Running { run, .. } if run == wanted => {
                self.stop(Haste::Ordinary);
                None
            }
            Stage::Preparing { run, .. } | Stage::Prepared { run, .. } if run == wanted => {
                self.abandon();
                Some(Report::Finished(pb::Finished { run: wanted.to_owned(), error: String::new() }))
            }
            _ => None,
        }
    }

    /// Ends the run that goes on. Of several calls the fastest counts.
    pub(crate) fn stop(&mut self, haste: Haste) {
        if let Stage::Running { ending, .. } = &self.stage {
            ending.send_modify(|asked| *asked = (*asked).max(Some(haste)));
        }
    }

    /// How many users are connected, and should be.
    pub(crate) fn progress(&self) -> Option<pb::Progress> {
        let Stage::Running { run, progress, began, known, .. } = &self.stage else { return None };
        let (users_connected, users_planned) = progress();
        let course = known.borrow().course;
        let (began_ns, began_bound_ns) =
            began().map_or((0, 0), |began| (course.to_theirs(began).as_nanos(), course.at(began).bound));
        Some(pb::Progress { run: run.clone(), users_connected, users_planned, began_ns, began_bound_ns })
    }

    /// Waits until a stage has ended; never, if there is none. Dropping the future loses nothing.
    pub(crate) async fn ended(&mut self) -> Report {
        match &mut self.stage {
            Stage::Idle | Stage::Prepared { .. } => std::future::pending().await,
            Stage::Preparing { run, task } => {
                let prepared = task.await.unwrap_or_else(|e| Err(format!("the preparation failed: {e}")));
                let run = std::mem::take(run);
                match prepared {
                    Ok((prepared, known)) => {
                        self.stage = Stage::Prepared { run: run.clone(), prepared, known };
                        Report::Ready(pb::Ready { run })
                    }
                    Err(reason) => {
                        warn!(run, reason, "refused");
                        self.stage = Stage::Idle;
                        Report::Refused(pb::Refused { run, reason })
                    }
                }
            }
            Stage::Running { run, task, .. } => {
                let ended = task.await.unwrap_or_else(|e| Err(format!("the run failed: {e}")));
                let (run, error) = (std::mem::take(run), ended.err().unwrap_or_default());
                self.stage = Stage::Idle;
                info!(run, error, "finished");
                Report::Finished(pb::Finished { run, error })
            }
        }
    }
}
