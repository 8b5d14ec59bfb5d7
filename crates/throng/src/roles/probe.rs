//! `throng probe`.

use probe::Config;
use serde_json::json;

use super::{announce, name_or_host, shipping};
use crate::args::AgentArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;

/// Serves a control plane until told to end.
///
/// # Errors
/// When the control plane's address is none, or it refuses this probe.
pub(crate) async fn probe(args: &AgentArgs) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let links = args.links.links()?;
    let name = name_or_host(args.name.as_deref());
    announce(&json!({"role": "probe", "name": name, "control_plane": args.control_plane}))?;
    let spool = shipping::spool(&args.spool_dir());
    let config = Config { control_plane: args.control_plane.clone(), links, name, nodes: Vec::new(), spool };
    probe::run(config, args.skew.clock(), end).await.or_exit(Exit::Unavailable)?;
    Ok(Exit::Passed)
}
