//! What the worker needs of whoever ships its measurements. Services don't depend on each other, so the binary puts a
//! probe's shipper here.

use std::time::Duration;

use agent::Known;
use futures_util::future::BoxFuture;
use measure::SharedRecorder;
use tokio::sync::watch;

use crate::plan::Start;

/// What a shipper must know of a run.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The run's id.
    pub run: String,
    /// This worker's name in the run.
    pub source: String,
    /// Where the data plane is.
    pub data_plane: String,
    /// When it starts. Recorders' first interval begins there.
    pub start: Start,
    /// The run's clock against this host's.
    pub known: watch::Receiver<Known>,
    /// The run's length without draining.
    pub length: Duration,
}

/// Ships what recorders record.
pub trait Telemetry: Send + Sync + 'static {
    /// Begins to take and ship intervals of these recorders. Must return at once.
    fn begin(&self, run: RunInfo, recorders: Vec<SharedRecorder>) -> Box<dyn Session>;
}

/// One run's shipping.
pub trait Session: Send + 'static {
    /// Takes and ships what these record from now on, too, as the same source's.
    fn add(&self, recorders: Vec<SharedRecorder>);

    /// Takes the last interval, ships everything, says goodbye, and waits at most `within` until all is acknowledged; or as
    /// long as `sooner` says, from when it does. Its error says in words what could not be shipped.
    fn finish(
        self: Box<Self>,
        within: Duration,
        sooner: BoxFuture<'static, Duration>,
    ) -> BoxFuture<'static, Result<(), String>>;
}
