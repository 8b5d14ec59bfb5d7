//! `cargo xtask bench`: throng measured against its own aims, in release.

pub(crate) mod abuse;
pub(crate) mod bare;
pub(crate) mod crowd;
mod machine;
mod measuring;
mod nchan;
mod rehearse;
mod results;
mod room;
mod rounds;
mod served;
mod slow;
mod system;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{repo, steps};

/// What to measure, and for whom.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Only the benchmarks whose name contains this; `million` runs only when it is named.
    name: Option<String>,
    /// End with one line of JSON a benchmark.
    #[arg(long)]
    json: bool,
    /// With many messages in flight: `fanout --busy` is `fanout-busy`.
    #[arg(long, requires = "name")]
    busy: bool,
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
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// At least so many times the limit.
    RatioAtLeast(f64),
    /// At most so many times the limit.
    RatioAtMost(f64),
}

impl Figure {
    /// The value in parts of the limit.
    fn ratio(&self) -> Option<f64> {
        self.limit.map(|limit| self.value / limit)
    }

    fn met(&self) -> bool {
        match self.aim {
            Aim::AtLeast(least) => self.value >= least,
            Aim::AtMost(most) => self.value <= most,
            Aim::RatioAtLeast(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Aim::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
        }
    }
}

/// A benchmark's name, and what measures it.
type Bench = (&'static str, fn() -> Result<Vec<Figure>>);

/// All benchmarks.
const BENCHES: &[Bench] = &[
    ("record", || Ok(vec![measuring::record()])),
    ("record-delivery", || Ok(vec![measuring::record_delivery()])),
    ("stamp", || Ok(vec![measuring::stamp()])),
    ("merge-encode", || Ok(vec![measuring::merge_and_encode()])),
    ("ingest", || Ok(vec![measuring::ingest()])),
    ("footprint", room::footprint),
    ("fanout", room::fanout),
    ("fanout-busy", room::fanout_busy),
    ("fanout-nchan", nchan::fanout),
    ("connect", room::connect),
    ("deflate", room::deflate),
    ("slow-readers", abuse::slow_readers),
    ("half-open", abuse::half_open),
    ("million", room::million),
    ("rehearse", rehearse::at_real_time),
    ("rehearse-hour", rehearse::hour),
];

/// The one that takes all of the machine for a quarter of an hour.
const BY_NAME_ONLY: &str = "million";

/// Those that run the binary.
const OF_THE_SYSTEM: [&str; 11] = [
    "footprint",
    "fanout",
    "fanout-busy",
    "fanout-nchan",
    "connect",
    "deflate",
    "slow-readers",
    "half-open",
    "million",
    "rehearse",
    "rehearse-hour",
];

/// Runs the benchmarks, prints their figures, and writes them to `benches/RESULTS.md`.
///
/// # Errors
/// When no benchmark has this name, or the results can't be written. A missed aim is told, and no error.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release(args);
    }
    let mut wanted = args.name.clone().unwrap_or_default();
    if args.busy {
        wanted.push_str("-busy");
    }
    let exact = BENCHES.iter().any(|(name, _)| *name == wanted);
    // `fanout` is held against its limit and against its peer.
    let with_peer = |name: &str| wanted == "fanout" && name == "fanout-nchan";
    let is_chosen = |name: &str| match exact {
        true => name == wanted || with_peer(name),
        false => name.contains(&wanted) && name != BY_NAME_ONLY,
    };
    let chosen: Vec<_> = BENCHES.iter().filter(|(name, _)| is_chosen(name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark is named {wanted:?}; there are: {}", names.join(", "));
    }
    if chosen.iter().any(|(name, _)| OF_THE_SYSTEM.contains(name)) {
        system::build()?;
    }
    let mut figures = Vec::new();
    for (name, measure) in chosen {
        let measured = measure().with_context(|| format!("the benchmark {name}"))?;
        measured.iter().for_each(results::print);
        figures.extend(measured);
    }
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
    if args.busy {
        cargo.arg("--busy");
    }
    steps::run(&mut cargo)
}
