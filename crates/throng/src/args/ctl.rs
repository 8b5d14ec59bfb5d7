//! The command line of `throng ctl`.

use clap::{Args as ClapArgs, Subcommand};

use super::{LinkArgs, PeopleArgs};

/// `throng ctl`.
#[derive(Debug, ClapArgs)]
pub(crate) struct CtlArgs {
    #[command(subcommand)]
    pub(crate) command: CtlCommand,
}

/// What to see or do.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// List the runs, newest first: under way, waiting, ended.
    Runs(FleetArgs),
    /// List the workers and probes that have joined, and what each of them does.
    #[command(visible_alias = "workers")]
    Agents(FleetArgs),
    /// Cancel a run: one that waits ends at once, one under way stops its load and reports what was measured.
    Cancel {
        /// Its id, as `throng ctl runs` shows it.
        run: String,
        /// Why, for its report.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Drain a worker or probe: it takes no new run, finishes the one that it has, and then ends.
    Drain {
        /// Its name, as `throng ctl agents` shows it.
        agent: String,
        #[command(flatten)]
        fleet: FleetArgs,
    },
}

/// Which fleet, and how to speak with it.
#[derive(Debug, ClapArgs)]
pub(crate) struct FleetArgs {
    /// The fleet's control plane (http:// or https://).
    #[arg(long, env = "THRONG_CONTROL_PLANE", default_value = "http://127.0.0.1:7700", value_name = "URL")]
    pub(crate) control_plane: String,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
    #[command(flatten)]
    pub(crate) people: PeopleArgs,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}
