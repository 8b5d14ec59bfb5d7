//! Sockets in: bounded in number, handed to the shard that has the fewest, and each with a deadline for its request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::app::App;
use crate::shard::Handle;
use crate::stats::{add, get, take};

/// Bytes of a request's head: a token (8 KiB at most) and the user's details in the query, escaped.
const HEAD_BYTES: usize = 64 * 1024;
/// Bytes that the kernel takes beyond what the peer's window has room for. Without this bound it takes megabytes for each
/// slow reader, unshared; what waits in outboxes is shared by all that have not had it.
const UNSENT_BYTES: u32 = 128 * 1024;
/// How long to rest when the system has no file descriptors left, or a shard can't take more.
const REST: Duration = Duration::from_millis(50);

/// The right to be connected; it ends when its last copy is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held, not read")] Arc<Seat>);

#[derive(Debug)]
struct Seat {
    taken: Arc<AtomicUsize>,
    shard: Arc<Handle>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        take(&self.shard.stats.sockets, 1);
    }
}

/// Accepts until draining begins. Dropping the listener then refuses newcomers.
///
/// One task for all shards, and not a listener for each: so each newcomer goes where the fewest are, while the kernel's
/// hash over several listeners would also let two servers share an address without a word.
pub(crate) async fn accept(app: Arc<App>, listener: TcpListener) {
    let taken = Arc::new(AtomicUsize::new(0));
    let mut resting = false;
    loop {
        let accepted = tokio::select! {
            () = app.draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => {
                resting = false;
                stream
            }
            Err(error) => {
                // Out of files, or a connection that was gone before we took it: others go on either way. Said once,
                // not at every try.
                if !std::mem::replace(&mut resting, true) {
                    tracing::warn!("can't accept connections, trying again: {error}");
                }
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        add(&app.stats.accepted, 1);
        if taken.fetch_add(1, Ordering::Relaxed) >= app.config.connections_max {
            taken.fetch_sub(1, Ordering::Relaxed);
            add(&app.stats.refused, 1);
            continue;
        }
        let fewest = app.shards.iter().min_by_key(|shard| get(&shard.stats.sockets));
        let shard = fewest.expect("there is a shard, since Config::shards counts as one at least").clone();
        add(&shard.stats.sockets, 1);
        let permit = Permit(Arc::new(Seat { taken: taken.clone(), shard: shard.clone() }));
        let Ok(stream) = stream.into_std() else { continue };
        tokio::select! {
            () = app.draining.cancelled() => return,
            // Waits while the shard is behind, and newcomers in the listener's backlog.
            handed = shard.sockets.send((stream, permit)) => if handed.is_err() { return },
        }
    }
}

/// Serves a socket's HTTP requests; the last may turn it into a WebSocket.
pub(crate) async fn serve(app: Arc<App>, stream: std::net::TcpStream, router: Router, permit: Permit) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!("can't serve a socket: {error}"),
    };
    // Without it each small frame would wait for the acknowledgement of the one before. A socket that refuses is broken,
    // which its first read will tell.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(permit.clone());
        router.clone().oneshot(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(app.config.request_timeout).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("an HTTP connection ended: {error}");
    }
}
