//! The processes of one run on this machine, and the order in which they start and end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::child::{Child, Ended, Role, Spec};
use super::nodes::{self, Nodes};
use super::restart::Restarts;
use super::sizes::Sizes;
use crate::rehearse::Rehearsal;
use crate::secrets::Secret;

/// How long everybody may take to drain; a role ends itself after 4 s.
const STOP_WITHIN: Duration = Duration::from_millis(4_700);
/// The data plane's name.
pub(crate) const DATA_PLANE: &str = "data-plane";
/// The control plane's name.
pub(crate) const CONTROL_PLANE: &str = "control-plane";
/// Where a control plane that may be started again keeps its runs, in the run's directory.
const STATE_DIR: &str = ".control-plane";
/// The process of a rehearsal's workers and probe.
const REHEARSED_WORKERS: &str = "rehearsed-workers";
/// Any free port of loopback.
pub(super) const ANY_PORT: &str = "127.0.0.1:0";

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The run's directory.
    pub(crate) dir: PathBuf,
    /// Worker processes.
    pub(crate) workers: u32,
    /// The bundled chat server is measured, and signs with these.
    pub(crate) chat_server: Option<Keys>,
    /// Its edges; 0: it holds the connections itself.
    pub(crate) edges: u32,
    /// Users that each of them may have.
    pub(crate) edge_users: u64,
    /// The OpenTelemetry collector that the data plane pushes to.
    pub(crate) collector: Option<String>,
    /// Set: workers and probe are simulated.
    pub(crate) rehearsal: Option<Rehearsal>,
}

/// What users of a chat server sign in with.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The service's API key.
    pub(crate) api_key: String,
    /// The service's API secret.
    pub(crate) api_secret: Secret,
}

/// The running processes.
#[derive(Debug)]
pub(crate) struct Fleet {
    children: BTreeMap<String, Child>,
    ended: mpsc::Receiver<Ended>,
    tell: mpsc::Sender<Ended>,
    dir: PathBuf,
    logs: PathBuf,
    restarts: Restarts,
    /// The control plane's gRPC API.
    pub(crate) control_plane: String,
    /// The control plane's page, if it has one.
    pub(crate) page: Option<String>,
    /// The data plane's gRPC API.
    pub(crate) data_plane: String,
    /// The bundled chat server's URLs, ws://…, of each edge; none: it was not started.
    pub(crate) bundled: Vec<String>,
}

impl Fleet {
    /// Starts all processes and waits until each serves.
    ///
    /// # Errors
    /// When one doesn't; with the last lines of its log.
    pub(crate) async fn start(plan: Plan) -> Result<Self> {
        let Plan { dir, workers, chat_server, edges, edge_users, collector, rehearsal } = plan;
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("can't make the directory {}", logs.display()))?;
        let (tell, ended) = mpsc::channel(64);
        let planes = Planes {
            dir: &dir,
            collector: collector.as_deref(),
            nice: niceness(edges, rehearsal.as_ref(), Role::DataPlane),
            remembers: rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.restarts(CONTROL_PLANE)),
        };
        let data_plane_spec = planes.data_plane(ANY_PORT);
        let (data_plane, nodes) = tokio::try_join!(Child::start(&data_plane_spec, &logs, tell.clone()), async {
            match &chat_server {
                Some(keys) => nodes::start(&logs, &tell, edges, edge_users, keys).await,
                None => Ok(Nodes::default()),
            }
        })?;
        let Nodes { children: nodes, urls: bundled, edges: mut again } = nodes;
        let data_plane_address = address(&data_plane, "listen")?;
        let data_plane_url = format!("http://{data_plane_address}");
        let control_plane_spec = planes.control_plane(&data_plane_url, ANY_PORT, ANY_PORT);
        let control_plane = Child::start(&control_plane_spec, &logs, tell.clone()).await?;
        let control_plane_address = address(&control_plane, "listen")?;
        let control_plane_url = format!("http://{control_plane_address}");
        let web = address(&control_plane, "web").ok();
        let page = web.as_ref().map(|a| format!("http://{a}/"));
        // Everybody knows them by these addresses, so they come back there.
        again.push(planes.data_plane(&data_plane_address).into());
        if planes.remembers {
            let web = web.as_deref().unwrap_or(ANY_PORT);
            again.push(planes.control_plane(&data_plane_url, &control_plane_address, web).into());
        }
        let mut children =
            BTreeMap::from([(DATA_PLANE.to_owned(), data_plane), (CONTROL_PLANE.to_owned(), control_plane)]);
        let agents = agents(workers, rehearsal.as_ref()).into_iter().map(|(name, role, flags)| {
            let mut spec = spec(&name, role, ["--control-plane", &control_plane_url]);
            spec.flags.extend(flags);
            spec.nice = niceness(edges, rehearsal.as_ref(), role);
            spec.threads = (role == Role::Worker).then(|| Sizes { workers, edges }.threads(workers)).flatten();
            spec.flags.extend(["--spool-dir".into(), dir.join(proto::kept::DIR).into()]);
            let (logs, tell) = (&logs, tell.clone());
            async move { Child::start(&spec, logs, tell).await.map(|child| (name, child)) }
        });
        children.extend(try_join_all(agents).await?);
        children.extend(nodes);
        Ok(Self {
            children,
            ended,
            tell,
            dir,
            logs,
            restarts: Restarts::of(again),
            control_plane: control_plane_url,
            page,
            data_plane: data_plane_url,
            bundled,
        })
    }

    /// The next process that ends without having been asked to. Safe to cancel.
    pub(crate) async fn next_ended(&mut self) -> Ended {
        let ended = self.ended.recv().await.expect("the fleet holds a sender itself");
        self.children.remove(&ended.name);
        ended
    }

    /// Whether a process goes on where it was when it is started again.
    pub(crate) fn may_restart(&self, name: &str) -> bool {
        self.restarts.may(name)
    }

    /// Starts a process again, at the address that everybody knows.
    ///
    /// # Errors
    /// When it is none that may be, doesn't come back, or has come back often enough.
    pub(crate) async fn restart(&mut self, name: &str) -> Result<()> {
        let child = self.restarts.restart(name, &self.logs, &self.tell).await?;
        self.children.insert(name.to_owned(), child);
        Ok(())
    }

    /// Ends a process hard; as it was not asked to end, it is told of as ended.
    pub(crate) fn kill(&self, name: &str) {
        if let Some(child) = self.children.get(name) {
            child.kill();
        }
    }

    /// Asks workers and probe to ship what they have and end.
    pub(crate) fn release_agents(&mut self) {
        let agents =
            |name: &str| name.starts_with("worker-") || name.starts_with("probe-") || name == REHEARSED_WORKERS;
        self.children.iter_mut().filter(|(name, _)| agents(name)).for_each(|(_, child)| child.release());
    }

    /// Ends all processes: asks each, waits, and kills what is left.
    pub(crate) async fn stop(mut self) {
        for child in self.children.values_mut() {
            child.release();
        }
        self.end_all().await;
        // Empty, unless a run is still open there; then it is needed to go on with it.
        let _ = std::fs::remove_dir(self.dir.join(".open"));
        // Empty, unless something never reached the data plane.
        let _ = std::fs::remove_dir(self.dir.join(proto::kept::DIR));
        if self.may_restart(CONTROL_PLANE) {
            // Of no use to anybody: the run is over, and its account is in its directory.
            let _ = std::fs::remove_dir_all(self.dir.join(STATE_DIR));
        }
    }

    async fn end_all(&mut self) {
        if timeout(STOP_WITHIN, self.all_gone()).await.is_ok() {
            return;
        }
        for (name, child) in &self.children {
            tracing::debug!(name, "killed, if it has not ended by now");
            child.kill();
        }
        // A killed process is gone as soon as the kernel has time for it; more can't be done.
        let _ = timeout(Duration::from_secs(2), self.all_gone()).await;
    }

    async fn all_gone(&mut self) {
        for child in self.children.values_mut() {
            child.gone().await;
        }
    }
}

