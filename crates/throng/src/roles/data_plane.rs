//! `throng data-plane`.

use reports::{Config, DataPlane};
use serde_json::json;

use super::announce;
use crate::args::DataPlaneArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;

/// Serves until told to end; runs that are open then are closed as interrupted, and rendered.
///
/// # Errors
/// When the address is taken, the directory can't be written, or serving fails.
pub(crate) async fn data_plane(args: &DataPlaneArgs) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let config = Config {
        listen: args.listen,
        dir: args.runs_dir.clone(),
        metrics_listen: args.metrics_listen,
        links: args.links.links()?,
        collector: args.otlp_endpoint.clone(),
    };
    for address in [Some(config.listen), config.metrics_listen].into_iter().flatten() {
        config.links.may_listen(address).or_exit(Exit::Usage)?;
    }
    let bound = DataPlane::bind(config).await.or_exit(Exit::Unavailable)?;
    let listen = bound.local_addr().or_exit(Exit::Unexpected)?.to_string();
    let mut ready = json!({"role": "data-plane", "listen": listen, "dir": bound.dir().display().to_string()});
    if let Some(metrics) = bound.metrics_addr().or_exit(Exit::Unexpected)? {
        let scheme = if args.links.tls_ca.is_some() { "https" } else { "http" };
        ready["metrics"] = format!("{scheme}://{metrics}/metrics").into();
    }
    announce(&ready)?;
    bound.serve(end.cancelled_owned()).await.or_exit(Exit::Unexpected)?;
    Ok(Exit::Passed)
}
