//! One role, as a service: from arguments to a library's configuration, a line that says that it serves, and draining.

mod chat_server;
mod control_plane;
mod data_plane;
mod probe;
mod rehearsed_workers;
mod shipping;
mod test_target;
mod worker;

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

pub(crate) use chat_server::chat_server;
pub(crate) use control_plane::control_plane;
pub(crate) use data_plane::data_plane;
pub(crate) use probe::probe;
pub(crate) use rehearsed_workers::rehearsed_workers;
pub(crate) use test_target::test_target;
pub(crate) use worker::worker;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::say;

/// How long tasks that are left over may take once everything has been said.
const LEFT_OVER: Duration = Duration::from_millis(200);

/// Lets other processes of this machine go first, as far as `nice` counts: 10 leaves a tenth of the weight.
pub(crate) fn give_way(niceness: i32) {
    // Where it is refused everything works, and is only less exact.
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!(%error, "runs at the same priority as everything else");
    }
}

/// Runs a future on a runtime of its own, with so many threads; none said: one a core.
pub(crate) fn block_on(
    threads: Option<NonZeroU32>,
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads.get() as usize);
    }
    let runtime = builder.enable_all().build();
    let limits = "the threads can't be started: are open files or processes limited (ulimit -n, ulimit -u)?";
    let runtime = runtime.context(limits).or_exit(Exit::Unavailable)?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_OVER);
    done
}

/// Says on stdout that this role serves, and where: one line, as soon as it is true.
fn announce(ready: &Value) -> Result<(), Failure> {
    say::result(format_args!("{ready}\n"))?;
    tracing::info!(%ready, "serves");
    Ok(())
}

/// The name of an agent that was given none.
fn name_or_host(name: Option<&str>) -> String {
    name.map_or_else(|| format!("{}-{}", host(), std::process::id()), str::to_owned)
}

/// This host's name.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Cores that this process may use.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}
