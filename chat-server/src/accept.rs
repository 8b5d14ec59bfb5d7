//! Sockets in: bounded in number, handed to the shard that has the fewest, and each with a deadline for its request.

use std::io::{Read as _, Write as _};
use std::pin::pin;
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
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::api::Vouched;
use crate::app::App;
use crate::guests::{Guest, Guests};
use crate::shard::Handle;
use crate::stats::{add, get, take};

/// Bytes of a request's head: a token (8 KiB at most) and the user's details in the query, 5 KiB, of which each byte may
/// be escaped as three; rounded up.
const HEAD_BYTES: usize = 32 * 1024;
/// Bytes that the kernel takes beyond what the peer's window has room for. Without this bound it takes megabytes for each
/// slow reader, unshared; what waits in outboxes is shared by all that have not had it.
const UNSENT_BYTES: u32 = 128 * 1024;
/// How long to rest when the system has no file descriptors left, and how long a newcomer waits for the seat of a guest
/// that was sent away.
const REST: Duration = Duration::from_millis(50);
/// Guests that are sent away at once where the system has no file descriptors left.
const MANY: u64 = 64;
/// What a newcomer is told for whom there is no room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The right to be connected; it ends when its last copy is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Permit(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    shard: Arc<Handle>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        take(&self.shard.stats.sockets, 1);
        self.seats.taken.fetch_sub(1, Ordering::Relaxed);
        self.seats.left.notify_one();
    }
}

/// How many are taken, and that one was left.
#[derive(Debug, Default)]
struct Seats {
    taken: AtomicUsize,
    left: Notify,
}

/// Accepts until draining begins. Dropping the listener then refuses newcomers.
///
/// One task for all shards, and not a listener for each: so each newcomer goes where the fewest are, while the kernel's
/// hash over several listeners would also let two servers share an address without a word.
pub(crate) async fn accept(app: Arc<App>, listener: TcpListener) {
    let seats = Arc::new(Seats::default());
    let mut resting = false;
    loop {
        let accepted = tokio::select! {
            () = app.draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                resting = false;
                stream
            }
            Err(error) => {
                // Out of files, or a connection that was gone before we took it: others go on either way. Said once,
                // not at every try.
                if !std::mem::replace(&mut resting, true) {
                    tracing::warn!("can't accept connections, trying again: {error}");
                }
                send_away(&app, |guests| guests.send_away(MANY));
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        add(&app.stats.accepted, 1);
        if !make_room(&app, &seats).await {
            add(&app.stats.refused, 1);
            refuse(stream);
            continue;
        }
        seats.taken.fetch_add(1, Ordering::Relaxed);
        let fewest = app.shards.iter().min_by_key(|shard| get(&shard.stats.sockets));
        let shard = fewest.expect("there is a shard, since Config::shards counts as one at least").clone();
        add(&shard.stats.sockets, 1);
        let permit = Permit(Arc::new(Seat { seats: seats.clone(), shard: shard.clone() }));
        tokio::select! {
            () = app.draining.cancelled() => return,
            // Waits while the shard is behind, and newcomers in the listener's backlog.
            handed = shard.sockets.send((stream, permit)) => if handed.is_err() { return },
        }
    }
}

/// Makes room for one more, at the cost of whoever has waited longest to say something. `false` if everybody is at work.
async fn make_room(app: &App, seats: &Seats) -> bool {
    let guests: u64 = app.shards.iter().map(|shard| shard.guests.count()).sum();
    if guests >= app.config.guests_max as u64 {
        let then = app.clock.now() - app.config.guest_patience;
        send_away(app, |guests| guests.send_away_since(then, 1));
    }
    let is_full = || seats.taken.load(Ordering::Relaxed) >= app.config.connections_max;
    while is_full() {
        if send_away(app, |guests| guests.send_away(1)) == 0 {
            return false;
        }
        // A seat that was left long ago is told of, too; so it is looked at again, and nobody more is sent away for it.
        let left = async {
            while is_full() {
                seats.left.notified().await;
            }
        };
        // A shard that is so busy that this takes longer may send another one away.
        let _ = tokio::time::timeout(REST, left).await;
    }
    true
}

/// Sends guests away from the shard that has the most. Answers how many.
fn send_away(app: &App, which: impl FnOnce(&Guests) -> u64) -> u64 {
    let fullest = app.shards.iter().max_by_key(|shard| shard.guests.count());
    let sent = fullest.map_or(0, |shard| which(&shard.guests));
    add(&app.stats.sent_away, sent);
    sent
}

/// Tells a newcomer that there is no room, if he can be told at once.
fn refuse(mut stream: std::net::TcpStream) {
    // What is left unread would reset the connection before he has read this.
    let _ = stream.read(&mut [0; 4 * 1024]);
    let _ = stream.write(FULL);
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
    let shard = permit.0.shard.clone();
    let guest = Guest::new(&shard.guests, app.clock.now());
    tokio::select! {
        // Until it says something it costs a socket, and no buffers.
        readable = stream.readable() => if readable.is_err() { return },
        () = guest.sent_away() => return,
        () = app.draining.cancelled() => return,
    }
    Box::pin(serve_http(&app, &guest, stream, &router, &permit)).await;
}

async fn serve_http(app: &App, guest: &Guest<'_>, stream: TcpStream, router: &Router, permit: &Permit) {
    let service = hyper::service::service_fn(async |request: hyper::Request<Incoming>| {
        guest.is_served();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(permit.clone());
        let answer = router.clone().oneshot(request).await;
        if let Ok(answer) = &answer {
            if answer.extensions().get::<Vouched>().is_some() {
                guest.is_known();
            }
            if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
                guest.waits(app.clock.now());
            }
        }
        answer
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(app.config.request_timeout).max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = guest.sent_away() => return,
        () = app.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("an HTTP connection ended: {error}");
    }
}