/// How the two planes are started.
struct Planes<'a> {
    /// The run's directory.
    dir: &'a Path,
    collector: Option<&'a str>,
    nice: Option<i32>,
    /// The control plane keeps its runs on disk.
    remembers: bool,
}

impl Planes<'_> {
    fn data_plane(&self, listen: &str) -> Spec {
        let mut spec = spec(DATA_PLANE, Role::DataPlane, ["--listen", listen]);
        // It remembers open runs in this directory, where no other throng's data plane finds them.
        spec.flags.extend(["--runs-dir".into(), self.dir.into()]);
        spec.flags.extend(self.collector.iter().flat_map(|url| ["--otlp-endpoint".into(), url.into()]));
        spec.nice = self.nice;
        spec
    }

    fn control_plane(&self, data_plane: &str, listen: &str, web: &str) -> Spec {
        let words = ["--listen", listen, "--web-listen", web, "--data-plane", data_plane];
        let mut spec = spec(CONTROL_PLANE, Role::ControlPlane, words);
        if self.remembers {
            spec.flags.extend(["--state-dir".into(), self.dir.join(STATE_DIR).into()]);
        }
        spec
    }
}

/// Workers and probe: names, roles, flags of their own. In a rehearsal all of them are one process.
fn agents(workers: u32, rehearsal: Option<&Rehearsal>) -> Vec<(String, Role, Vec<OsString>)> {
    if let Some(Rehearsal { workers, faults, .. }) = rehearsal {
        let mut flags = flags(["--workers", &workers.to_string()]);
        flags.extend(faults.iter().flat_map(|fault| self::flags(["--fault", &fault.to_string()])));
        return vec![(REHEARSED_WORKERS.to_owned(), Role::RehearsedWorkers, flags)];
    }
    let named = (1..=workers).map(|n| (format!("worker-{n}"), Role::Worker));
    let named = named.chain([("probe-1".to_owned(), Role::Probe)]);
    named.map(|(name, role)| (name.clone(), role, flags(["--name", &name]))).collect()
}

pub(super) fn spec<const N: usize>(name: &str, role: Role, words: [&str; N]) -> Spec {
    Spec { name: name.to_owned(), role, flags: flags(words), nice: None, threads: None }
}

/// How far a process gives way when a service of several processes, and workers for it, fill the machine: whoever keeps
/// the account goes first, or it would be taken for frozen. Load and service go as equals: one that starves the other makes
/// it turn users away, who come again and make it worse. In a small fleet only the data plane gives way.
///
/// In a rehearsal nobody is timed, and the data plane is who is rehearsed.
pub(super) fn niceness(edges: u32, rehearsal: Option<&Rehearsal>, role: Role) -> Option<i32> {
    let niceness = match role {
        // Of simulated workers their users give way, thread by thread; who says that a worker is there does not.
        Role::DataPlane | Role::ControlPlane | Role::Probe | Role::RehearsedWorkers => 0,
        Role::Worker | Role::ChatServer => 5,
    };
    (edges > 0 || rehearsal.is_some()).then_some(niceness)
}

pub(super) fn flags<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

pub(super) fn address(child: &Child, key: &str) -> Result<String> {
    let said = &child.ready;
    said[key].as_str().map(str::to_owned).with_context(|| format!("a role's first line has no {key:?}: {said}"))
}
