//! `throng worker`.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::json;
use worker::Config;

use super::shipping::Shipping;
use super::{announce, name_or_host};
use crate::args::WorkerArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;

/// Serves a control plane until told to end.
///
/// # Errors
/// When the control plane's address is none, or it refuses this worker.
pub(crate) async fn worker(args: &WorkerArgs) -> Result<Exit, Failure> {
    let source_addresses = args.source_addresses.concat();
    let args = &args.agent;
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let links = args.links.links()?;
    let name = name_or_host(args.name.as_deref());
    let config = Config {
        control_plane: args.control_plane.clone(),
        links: links.clone(),
        name: name.clone(),
        threads: args.role.threads.map(NonZeroU32::get),
        capacity: None,
        source_addresses,
    };
    let clock = args.skew.clock();
    announce(&json!({"role": "worker", "name": name, "control_plane": args.control_plane}))?;
    let telemetry = Arc::new(Shipping { clock: clock.clone(), links, spool_dir: args.spool_dir() });
    worker::run(config, telemetry, clock, end).await.or_exit(Exit::Unavailable)?;
    Ok(Exit::Passed)
}
