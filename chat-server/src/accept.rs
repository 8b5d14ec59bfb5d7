//! Sockets in: bounded in number, and each with a deadline for its request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use crate::app::App;
use crate::stats::add;

/// Bytes of a request's head: a token (8 KiB at most) and the user's details in the query, escaped.
const HEAD_BYTES: usize = 64 * 1024;
/// How long to rest when the system has no file descriptors left.
const REST: Duration = Duration::from_millis(50);

/// The right to be connected; it ends when its last copy is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Accepts until draining begins. Dropping the listener then refuses newcomers.
pub(crate) async fn accept(app: Arc<App>, listener: TcpListener, router: Router) {
    let permits = Arc::new(Semaphore::new(app.config.connections_max.min(Semaphore::MAX_PERMITS)));
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
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            add(&app.stats.refused, 1);
            continue;
        };
        let app = app.clone();
        let router = router.clone();
        app.tasks.clone().spawn(serve(app, stream, router, Permit(Arc::new(permit))));
    }
}

/// Serves a socket's HTTP requests; the last may turn it into a WebSocket.
async fn serve(app: Arc<App>, stream: TcpStream, router: Router, permit: Permit) {
    // Without it each small frame would wait for the acknowledgement of the one before. A socket that refuses is broken,
    // which its first read will tell.
    let _ = stream.set_nodelay(true);
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
