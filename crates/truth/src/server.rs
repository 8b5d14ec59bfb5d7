//! The target as a service.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use measure::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::config::Config;
use crate::hub::Hub;
use crate::ledger::Ledger;
use crate::post::Post;
use crate::stall::Stall;

/// Connections at once, WebSockets among them.
const CONNECTIONS_MAX: usize = 100_000;
/// A request's head must be there within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// After a failed accept (no file left, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) stall: Arc<Stall>,
    pub(crate) clock: Clock,
    pub(crate) end: CancellationToken,
}

impl Shared {
    /// The date, as the protocol writes it.
    pub(crate) fn date(&self) -> String {
        jiff::Timestamp::try_from(measure::clock::wall_clock()).unwrap_or_default().to_string()
    }
}

/// The test target.
#[derive(Debug)]
pub struct TestTarget;

/// A target that listens and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    post: Arc<Post>,
}

impl TestTarget {
    /// Listens.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(config: Config) -> io::Result<Bound> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let clock = config.clock.clone();
        let stall = Arc::new(Stall::new(config.stall, clock.clone()));
        let post = Arc::new(Post::new(Arc::clone(&stall), clock.clone()));
        let ledger = Arc::new(Ledger::default());
        let hub = Hub::new(config, Arc::clone(&post), Arc::clone(&ledger));
        let shared = Arc::new(Shared { hub, ledger, stall, clock, end: CancellationToken::new() });
        Ok(Bound { listener, address, shared, post })
    }
}

impl Bound {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it really does.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.ledger)
    }

    /// Serves until `end`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub async fn serve(self, end: impl Future<Output = ()>) -> io::Result<()> {
        let post = Arc::clone(&self.post);
        let thread = std::thread::Builder::new().name("deliveries".into()).spawn(move || post.run())?;
        tokio::select! {
            () = accept(&self.listener, &self.shared) => {}
            () = end => {}
        }
        self.shared.end.cancel();
        self.post.close();
        // It looks whether it is closed before each delivery, and so ends at once.
        tokio::task::spawn_blocking(move || thread.join().is_ok()).await.map(drop).map_err(io::Error::other)
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => drop(tokio::spawn(serve(Arc::clone(shared), tcp, Arc::new(permit)))),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, tcp: TcpStream, permit: Arc<OwnedSemaphorePermit>) {
    // Without it the kernel would hold frames back, and what was written would not be on its way.
    if let Err(error) = tcp.set_nodelay(true) {
        return tracing::warn!(%error, "a connection was lost before it began");
    }
    let service = service_fn(|request| {
        let (shared, permit) = (Arc::clone(&shared), Arc::clone(&permit));
        async move { Ok::<_, std::convert::Infallible>(api::answer(shared, request, permit).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let connection = http.serve_connection(TokioIo::new(tcp), service).with_upgrades();
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(%error, "a connection ended");
        },
        () = shared.end.cancelled() => {}
    }
}
