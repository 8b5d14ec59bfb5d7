//! `throng probe`.
use crate::args::AgentArgs;
use crate::exit::{Exit, Failure};
pub(crate) async fn probe(_args: &AgentArgs) -> Result<Exit, Failure> { Err(Failure::told(Exit::Unexpected)) }
