//! The simulated workers of a rehearsal: each an agent of its own, on a thread and event loop of its own, so that one can
//! be killed as a process would be.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use measure::{Clock, SharedRecorder};
use probe::{Shipper, ShipperConfig, Source};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::rehearse::{CORES, Config, Cut, Losses, Ships, Turn, run};
use worker::{RunInfo, Session};

use super::announce;
use super::shipping::{Shipped, spool};
use crate::args::RehearsedWorkersArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;
use crate::rehearse::faults::{Fault, What};
use crate::rehearse::relay;

/// Serves a control plane until told to end.
///
/// # Errors
/// When the control plane's address is none, it refuses these workers, or there are no more threads.
pub(crate) async fn rehearsed_workers(args: &RehearsedWorkersArgs) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let losses = Arc::new(Losses::default());
    let config = |name: String, number: Option<u32>| {
        let faults = args.faults.iter().filter(|_| number.is_some());
        let of_it = |fault: &Fault| match fault.what {
            What::KillWorker(n) if Some(n) == number => (Some(fault.at), None),
            What::CutLink { worker, lasts } if Some(worker) == number => (None, Some(Cut { at: fault.at, lasts })),
            _ => (None, None),
        };
        Config {
            control_plane: args.control_plane.clone(),
            name,
            probe: number.is_none(),
            killed_at: faults.clone().find_map(|fault| of_it(fault).0),
            killed: CancellationToken::new(),
            cuts: faults.filter_map(|fault| of_it(fault).1).collect(),
            cut: watch::Sender::new(0),
            losses: Arc::clone(&losses),
        }
    };
    let clock_of = |number| {
        let skewed = args.faults.iter().find_map(|fault| match fault.what {
            What::SkewClock { worker, ahead, drift } if Some(worker) == number => Some(Clock::skewed(ahead, drift)),
            _ => None,
        });
        skewed.unwrap_or(Clock::System)
    };
    let workers = (1..=args.workers).map(|n| (format!("worker-{n}"), Some(n)));
    let agents = workers.chain([("probe-1".to_owned(), None)]);
    let mut threads = JoinSet::new();
    for (name, number) in agents {
        let (config, clock) = (config(name, number), clock_of(number));
        let (spool_dir, end) = (args.spool_dir.clone(), end.clone());
        let thread = std::thread::Builder::new().name(config.name.clone());
        let (ended, end_of_it) = tokio::sync::oneshot::channel();
        // Nobody is waiting any more when the whole ends.
        let work = move || drop(ended.send(live(config, spool_dir, clock, end)));
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
fn live(mut config: Config, spool_dir: PathBuf, clock: Clock, end: CancellationToken) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("no event loop for a worker")?;
    let (killed, name) = (config.killed.clone(), config.name.clone());
    runtime.block_on(async move {
        let can_be_cut = !config.cuts.is_empty();
        if can_be_cut {
            config.control_plane = relay::start(&config.control_plane, config.cut.subscribe())?;
        }
        let cut = can_be_cut.then(|| config.cut.clone());
        let ships = Arc::new(Shipping { name: name.clone(), spool_dir, cut, killed: killed.clone() });
        tokio::select! {
            ran = run(config, ships, clock, end) => ran,
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
    /// Set: its links are cut some time.
    cut: Option<watch::Sender<u32>>,
    killed: CancellationToken,
}

impl Shipping {
    /// The data plane, as this worker reaches it.
    fn data_plane(&self, url: String) -> String {
        let relayed = self.cut.as_ref().map_or(Ok(url.clone()), |cut| relay::start(&url, cut.subscribe()));
        relayed.unwrap_or_else(|error| {
            // Better a lost worker, which is told, than one that is whole where its link should be cut.
            tracing::error!(name = self.name, error = format!("{error:#}"), "no link to the data plane");
            self.killed.cancel();
            url
        })
    }
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
            data_plane: self.data_plane(run.data_plane),
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
