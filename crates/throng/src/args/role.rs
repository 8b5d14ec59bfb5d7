//! What every role takes.

use std::num::NonZeroU32;

use clap::Args as ClapArgs;

/// See the module.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct RoleArgs {
    /// End when stdin reaches its end: whoever started this process is gone.
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
    /// How far it gives way to other processes of this host, as `nice` counts.
    #[arg(long, hide = true, value_parser = clap::value_parser!(i32).range(0..=19), value_name = "N")]
    pub(crate) nice: Option<i32>,
    /// Threads of its event loops, and of its users or connections, instead of one a core: for hosts with many processes.
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroU32>,
}
