//! The probe as a role: its agent speaks with the control plane, and this is what a run is to it.

use std::sync::Arc;
use std::time::Duration;

use agent::{Begin, Running, Work};
use client::Trust;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use measure::Clock;
use proto::control::{AgentKind, Hello, Prepare};
use scenarios::Scenario;
use tls::Links;
use tokio_util::sync::CancellationToken;

use crate::job::Job;
use crate::node::Node;
use crate::spool::SpoolLimits;

/// How long shipping what is left may take at the end of a run.
const SHIP: Duration = Duration::from_secs(15);
/// The same when the probe itself is told to end: it must be gone within 4 s.
const SHIP_IN_A_HURRY: Duration = Duration::from_millis(2_200);

/// How a probe is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane, such as `http://127.0.0.1:7700`.
    pub control_plane: String,
    /// How it and the data plane are reached.
    pub links: Links,
    /// What the probe is called; the control plane may add a number.
    pub name: String,
    /// Chat servers to look at. Empty: the run's targets, if they are the bundled server's nodes.
    pub nodes: Vec<Node>,
    /// Where to keep what the data plane has not acknowledged.
    pub spool: SpoolLimits,
}

/// Serves a control plane until `shutdown` is cancelled; a run that is going on then is shipped as far as it came,
/// within 4 seconds.
///
/// # Errors
/// When the control plane's address is none, or it refuses this probe for good (another version).
pub async fn run(config: Config, clock: Clock, shutdown: CancellationToken) -> anyhow::Result<()> {
    let hello = Hello {
        name: config.name,
        kind: AgentKind::Probe.into(),
        version: proto::VERSION.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        clock_id: clock.id(),
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        ..Hello::default()
    };
    let watcher = Watcher {
        nodes: config.nodes,
        spool: config.spool,
        links: config.links.clone(),
        host: hello.host.clone(),
        cores: hello.cores,
        clock: clock.clone(),
    };
    agent::run(config.control_plane, config.links, hello, watcher, clock, shutdown).await
}

/// A probe, as its agent sees it.
struct Watcher {
    nodes: Vec<Node>,
    spool: SpoolLimits,
    links: Links,
    host: String,
    cores: u32,
    clock: Clock,
}

impl Work for Watcher {
    type Prepared = (Prepare, Arc<Scenario>);

    fn prepare(&self, mut order: Prepare) -> BoxFuture<'static, Result<Self::Prepared, String>> {
        let scenario = order.scenario.take().ok_or("the order has no scenario".to_owned()).and_then(|given| {
            let source = scenarios::Source {
                file_name: given.file_name,
                bytes: given.source.to_vec(),
                overrides: given.overrides,
                variables: given.variables.into_iter().collect(),
                base_dir: given.base_dir.into(),
            };
            scenarios::parse(&source).map_err(|e| format!("the scenario doesn't validate here: {e}"))
        });
        async move {
            if order.rehearsal_speed > 0.0 {
                return Err("this is a rehearsal, and this probe measures: rehearse with throng rehearse".to_owned());
            }
            Ok((order, Arc::new(scenario?)))
        }
        .boxed()
    }

    fn start(&self, (order, scenario): Self::Prepared, begin: Begin) -> Result<Running, String> {
        let target = order.target.unwrap_or_default();
        let trust = Trust::of(&target.ca).map_err(|e| format!("the target's CA can't be used: {e}"))?;
        let targets = target.urls.iter().zip(1..).map(|(url, n)| Node { name: format!("node-{n}"), url: url.clone() });
        let nodes = if self.nodes.is_empty() && target.bundled { targets.collect() } else { self.nodes.clone() };
        let job = Job {
            run: order.run,
            scenario,
            target,
            trust,
            data_plane: order.data_plane,
            source: begin.source,
            host: self.host.clone(),
            cores: self.cores,
            nodes,
            spool: self.spool.clone(),
            links: self.links.clone(),
            known: begin.known,
            clock: self.clock.clone(),
        };
        let (stop, mut ending, at) = (CancellationToken::new(), begin.ending, begin.at);
        let outcome = async move {
            let mut told = ending.clone();
            let stopper = stop.clone();
            let stopping = tokio::spawn(async move {
                told.asked().await;
                stopper.cancel();
            });
            // Whoever is told to hurry while it ships has time left to keep the rest.
            let sooner = async {
                ending.hurried().await;
                SHIP_IN_A_HURRY
            };
            let shipped = job.measure(at, stop, SHIP, sooner).await;
            stopping.abort();
            shipped
        };
        Ok(Running { outcome: outcome.boxed(), progress: Box::new(|| (0, 0)), began: Box::new(|| None), adopt: None })
    }
}
