//! `throng worker`.
use crate::args::AgentArgs;
use crate::exit::{Exit, Failure};
pub(crate) async fn worker(_args: &AgentArgs, _open_files: u64) -> Result<Exit, Failure> { Err(Failure::told(Exit::Unexpected)) }
