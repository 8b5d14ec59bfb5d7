//! Puts a probe's shipper where a worker needs one: the two services don't know each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use measure::{Clock, SharedRecorder};
use probe::{LoopDelay, Shipper, ShipperConfig, Source, SpoolLimits};
use tokio::time::Instant;
use worker::{RunInfo, Session, Telemetry};

/// Intervals of a worker that wait in memory: some minutes of them.
const SPOOL_MEMORY_BYTES: usize = 64 << 20;
/// Then on disk: more than an hour of them.
const SPOOL_DISK_BYTES: u64 = 1 << 30;

/// A worker's telemetry, shipped by a probe's shipper.
#[derive(Debug)]
pub(super) struct Shipping {
    pub(super) clock: Clock,
    /// How the data plane is reached.
    pub(super) links: tls::Links,
    /// Where what can't be shipped waits, and stays if it never can.
    pub(super) spool_dir: PathBuf,
}

impl Telemetry for Shipping {
    fn begin(&self, run: RunInfo, recorders: Vec<SharedRecorder>) -> Box<dyn Session> {
        let delay = LoopDelay::start(self.clock.clone());
        let source = Source {
            name: run.source,
            kind: "worker".to_owned(),
            host: super::host(),
            cores: super::cores(),
            recorders: recorders.into_iter().chain([delay.recorder()]).collect(),
            samplers: vec![probe::own_process(self.clock.clone())],
        };
        let config = ShipperConfig {
            data_plane: run.data_plane,
            links: self.links.clone(),
            run: run.run,
            start: run.start.run_at,
            known: run.known,
            sources: vec![source],
            spool: spool(&self.spool_dir),
            simulated: false,
        };
        Box::new(Shipped { shipper: Shipper::start(config, self.clock.clone()), _delay: Some(delay) })
    }
}

/// Where what can't be shipped yet waits.
pub(super) fn spool(dir: &Path) -> SpoolLimits {
    SpoolLimits { memory_bytes: SPOOL_MEMORY_BYTES, disk_bytes: SPOOL_DISK_BYTES, dir: dir.to_owned() }
}

/// Shipping of one run.
pub(super) struct Shipped {
    shipper: Shipper,
    _delay: Option<LoopDelay>,
}

impl Shipped {
    /// What a shipper ships.
    pub(super) fn new(shipper: Shipper) -> Self {
        Self { shipper, _delay: None }
    }
}

impl Session for Shipped {
    fn add(&self, recorders: Vec<SharedRecorder>) {
        self.shipper.add(recorders);
    }

    fn finish(
        self: Box<Self>,
        within: Duration,
        sooner: BoxFuture<'static, Duration>,
    ) -> BoxFuture<'static, Result<(), String>> {
        let deadline = Instant::now() + within;
        let sooner = async move { Instant::now() + sooner.await };
        async move { self.shipper.finish_or(deadline, sooner).await.map(|_| ()).map_err(|unshipped| unshipped.to_string()) }
            .boxed()
    }
}
