//! `throng token`: signs in curl and friends.

use wire::token::{Claims, TokenKey};

use crate::args::TokenArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::say;
use crate::secrets::Secret;

/// Prints a token.
///
/// # Errors
/// When there is no secret to sign it with.
pub(crate) fn token(args: &TokenArgs) -> Result<Exit, Failure> {
    let secret = Secret::from_file_or_environment(args.api_secret_file.as_deref()).or_exit(Exit::Usage)?;
    let secret = secret.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "a token is signed with the service's secret: give --api-secret-file FILE, or set THRONG_API_SECRET",
        )
    })?;
    let claims = match &args.user {
        Some(user) => Claims::user(user),
        None => Claims::server(),
    };
    say::result(format_args!("{}\n", TokenKey::new(secret.expose()).sign(&claims)))?;
    Ok(Exit::Passed)
}
