//! One run of a probe: its host, the nodes, and the canaries, measured and shipped from prepare to stop.

use std::sync::Arc;
use std::time::Duration;

use agent::Known;
use client::Trust;
use measure::{Clock, Recorder, SharedRecorder, Timestamp};
use proto::control::Target;
use scenarios::Scenario;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::canary;
use crate::host::host;
use crate::loop_delay::LoopDelay;
use crate::node::{self, Node};
use crate::process::own_process;
use crate::shipper::{Shipper, ShipperConfig, Source};
use crate::spool::SpoolLimits;

/// A control plane that has not said stop so long after the scenario's end never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long users may take to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// A run that is prepared.
pub(crate) struct Job {
    pub(crate) run: String,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) target: Target,
    /// Whose word counts for its certificate.
    pub(crate) trust: Trust,
    pub(crate) data_plane: String,
    /// How it is reached.
    pub(crate) links: tls::Links,
    /// Our name in the run.
    pub(crate) source: String,
    pub(crate) host: String,
    pub(crate) cores: u32,
    pub(crate) nodes: Vec<Node>,
    pub(crate) spool: SpoolLimits,
    pub(crate) known: watch::Receiver<Known>,
    pub(crate) clock: Clock,
}

impl Job {
    /// Measures a run that starts at `start` on the run's clock until `stop` is cancelled, then ships what is left
    /// `within` so long, or as long as `sooner` says from when it does; returns why not everything reached the data plane.
    pub(crate) async fn measure(
        self,
        start: Timestamp,
        stop: CancellationToken,
        within: Duration,
        sooner: impl Future<Output = Duration>,
    ) -> Result<(), String> {
        let clock = self.clock.clone();
        let recorder = || SharedRecorder::new(Recorder::new(0, clock.now()));
        let canaries = recorder();
        let loop_delay = LoopDelay::start(clock.clone());
        let mut sources = vec![Source {
            recorders: vec![canaries.clone(), loop_delay.recorder()],
            samplers: vec![own_process(clock.clone()), host(clock.clone())],
            ..self.source(&self.source, "probe", &self.host)
        }];
        let mut tasks = JoinSet::new();
        for node in self.nodes.iter().cloned() {
            let seen = recorder();
            let (host, cores) = if node.is_here() { (self.host.clone(), self.cores) } else { (node.host(), 0) };
            let source = self.source(&node.name, "node", &host);
            sources.push(Source { recorders: vec![seen.clone()], cores, ..source });
            tasks.spawn(node::watch(node, self.trust.clone(), clock.clone(), seen, stop.clone()));
        }
        let shipper = Shipper::start(
            ShipperConfig {
                data_plane: self.data_plane.clone(),
                links: self.links.clone(),
                run: self.run.clone(),
                start,
                known: self.known.clone(),
                sources,
                spool: self.spool.clone(),
                simulated: false,
            },
            clock.clone(),
        );
        canary::spawn(&mut tasks, &self, start, &canaries, &stop);
        self.wait(start, &stop).await;
        stop.cancel();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GOODBYE_WITHIN, ended).await.is_err() {
            tasks.abort_all();
        }
        let sooner = async { Instant::now() + sooner.await };
        let shipped = shipper.finish_or(Instant::now() + within, sooner).await;
        shipped.map(|_| ()).map_err(|unshipped| unshipped.to_string())
    }

    async fn wait(&self, start: Timestamp, stop: &CancellationToken) {
        let end = self.known.borrow().course.to_ours(start + self.scenario.timeline().end + PATIENCE);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(end.since(self.clock.now())) => {
                tracing::warn!(run = self.run, "nobody said stop; the run is long over");
            }
        }
    }

    fn source(&self, name: &str, kind: &str, host: &str) -> Source {
        Source {
            name: name.to_owned(),
            kind: kind.to_owned(),
            host: host.to_owned(),
            cores: self.cores,
            recorders: Vec::new(),
            samplers: Vec::new(),
        }
    }
}
