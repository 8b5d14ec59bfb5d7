//! Starting, serving and draining a node.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use wire::close;

use crate::app::App;
use crate::config::Config;
use crate::stats::{Stats, add};
use crate::store::{self, Store};
use crate::{accept, api};

/// Handshakes that may wait to be accepted: a crowd that reconnects comes at once. The kernel lowers it to its own
/// maximum (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;
/// How often the event loop's delay is measured.
const DELAY_EVERY: Duration = Duration::from_millis(100);

/// A chat server that listens and is ready to serve.
#[derive(Debug)]
pub struct ChatServer {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
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
        let app = tokio::task::spawn_blocking(move || open(config)).await??;
        Ok(Self { app, listener, address })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, then drains: stops accepting, closes connections with code 1001, answers
    /// requests that are under way, writes what the data directory must hold. Takes [`Config::drain_timeout`] at most.
    ///
    /// # Errors
    /// When the data directory did not take the last changes in time; what was answered is on disk nevertheless.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { app, listener, .. } = self;
        let router = api::router(app.clone());
        app.tasks.spawn(accept::accept(app.clone(), listener, router));
        app.tasks.spawn(watch_loop_delay(app.clone()));
        app.tasks.spawn(sweep(app.clone()));
        app.tasks.spawn(announce(app.clone()));
        shutdown.await;
        drain(&app).await
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
        Some(directory) => Some(Store::open(directory, stats.clone())?),
        None => None,
    };
    let app = App::new(config, store, stats);
    if let Some(store) = &app.store {
        store::load(&app, store).context("can't load the data directory")?;
    }
    Ok(Arc::new(app))
}

async fn drain(app: &Arc<App>) -> anyhow::Result<()> {
    app.draining.cancel();
    for connection in app.connections.collect(|_| true) {
        connection.outbox.close(close::GOING_AWAY, "the server is shutting down");
    }
    app.tasks.close();
    // Most of the time is for clients; the rest is for the disk.
    let patience = app.config.drain_timeout.mul_f64(0.7);
    if tokio::time::timeout(patience, app.tasks.wait()).await.is_err() {
        tracing::warn!("{} tasks were still busy after {patience:?} of draining", app.tasks.len());
    }
    let closing = app.clone();
    let closed = tokio::task::spawn_blocking(move || {
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

/// Runs `work` every `period` until draining begins.
async fn every(app: &App, period: Duration, mut work: impl FnMut()) {
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.draining.cancelled() => return,
            _ = ticks.tick() => work(),
        }
    }
}

/// Tells the watcher counts of throttled channels.
async fn announce(app: Arc<App>) {
    every(&app, app.config.watcher_count_every, || app.announce()).await;
}

/// Closes connections whose clients have fallen silent: gone without a word, or not reading.
async fn sweep(app: Arc<App>) {
    let silence = app.config.silence_max;
    every(&app, silence / 8, || {
        let now = app.clock.now();
        let is_silent = |connection: &crate::connection::Connection| now.since(connection.heard_at()) > silence;
        for connection in app.connections.collect(is_silent) {
            if connection.outbox.close(close::SILENT, "no keep-alive came: reconnect") {
                add(&app.stats.closed_silent, 1);
            }
            if connection.polls {
                app.disconnect(&connection);
            }
        }
    })
    .await;
}

/// Measures by how much timers are late: the delay that every task of this node sees.
async fn watch_loop_delay(app: Arc<App>) {
    let mut recent = std::collections::VecDeque::from([0_u64; 10]);
    while !app.draining.is_cancelled() {
        let due = app.clock.now() + DELAY_EVERY;
        tokio::time::sleep(DELAY_EVERY).await;
        recent.pop_front();
        recent.push_back(u64::try_from(app.clock.now().since(due).as_micros()).unwrap_or(u64::MAX));
        let worst = recent.iter().copied().max().unwrap_or_default();
        app.stats.loop_delay_us.store(worst, std::sync::atomic::Ordering::Relaxed);
    }
}
