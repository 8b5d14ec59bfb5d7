//! `throng test-target`.

use serde_json::json;
use truth::{Config, TestTarget};

use super::announce;
use crate::args::TestTargetArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::{lifeline, say};

/// Serves until told to end, and then says what it really did, as one more line.
///
/// # Errors
/// When the address is taken.
pub(crate) async fn test_target(args: &TestTargetArgs) -> Result<Exit, Failure> {
    let end = lifeline::token(args.role.until_stdin_closes).or_exit(Exit::Unexpected)?;
    let config = Config {
        delay: args.delay,
        stall: args.stall,
        drop: args.drop,
        duplicate: args.duplicate,
        swap: args.swap,
        seed: args.seed,
        ..Config::new(args.listen)
    };
    let bound = TestTarget::bind(config).await.or_exit(Exit::Unavailable)?;
    let (listen, ledger) = (bound.local_addr().to_string(), bound.ledger());
    let truth = format!("http://{listen}/truth");
    announce(&json!({"role": "test-target", "listen": listen, "truth": truth}))?;
    bound.serve(end.cancelled_owned()).await.or_exit(Exit::Unexpected)?;
    say::result(format_args!("{}\n", ledger.truth().told()))?;
    Ok(Exit::Passed)
}
