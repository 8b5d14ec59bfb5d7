//! The simulated workers of a rehearsal: each an agent of its own, on a thread and event loop of its own, so that one can
//! be killed as a process would be.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use measure::{Clock, SharedRecorder};
use probe::{Shipper, ShipperConfig, Source};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::rehearse::{CORES, Config, Losses, Ships, Turn, run};
use worker::{RunInfo, Session};

use super::announce;
use super::shipping::{Shipped, spool};
use crate::args::RehearsedWorkersArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;
use crate::rehearse::faults::What;

/// Serves a control plane until told to end.
///
/// # Errors
/// When the control plane's address is none, it refuses these workers, or there are no more threads.
pub(crate) async fn rehearsed_workers(args: &RehearsedWorkersArgs) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let losses = Arc::new(Losses::default());
    let killed_at = |number| args.faults.iter().find(|f| f.what == What::KillWorker(number)).map(|f| f.at);
    let config = |name: String, probe, killed_at| Config {
        control_plane: args.control_plane.clone(),
        name,
        probe,
        killed_at,
        killed: CancellationToken::new(),
        losses: Arc::clone(&losses),
    };
    let workers = (1..=args.workers).map(|n| config(format!("worker-{n}"), false, killed_at(n)));
    let probe = config("probe-1".to_owned(), true, None);
    let mut threads = JoinSet::new();
    for config in workers.chain([probe]) {
        let (spool_dir, end) = (args.spool_dir.clone(), end.clone());
        let thread = std::thread::Builder::new().name(config.name.clone());
        let (ended, end_of_it) = tokio::sync::oneshot::channel();
        // Nobody is waiting any more when the whole ends.
        let work = move || drop(ended.send(live(config, spool_dir, end)));
        thread.spawn(work).context("no thread for another worker").or_exit(Exit::Unavailable)?;
        threads.spawn(end_of_it);
    }
    announce(&json!({"role": "rehearsed-workers", "workers": args.workers, "control_plane": args.control_plane}))?;
    while let Some(ended) = threads.join_next().await {
        ended
            .context("a task failed")
            .and_then(|e| e.context("a worker's thread failed"))
            .or_exit(Exit::Unexpected)?
            .or_exit(Exit::Unavailable)?;
    }
    Ok(Exit::Passed)
}

/// The life of one worker. Where it is killed, its event loop is dropped with all that was on its way.
fn live(config: Config, spool_dir: PathBuf, end: CancellationToken) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("no event loop for a worker")?;
    let (killed, name) = (config.killed.clone(), config.name.clone());
    runtime.block_on(async move {
        let ships = Arc::new(Shipping { name: name.clone(), spool_dir });
        tokio::select! {
            ran = run(config, ships, Clock::System, end) => ran,
            () = killed.cancelled() => {
                tracing::warn!(name, "killed, as the rehearsal's faults have it");
                Ok(())
            }
        }
    })
}

/// Ships for one simulated worker.
struct Shipping {
    /// Its host is called as it is.
    name: String,
    spool_dir: PathBuf,
}

impl Ships for Shipping {
    fn begin(&self, run: RunInfo, recorder: SharedRecorder, mut turn: Turn, clock: Clock) -> Box<dyn Session> {
        let source = Source {
            name: run.source,
            kind: if self.name.starts_with("probe") { "probe" } else { "worker" }.to_owned(),
            host: format!("simulated-{}", self.name),
            cores: CORES,
            recorders: vec![recorder],
            // Asked before the recorder is emptied: what it records goes there.
            samplers: vec![Box::new(move |_| turn())],
        };
        let config = ShipperConfig {
            data_plane: run.data_plane,
            // All of a rehearsal is on this machine.
            links: tls::Links::default(),
            run: run.run,
            start: run.start.run_at,
            known: run.known,
            sources: vec![source],
            spool: spool(&self.spool_dir),
            simulated: true,
        };
        Box::new(Shipped::new(Shipper::start(config, clock)))
    }
}
