//! The worker: generates load. It dials out to the control plane, is given a share of a run, keeps that share's users
//! connected, makes them act when it is due, and accounts for every event that they should have got.
//!
//! From the inside out: `account`, `user` and `driver` are plain code without I/O; `load` is one thread's users and
//! [`pool`] the threads; `job` is the run that it is busy with, and `agent` the worker as the control plane sees it.

mod account;
mod act;
mod agent;
mod drain;
mod driver;
mod frames;
mod job;
mod link;
mod load;
pub mod machine;
mod perform;
pub mod plan;
pub mod pool;
mod preflight;
mod record;
mod session;
mod telemetry;
mod timer;
pub mod tokens;
mod user;
mod words;

use std::sync::Arc;

use measure::Clock;
use tokio_util::sync::CancellationToken;

pub use plan::Start;
pub use telemetry::{RunInfo, Session, Telemetry};

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane, such as `http://127.0.0.1:4000`.
    pub control_plane: String,
    /// What the worker is called; empty: the control plane chooses.
    pub name: String,
    /// Threads that hold users; left out: one for each core.
    pub threads: Option<u32>,
    /// Users that it says it can hold; left out: what files, memory and ports allow.
    pub capacity: Option<u64>,
}

impl Config {
    /// The worker's name in a run: what the control plane calls it.
    fn name_in(&self, agent: &str) -> String {
        if agent.is_empty() { self.name.clone() } else { agent.to_owned() }
    }
}

/// Serves a control plane until `shutdown` is cancelled. A running run is stopped then, and what was measured is
/// shipped, within 4 seconds.
///
/// # Errors
/// When the control plane's address is none, or it refuses this worker for good (another version).
pub async fn run(
    config: Config,
    telemetry: Arc<dyn Telemetry>,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    agent::Agent::new(config, telemetry, clock, shutdown).run().await
}
