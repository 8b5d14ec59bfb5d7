//! Starting, serving and draining a node.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app::App;
use crate::config::Config;
use crate::shard;
use crate::stats::Stats;
use crate::store::{self, Store};
use crate::time::ticks;
use crate::{accept, api, edge, link};

/// Handshakes that may wait to be accepted: a crowd that reconnects comes at once. The kernel lowers it to its own
/// maximum (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;
/// How often it is looked who came and went.
const PRESENCE_EVERY: Duration = Duration::from_millis(100);

/// A chat server that listens and is ready to serve.
#[derive(Debug)]
pub struct ChatServer {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    link: Option<TcpListener>,
}

impl ChatServer {
    /// Opens the data directory, if there is one, loads it, and listens. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address can't be listened on, or the data directory can't be opened or read.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let listener = listen(config.listen).with_context(|| {
            format!("can't listen on {}: name another address or port, or port 0 for any free one", config.listen)
        })?;
        let address = listener.local_addr()?;
        if let Some(at) = config.link_listen {
            config.links.may_listen(at)?;
        }
        if let Some(origin) = &config.origin {
            config.links.endpoint(origin)?;
        }
        let link = config.link_listen.map(|at| {
            listen(at).with_context(|| format!("can't listen for edges on {at}: name another address or port"))
        });
        let link = link.transpose()?;
        let app = tokio::task::spawn_blocking(move || open(config)).await??;
        Ok(Self { app, listener, address, link })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where edges attach, if they may.
    ///
    /// # Errors
    /// When the system doesn't know.
    pub fn link_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.link.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Serves until `shutdown` completes, then drains: stops accepting, closes connections with code 1001, answers
    /// requests that are under way, writes what the data directory must hold. Takes [`Config::drain_timeout`] at most.
    ///
    /// # Errors
    /// When the data directory did not take the last changes in time; what was answered is on disk nevertheless.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { app, listener, link, .. } = self;
        let shards = Shards::start(&app).await?;
        app.tasks.spawn(accept::accept(app.clone(), listener));
        app.tasks.spawn(announce(app.clone()));
        if let Some(listener) = link {
            app.tasks.spawn(link::serve(app.clone(), listener, api::router(app.clone())));
        }
        let linked = app.edge.clone().map(|edge| tokio::spawn(edge::run(app.clone(), edge)));
        if linked.is_none() {
            app.tasks.spawn(tell_presence(app.clone()));
        }
        tokio::select! {
            () = shutdown => {}
            () = app.failed.cancelled() => {}
        }
        drain(&app, shards).await?;
        if let Some(linked) = linked {
            // It has a deadline of its own.
            let _ = linked.await;
        }
        anyhow::ensure!(!app.failed.is_cancelled(), "a shard has failed");
        Ok(())
    }
}

/// The shards' threads. They end with this, even if serving is given up half-way.
struct Shards {
    app: Arc<App>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    async fn start(app: &Arc<App>) -> anyhow::Result<Self> {
        let router = api::router(app.clone());
        let mut shards = Self { app: app.clone(), threads: Vec::new() };
        for number in 0..app.shards.len() {
            let (started, runs) = oneshot::channel();
            shards.threads.push(shard::start(app, number, &router, started).context("can't start a shard's thread")?);
            runs.await.context("a shard's thread has ended at its start")??;
        }
        Ok(shards)
    }

    /// Ends them, and waits until they have. Blocks.
    fn join(mut self) {
        self.app.ended.cancel();
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.app.draining.cancel();
        self.app.ended.cancel();
    }
}

/// A listener with a long backlog.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' last minutes.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn open(config: Config) -> anyhow::Result<Arc<App>> {
    let stats = Arc::new(Stats::default());
    let store = match &config.data_dir {
        Some(directory) => Some(Store::open(directory)?),
        None => None,
    };
    let app = App::new(config, store, stats);
    if let Some(store) = &app.store {
        store::load(&app, store).context("can't load the data directory")?;
    }
    Ok(Arc::new(app))
}

async fn drain(app: &Arc<App>, shards: Shards) -> anyhow::Result<()> {
    app.draining.cancel();
    app.tasks.close();
    // Most of the time is for clients; the rest is for the disk.
    let patience = app.config.drain_timeout.mul_f64(0.7);
    if tokio::time::timeout(patience, app.tasks.wait()).await.is_err() {
        tracing::warn!("{} tasks were still busy after {patience:?} of draining", app.tasks.len());
    }
    let closing = app.clone();
    let closed = tokio::task::spawn_blocking(move || {
        shards.join();
        if let Some(store) = &closing.store {
            store.close();
        }
    });
    let patience = app.config.drain_timeout.mul_f64(0.3);
    tokio::time::timeout(patience, closed)
        .await
        .context("the data directory did not take the last changes in time")??;
    Ok(())
}

/// Tells who came and went.
async fn tell_presence(app: Arc<App>) {
    let mut ticks = ticks(PRESENCE_EVERY);
    loop {
        tokio::select! {
            () = app.draining.cancelled() => return,
            _ = ticks.tick() => app.tell_presence().await,
        }
    }
}

/// Tells the watcher counts of throttled channels.
async fn announce(app: Arc<App>) {
    let mut ticks = ticks(app.config.watcher_count_every);
    loop {
        tokio::select! {
            () = app.draining.cancelled() => return,
            _ = ticks.tick() => app.announce().await,
        }
    }
}
