//! One process of the local fleet: started, awaited until it serves, watched, ended.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::logs;

/// How long a process may take until it says that it serves.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How many lines of a dead process's log are shown.
const LAST_LINES: usize = 8;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its name in the fleet, and of its log.
    pub(crate) name: String,
    /// The subcommand.
    pub(crate) role: Role,
    /// Its flags.
    pub(crate) flags: Vec<OsString>,
    /// How far it gives way to the others; `None`: as far as its role does anyway.
    pub(crate) nice: Option<i32>,
    /// Its threads; `None`: as many as there are cores.
    pub(crate) threads: Option<u32>,
}

/// What a process of the fleet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Merges and reports.
    DataPlane,
    /// Hands out the scenario.
    ControlPlane,
    /// Is measured.
    ChatServer,
    /// Makes load.
    Worker,
    /// Simulates workers.
    RehearsedWorkers,
    /// Measures.
    Probe,
}

impl Role {
    /// Its subcommand.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DataPlane => "data-plane",
            Self::ControlPlane => "control-plane",
            Self::ChatServer => "chat-server",
            Self::Worker => "worker",
            Self::RehearsedWorkers => "rehearsed-workers",
            Self::Probe => "probe",
        }
    }
}

/// A process that ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// Which.
    pub(crate) name: String,
    /// What it was for.
    pub(crate) role: Role,
    /// How it ended, in words.
    pub(crate) how: String,
}

/// A running process. Dropping it closes its stdin, upon which it drains and ends by itself.
#[derive(Debug)]
pub(crate) struct Child {
    /// What it says once it serves.
    pub(crate) ready: serde_json::Value,
    lifeline: Option<ChildStdin>,
    kill: Arc<Notify>,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts our own binary and waits until it serves. Its stderr goes to `logs/<name>.log`; when it ends later,
    /// `ended` hears of it.
    ///
    /// # Errors
    /// When it can't be started, ends before it serves, or doesn't serve in time; with the last lines of its log.
    pub(crate) async fn start(spec: &Spec, logs: &Path, ended: mpsc::Sender<Ended>) -> Result<Self> {
        let log = logs.join(format!("{}.log", spec.name));
        let mut process = command(spec, &log)?.spawn().with_context(|| format!("{} can't be started", spec.name))?;
        let lifeline = process.stdin.take();
        let stdout = process.stdout.take().context("stdout was piped")?;
        let kill = Arc::new(Notify::new());
        let (tell, status) = watch::channel(None);
        let (serves, served) = oneshot::channel();
        let (killed, name, role) = (Arc::clone(&kill), spec.name.clone(), spec.role);
        tokio::spawn(async move {
            let status = wait(process, &killed).await;
            let how = status.as_ref().map_or_else(ToString::to_string, describe);
            tell.send_replace(Some(status.unwrap_or_default()));
            // Before it served, `start` tells its end; and nobody listens once the fleet ends by itself.
            if served.await.is_ok() {
                let _ = ended.send(Ended { name, role, how }).await;
            }
        });
        let mut child = Self { ready: serde_json::Value::Null, lifeline, kill, status };
        match child.first_line(stdout).await {
            Ok(ready) => {
                child.ready = ready;
                let _ = serves.send(());
            }
            Err(error) => {
                child.kill();
                let end = logs::tail(&log, LAST_LINES);
                let end = if end.is_empty() { "(empty)".to_owned() } else { end };
                bail!("{} {error:#}\nthe end of its log, {}:\n{end}", spec.name, log.display());
            }
        }
        Ok(child)
    }

    /// Waits for the line that says that it serves; what it prints later is read and dropped, so that it never blocks.
    async fn first_line(&mut self, stdout: ChildStdout) -> Result<serde_json::Value> {
        let mut lines = BufReader::new(stdout).lines();
        let first = match timeout(READY_WITHIN, lines.next_line()).await {
            Err(_) => bail!("did not say within {} s that it serves", READY_WITHIN.as_secs()),
            Ok(line) => line.context("can't be heard")?,
        };
        let Some(first) = first else {
            // Its stdout is closed, so its end is near.
            let status = timeout(Duration::from_secs(1), self.status.wait_for(Option::is_some)).await;
            let how = match status {
                Ok(Ok(status)) => status.as_ref().map(describe),
                Ok(Err(_)) | Err(_) => None,
            };
            bail!("{} before it served", how.unwrap_or_else(|| "closed its stdout".to_owned()));
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        serde_json::from_str(&first)
            .with_context(|| format!("said {first:?}, which is not how a role says that it serves"))
    }

    /// Asks it to end, by closing its stdin.
    pub(crate) fn release(&mut self) {
        self.lifeline = None;
    }

    /// Ends it hard.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Waits until it has ended.
    pub(crate) async fn gone(&mut self) {
        // An error means that its watcher is gone, and so is the process.
        let _ = self.status.wait_for(Option::is_some).await;
    }
}

/// Waits for the end of a process, or brings it about.
async fn wait(mut process: tokio::process::Child, kill: &Notify) -> std::io::Result<ExitStatus> {
    tokio::select! {
        status = process.wait() => status,
        () = kill.notified() => {
            // It may have ended just now, which is what was wanted.
            let _ = process.start_kill();
            process.wait().await
        }
    }
}

fn command(spec: &Spec, log: &Path) -> Result<Command> {
    let program = std::env::current_exe().context("our own program can't be found")?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let mut command = Command::new(program);
    command
        .arg(spec.role.name())
        .args(&spec.flags)
        .args(spec.nice.map(|n| format!("--nice={n}")))
        .args(spec.threads.map(|n| format!("--threads={n}")))
        .arg("--until-stdin-closes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.context("its log can't be written")?)
        // A terminal's Ctrl-C reaches `throng run` alone, which ends the others in order.
        .process_group(0);
    // What the environment says is meant for `throng run`; the fleet gets flags.
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy();
        if ours.starts_with("THRONG_") && ours != "THRONG_LOG" {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

fn describe(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(9)) => "was killed (signal 9)".to_owned(),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
