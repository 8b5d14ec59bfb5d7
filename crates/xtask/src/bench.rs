//! `cargo xtask bench`: throng measured against its own aims, in release.

mod machine;
mod measuring;
mod results;

use anyhow::{Result, bail};
use clap::Args;

use crate::{repo, steps};

/// What to measure, and for whom.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Only the benchmarks whose name contains this.
    name: Option<String>,
    /// End with one line of JSON a benchmark.
    #[arg(long)]
    json: bool,
}

/// One figure, and what it should be.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) bench: &'static str,
    pub(crate) unit: &'static str,
    /// Median of the rounds.
    pub(crate) value: f64,
    /// Least and most of the rounds.
    pub(crate) spread: (f64, f64),
    /// What the same run measured as the limit of what can be had; `None`: there is no such thing.
    pub(crate) limit: Option<f64>,
    pub(crate) aim: Aim,
}

/// When a figure is good.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// At most so much.
    AtMost(f64),
}

impl Figure {
    fn met(&self) -> bool {
        match self.aim {
            Aim::AtMost(most) => self.value <= most,
        }
    }
}

/// A benchmark's name, and what measures it.
type Bench = (&'static str, fn() -> Figure);

/// All benchmarks.
const BENCHES: &[Bench] = &[
    ("record", measuring::record),
    ("record-delivery", measuring::record_delivery),
    ("stamp", measuring::stamp),
    ("merge-encode", measuring::merge_and_encode),
    ("ingest", measuring::ingest),
];

/// Runs the benchmarks, prints their figures, and writes them to `benches/RESULTS.md`.
///
/// # Errors
/// When no benchmark has this name, or the results can't be written. A missed aim is told, and no error.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release(args);
    }
    let wanted = args.name.as_deref().unwrap_or_default();
    let chosen: Vec<_> = BENCHES.iter().filter(|(name, _)| name.contains(wanted)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark is named {wanted:?}; there are: {}", names.join(", "));
    }
    let figures: Vec<Figure> = chosen.into_iter().map(|(_, measure)| measure()).inspect(results::print).collect();
    results::write(&figures)?;
    if args.json {
        figures.iter().for_each(|f| println!("{}", results::json(f)));
    }
    Ok(())
}

/// Figures of a debug build mean nothing.
fn again_in_release(args: &BenchArgs) -> Result<()> {
    let mut cargo = repo::cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench"]).args(&args.name);
    if args.json {
        cargo.arg("--json");
    }
    steps::run(&mut cargo)
}
