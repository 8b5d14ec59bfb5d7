//! The data plane as a process: bind, recover, serve, and close what is open when it is told to go.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proto::telemetry::CloseRequest;
use proto::telemetry::data_plane_server::DataPlaneServer;
use proto::telemetry::telemetry_server::TelemetryServer;
use tls::Links;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::ingest::Ingest;
use crate::live_page;
use crate::opened::understand;
use crate::push::{Collector, Pusher};
use crate::scrape;
use crate::service::Service;
use crate::store::{Refusal, Store};

/// How long a data plane that is told to go waits for sources to say goodbye; rendering comes on top.
const GOODBYES_MS: u32 = 800;

/// A data plane that is told to go is gone after so long, rendered or not: whoever stopped it may kill it soon after.
const GONE_AFTER: Duration = Duration::from_millis(3_000);

/// What a collector may take for the last numbers; on top, and still within the four seconds that everybody has.
const LAST_PUSH: Duration = Duration::from_millis(600);

/// How often an idle connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What a data plane must be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The runs directory: each run gets a directory in it, unless it names its own.
    pub dir: PathBuf,
    /// Where to answer Prometheus at `/metrics`; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Who may reach us.
    pub links: Links,
    /// The OpenTelemetry collector to push to; `None`: nobody.
    pub collector: Option<Collector>,
}

/// A data plane that has its port and its runs, and doesn't serve yet.
#[derive(Debug)]
pub struct DataPlane {
    listener: TcpListener,
    metrics: Option<TcpListener>,
    links: Links,
    collector: Option<Collector>,
    store: Arc<Store>,
}

impl DataPlane {
    /// Binds the port and reads the journals of runs that were open when the directory was last in use.
    ///
    /// # Errors
    /// When the directory can't be written or the port is taken, with what to do about it.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let (dir, pushes) = (config.dir.clone(), config.collector.is_some());
        let store = tokio::task::spawn_blocking(move || Store::recover(&dir, understand, pushes)).await?;
        let store = store.map_err(|e| unwritable(&config.dir, &e))?;
        for address in [Some(config.listen), config.metrics_listen].into_iter().flatten() {
            config.links.may_listen(address)?;
        }
        let listener = listen(config.listen).await?;
        let metrics = match config.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { listener, metrics, links: config.links, collector: config.collector, store: Arc::new(store) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system doesn't say.
    pub fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where it answers Prometheus, if it was told to.
    ///
    /// # Errors
    /// When the operating system doesn't say.
    pub fn metrics_addr(&self) -> anyhow::Result<Option<SocketAddr>> {
        Ok(self.metrics.as_ref().map(TcpListener::local_addr).transpose()?)
    }

    /// The runs directory, as an absolute path.
    pub fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// Serves until `shutdown`, then closes the open runs as interrupted, within three seconds.
    ///
    /// # Errors
    /// When serving ends by itself.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, metrics, links, collector, store } = self;
        let mut pusher = collector.map(|collector| Pusher::new(collector, store.clone()));
        let telemetry =
            TelemetryServer::new(Ingest::new(store.clone())).max_decoding_message_size(proto::MESSAGE_BYTES_MAX);
        let plane =
            DataPlaneServer::new(Service::new(store.clone())).max_decoding_message_size(proto::MESSAGE_BYTES_MAX);
        let server = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_adaptive_window(Some(true))
            .add_service(telemetry)
            .add_service(plane)
            .serve_with_incoming(links.fleet(listener));
        let metrics = metrics.map(|listener| links.programs(listener));
        tokio::pin!(server);
        tokio::select! {
            ended = &mut server => return ended.context("the data plane's server ended"),
            ended = scrape::serve(metrics, store.clone()) => return ended,
            () = live_page::keep(&store) => {}
            () = pushing(pusher.as_mut()) => {}
            () = shutdown => {}
        }
        // It goes on serving meanwhile, so that those who have something left to ship still can.
        tokio::select! {
            ended = &mut server => ended.context("the data plane's server ended"),
            () = async {
                close_all(&store).await;
                if let Some(pusher) = &mut pusher {
                    pusher.finish(LAST_PUSH).await;
                }
            } => Ok(()),
        }
    }
}

async fn pushing(pusher: Option<&mut Pusher>) {
    match pusher {
        Some(pusher) => pusher.keep().await,
        None => std::future::pending().await,
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}: name another address or port, or port 0 for any free one"))
}

async fn close_all(store: &Store) {
    let deadline = Instant::now() + GONE_AFTER;
    let mut closing = tokio::task::JoinSet::new();
    for cell in store.open_runs() {
        closing.spawn(async move {
            let Ok(request) = cell.with(|run| Ok(interrupted(&run.state))) else { return };
            match cell.close(request).await {
                Ok(reply) => tracing::info!(dir = reply.dir, "closed an open run as interrupted"),
                Err(e) => tracing::error!("an open run could not be closed: {e}; its journal is kept"),
            }
        });
    }
    if tokio::time::timeout_at(deadline, async { while closing.join_next().await.is_some() {} }).await.is_err() {
        tracing::error!("some open runs could not be closed in time; their journals are kept");
    }
}

fn interrupted(run: &crate::run::RunState) -> CloseRequest {
    CloseRequest {
        run: run.opened.request.run.clone(),
        interrupted: true,
        wait_ms: GOODBYES_MS,
        invalid_reasons: vec!["The data plane was stopped while the run was going on.".to_owned()],
        ..CloseRequest::default()
    }
}

fn unwritable(dir: &Path, refusal: &Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Disk { source, .. } => anyhow::anyhow!(
            "can't write to the runs directory {}: {source}; start throng where you may write, or name another directory",
            dir.display()
        ),
        other => anyhow::anyhow!("{other}"),
    }
}
