//! Workers of a rehearsal: the real agent, schedule, recorders and shipping, around users that are simulated. No
//! connection is made; what users would have measured follows from a seeded model of latency.
//!
//! `simulation` is plain code and a pure function of scenario, seed, lost workers and who has their users since: what it
//! writes for each second of the run is the same on every machine. [`run`] is a worker, or a probe with its canaries, as the
//! control plane sees it.

mod canaries;
mod latency;
mod levels;
mod losses;
mod player;
mod service;
mod simulation;
mod stand_in;
#[cfg(test)]
mod testing;
mod underway;

use std::sync::Arc;
use std::time::Duration;

use measure::{Clock, SharedRecorder};
use proto::control::{AgentKind, Hello};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use levels::CORES;
pub use losses::Losses;

use crate::rehearse::stand_in::StandIn;
use crate::telemetry::{RunInfo, Session};

/// Users that a simulated worker says it can hold.
const CAPACITY: u64 = 10_000_000;
/// Memory that its host says it has.
const MEMORY: u64 = 32 << 30;

/// How a simulated worker is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane, such as `http://127.0.0.1:4000`.
    pub control_plane: String,
    /// What it is called, and its host.
    pub name: String,
    /// A probe with the scenario's canaries, instead of a worker with users.
    pub probe: bool,
    /// When it is killed, since the run's start.
    pub killed_at: Option<Duration>,
    /// Cancelled when that time has come: whoever runs it drops it then, without a goodbye.
    pub killed: CancellationToken,
    /// When its links to both planes are cut.
    pub cuts: Vec<Cut>,
    /// How many of these cuts are on: whoever carries its bytes carries none then.
    pub cut: watch::Sender<u32>,
    /// Whose users do nothing any more; all simulated workers of a run share it.
    pub losses: Arc<Losses>,
}

/// Nothing passes between a simulated worker and the two planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// From then on, since the run's start, in its time.
    pub at: Duration,
    /// For so long, in real time as leases are; `None`: for good.
    pub lasts: Option<Duration>,
}

/// Brings a recorder up to the present; called before each interval is taken.
pub type Turn = Box<dyn FnMut() + Send>;

/// Ships what a simulated worker records, by a clock whose time may go faster than real time.
pub trait Ships: Send + Sync + 'static {
    /// Begins to take and ship intervals of the recorder, each after its `turn`. Must return at once.
    fn begin(&self, run: RunInfo, recorder: SharedRecorder, turn: Turn, clock: Clock) -> Box<dyn Session>;
}

/// Serves a control plane until `shutdown` is cancelled.
///
/// # Errors
/// When the control plane's address is none, or it refuses this worker for good (another version).
pub async fn run(
    config: Config,
    ships: Arc<dyn Ships>,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let kind = if config.probe { AgentKind::Probe } else { AgentKind::Worker };
    let hello = Hello {
        name: config.name.clone(),
        kind: kind.into(),
        version: proto::VERSION.into(),
        cores: CORES,
        memory_bytes: MEMORY,
        open_files: CAPACITY,
        capacity: if config.probe { 0 } else { CAPACITY },
        clock_id: clock.id(),
        pid: std::process::id(),
        host: config.name.clone(),
        ..Hello::default()
    };
    let control_plane = config.control_plane.clone();
    let stand_in = StandIn { config, ships, clock: clock.clone() };
    // All of a rehearsal is on one machine.
    agent::run(control_plane, tls::Links::default(), hello, stand_in, clock, shutdown).await
}
