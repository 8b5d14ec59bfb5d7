//! What `throng run` and `throng rehearse` take alike.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// A scenario, where its report goes, and how its end is told.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct AlikeArgs {
    /// The scenario's file.
    pub(crate) scenario: PathBuf,
    /// Overrides a value of the scenario; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// The run's directory [default: runs/<id>].
    #[arg(long, env = "THRONG_OUT", value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Open the report in a browser at the end.
    #[arg(long)]
    pub(crate) open: bool,
    /// End with one line of JSON on stdout (verdict, result.json, report.html, the comparison if there is one) instead of
    /// the summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
