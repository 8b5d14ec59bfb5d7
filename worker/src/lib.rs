//! The worker: generates load. It dials out to the control plane, is given a share of a run, keeps that share's users
//! connected, makes them act when it is due, and accounts for every event that they should have got.
//!
//! From the inside out: `account`, `user` and `driver` are plain code without I/O; `load` is one thread's users and
//! [`pool`] the threads; `work` is what a run is to a worker, and the crate `agent` speaks with the control plane.

mod account;
mod act;
mod drain;
mod driver;
mod frames;
mod load;
pub mod machine;
mod perform;
pub mod plan;
mod polled;
pub mod pool;
mod preflight;
mod record;
pub mod rehearse;
mod session;
mod sockets;
pub mod sources;
pub mod spread;
mod streams;
mod telemetry;
pub mod tokens;
mod user;
mod words;
mod work;

use std::net::IpAddr;
use std::sync::Arc;

use measure::Clock;
use proto::control::{AgentKind, Hello};
use tokio_util::sync::CancellationToken;

use crate::machine::Machine;
use crate::work::Users;

pub use plan::Start;
pub use telemetry::{RunInfo, Session, Telemetry};

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane, such as `http://127.0.0.1:4000`.
    pub control_plane: String,
    /// How it is reached.
    pub links: tls::Links,
    /// What the worker is called; empty: the control plane chooses.
    pub name: String,
    /// Threads that hold users; left out: one for each core.
    pub threads: Option<u32>,
    /// Users that it says it can hold; left out: what files, memory and ports allow.
    pub capacity: Option<u64>,
    /// This host's addresses that connections come from; none: left to the kernel, or to what loopback needs.
    pub source_addresses: Vec<IpAddr>,
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
    let machine = Machine { sources: config.source_addresses, ..Machine::look() };
    let threads = config.threads.unwrap_or(machine.cores).max(1);
    let hello = Hello {
        name: config.name,
        kind: AgentKind::Worker.into(),
        version: proto::VERSION.into(),
        cores: machine.cores,
        memory_bytes: machine.memory,
        open_files: machine.open_files,
        capacity: config.capacity.unwrap_or_else(|| machine.capacity(threads)),
        source_addresses: machine.sources.iter().map(IpAddr::to_string).collect(),
        clock_id: clock.id(),
        pid: std::process::id(),
        host: machine.host.clone(),
        ..Hello::default()
    };
    let users = Users { telemetry, clock: clock.clone(), threads, machine };
    agent::run(config.control_plane, config.links, hello, users, clock, shutdown).await
}
