//! `throng control-plane`.

use control_plane::{Config, ControlPlane, Error, Token};
use serde_json::json;

use super::announce;
use crate::args::ControlPlaneArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::lifeline;

/// Serves until told to end.
///
/// # Errors
/// When an address is taken or must not be listened on, or serving fails.
pub(crate) async fn control_plane(args: &ControlPlaneArgs) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let config = Config {
        listen: args.listen,
        web_listen: args.web_listen,
        data_plane: args.data_plane.clone(),
        state_dir: args.state_dir.clone(),
        links: args.links.links()?,
        token: args.people.token()?.map(|token| Token::new(token.expose())),
        ..Config::default()
    };
    let bound = ControlPlane::bind(config).await;
    let bound = bound.map_err(|error| {
        let exit = if matches!(error, Error::Refused(_)) { Exit::Usage } else { Exit::Unavailable };
        Failure { exit, error: Some(error.into()) }
    })?;
    let (listen, web) = (bound.listen().to_string(), bound.web_listen().to_string());
    announce(&json!({"role": "control-plane", "listen": listen, "web": web}))?;
    bound.serve(end.cancelled_owned()).await.or_exit(Exit::Unexpected)?;
    Ok(Exit::Passed)
}
