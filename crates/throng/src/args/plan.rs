//! `throng plan` on the command line.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// `throng plan`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    /// The scenario's file.
    pub(crate) scenario: PathBuf,
    /// Overrides a value of the scenario; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// How many workers [default: as many as are needed].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) workers: Option<u32>,
    /// Plan a fleet of hosts of this kind (c7i.8xlarge), with its cost, instead of processes on this machine.
    #[arg(long, env = "THRONG_HOST", value_name = "KIND")]
    pub(crate) host: Option<String>,
    /// With --host: show the arithmetic of every limit.
    #[arg(long, requires = "host")]
    pub(crate) explain: bool,
    /// With --host: the fleet brings the bundled chat server, though the scenario names another target.
    #[arg(long, requires = "host")]
    pub(crate) bundled: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}
