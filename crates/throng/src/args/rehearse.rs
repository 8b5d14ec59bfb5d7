//! `throng rehearse` on the command line, and the role behind it.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{AlikeArgs, RoleArgs};
use crate::rehearse::faults::Fault;

/// `throng rehearse`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RehearseArgs {
    #[command(flatten)]
    pub(crate) alike: AlikeArgs,
    /// How many workers are simulated.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) workers: u32,
    /// How many times faster than real time the run's time goes.
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = speed)]
    pub(crate) speed: f64,
    /// Something that fails, and when in the run's time; may be given again. kill-worker:17@30s: worker 17 is gone.
    /// cut-link:17+2s@30s: nothing passes between it and the two planes for 2 s of real time; without +2s for good.
    /// skew-clock:17+250ms@0s, or -250ms+30us/s: its host's clock is off, and drifts. restart-data-plane@1m and
    /// restart-control-plane@1m: killed, and started again.
    #[arg(long = "fault", value_name = "WHAT@WHEN")]
    pub(crate) faults: Vec<Fault>,
}

/// The simulated workers of a rehearsal, as one process.
#[derive(Debug, ClapArgs)]
pub(crate) struct RehearsedWorkersArgs {
    /// The control plane to join.
    #[arg(long, value_name = "URL")]
    pub(crate) control_plane: String,
    /// How many workers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) workers: u32,
    /// Where measurements wait while there is no data plane to take them.
    #[arg(long, value_name = "DIR")]
    pub(crate) spool_dir: PathBuf,
    /// What fails, and when.
    #[arg(long = "fault", value_name = "WHAT@WHEN")]
    pub(crate) faults: Vec<Fault>,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (1.0..=1_000.0).contains(speed));
    speed.ok_or_else(|| "write a speed from 1 (real time) to 1000".to_owned())
}
