//! throng: load and latency testing for chat and other realtime services. One binary, which is every process of a
//! fleet, and the command that starts one.

mod args;
mod browser;
mod commands;
mod ctl;
#[cfg(test)]
mod deployed;
mod exit;
mod lifeline;
mod limits;
mod local;
mod logs;
mod rehearse;
mod roles;
mod run;
mod say;
mod scenario;
mod secrets;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    logs::start(&args.log, matches!(args.command, Command::Run(_) | Command::Rehearse(_)));
    match dispatch(&args.command, limits::raise_open_files()) {
        Ok(exit) => exit.into(),
        Err(Failure { exit, error }) => {
            if let Some(error) = error {
                say::tell(format_args!("error: {error:#}\n"));
            }
            exit.into()
        }
    }
}

fn dispatch(command: &Command, open_files: u64) -> Result<Exit, Failure> {
    // Before any runtime, whose threads inherit it.
    roles::give_way(niceness(command));
    match command {
        Command::Run(args) => roles::block_on(run::run(args, open_files, None)),
        Command::Rehearse(args) => roles::block_on(rehearse::rehearse(args, open_files)),
        Command::Ctl(args) => roles::block_on(ctl::ctl(args)),
        Command::Validate(args) => commands::validate(args),
        Command::Plan(args) => commands::plan(args, open_files),
        Command::Schema => commands::schema(),
        Command::Report(args) => commands::report(args),
        Command::Compare(args) => commands::compare(args),
        Command::Export(args) => commands::export(args),
        Command::Certs(args) => commands::certs(args),
        Command::Token(args) => commands::token(args),
        Command::ControlPlane(args) => roles::block_on(roles::control_plane(args)),
        Command::Worker(args) => roles::block_on(roles::worker(args)),
        Command::Probe(args) => roles::block_on(roles::probe(args)),
        Command::DataPlane(args) => roles::block_on(roles::data_plane(args)),
        Command::TestTarget(args) => roles::block_on(roles::test_target(args)),
        Command::RehearsedWorkers(args) => roles::block_on(roles::rehearsed_workers(args)),
        Command::ChatServer(args) => roles::block_on(roles::chat_server(args, open_files)),
    }
}

/// How far a process gives way to others of this machine, as `nice` counts. The data plane does unless it is told otherwise:
/// merging and drawing can wait, and a worker or a service that shares the machine can't, since it would be measured as
/// later than it is.
fn niceness(command: &Command) -> i32 {
    const DATA_PLANE: i32 = 10;
    match command {
        Command::DataPlane(args) => args.role.nice.unwrap_or(DATA_PLANE),
        Command::ControlPlane(args) => args.role.nice.unwrap_or_default(),
        Command::Worker(args) => args.agent.role.nice.unwrap_or_default(),
        Command::Probe(args) => args.role.nice.unwrap_or_default(),
        Command::RehearsedWorkers(args) => args.role.nice.unwrap_or_default(),
        Command::ChatServer(args) => args.role.nice.unwrap_or_default(),
        _ => 0,
    }
}

/// Help and version are results; everything else that clap says is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Whoever closed our stderr doesn't want to hear it.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Passed.into() }
}
