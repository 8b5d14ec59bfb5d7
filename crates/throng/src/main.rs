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

use args::{Args, Command, RoleArgs};
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
    let threads = role(command).and_then(|role| role.threads);
    match command {
        Command::Run(args) => roles::block_on(threads, run::run(args, open_files, None)),
        Command::Rehearse(args) => roles::block_on(threads, rehearse::rehearse(args, open_files)),
        Command::Ctl(args) => roles::block_on(threads, ctl::ctl(args)),
        Command::Validate(args) => commands::validate(args),
        Command::Plan(args) => commands::plan(args, open_files),
        Command::Schema => commands::schema(),
        Command::Report(args) => commands::report(args),
        Command::Compare(args) => commands::compare(args),
        Command::Export(args) => commands::export(args),
        Command::Certs(args) => commands::certs(args),
        Command::Token(args) => commands::token(args),
        Command::ControlPlane(args) => roles::block_on(threads, roles::control_plane(args)),
        Command::Worker(args) => roles::block_on(threads, roles::worker(args)),
        Command::Probe(args) => roles::block_on(threads, roles::probe(args)),
        Command::DataPlane(args) => roles::block_on(threads, roles::data_plane(args)),
        Command::TestTarget(args) => roles::block_on(threads, roles::test_target(args)),
        Command::RehearsedWorkers(args) => roles::block_on(threads, roles::rehearsed_workers(args)),
        Command::ChatServer(args) => roles::block_on(threads, roles::chat_server(args, open_files)),
    }
}

/// How far a process gives way to others of this machine, as `nice` counts. The data plane does unless it is told otherwise:
/// merging and drawing can wait, and a worker or a service that shares the machine can't, since it would be measured as
/// later than it is.
fn niceness(command: &Command) -> i32 {
    const DATA_PLANE: i32 = 10;
    let usual = if matches!(command, Command::DataPlane(_)) { DATA_PLANE } else { 0 };
    role(command).and_then(|role| role.nice).unwrap_or(usual)
}

/// What a role was told as such.
fn role(command: &Command) -> Option<&RoleArgs> {
    match command {
        Command::DataPlane(args) => Some(&args.role),
        Command::ControlPlane(args) => Some(&args.role),
        Command::Worker(args) => Some(&args.agent.role),
        Command::Probe(args) => Some(&args.role),
        Command::RehearsedWorkers(args) => Some(&args.role),
        Command::ChatServer(args) => Some(&args.role),
        _ => None,
    }
}

/// Help and version are results; everything else that clap says is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Whoever closed our stderr doesn't want to hear it.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Passed.into() }
}
