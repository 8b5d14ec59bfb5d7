//! Connections of a listener, each after its handshake.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::words::explain;

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes that go on at once; who comes meanwhile waits in the kernel.
const HANDSHAKES_MAX: usize = 256;
/// Connections that wait to be served.
const WAITING: usize = 16;
/// A listener that can't accept (no file is left) tries again after so long.
const AGAIN: Duration = Duration::from_millis(100);
/// Refusals are told at most so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Connections to a listener. Who shows no certificate where one is wanted is told of in the log and never seen here.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Io>,
    address: Option<SocketAddr>,
    accepting: AbortHandle,
}

impl Incoming {
    pub(crate) fn new(listener: TcpListener, config: Option<Arc<ServerConfig>>) -> Self {
        let (tell, ready) = mpsc::channel(WAITING);
        let address = listener.local_addr().ok();
        let accepting = tokio::spawn(accept(listener, config.map(TlsAcceptor::from), tell)).abort_handle();
        Self { ready, address, accepting }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Stream for Incoming {
    type Item = io::Result<Io>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|io| io.map(Ok))
    }
}

impl axum::serve::Listener for Incoming {
    type Io = Io;
    type Addr = Option<SocketAddr>;

    async fn accept(&mut self) -> (Io, Self::Addr) {
        match self.ready.recv().await {
            Some(io) => {
                let peer = io.tcp().peer_addr().ok();
                (io, peer)
            }
            // Nobody comes any more; whoever serves ends with the process.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, ready: mpsc::Sender<Io>) {
    let mut handshakes = JoinSet::new();
    let mut refusals = Refusals::default();
    loop {
        let io = tokio::select! {
            accepted = listener.accept(), if handshakes.len() < HANDSHAKES_MAX => match (accepted, &acceptor) {
                (Ok((tcp, _)), None) => Io::plain(tcp),
                (Ok((tcp, peer)), Some(acceptor)) => {
                    handshakes.spawn(handshake(acceptor.clone(), tcp, peer));
                    continue;
                }
                (Err(error), _) => {
                    // Of one connection, or of all for the moment.
                    tracing::debug!(%error, "a connection could not be accepted");
                    sleep(AGAIN).await;
                    continue;
                }
            },
            Some(done) = handshakes.join_next() => match done {
                Ok(Ok(io)) => io,
                Ok(Err((peer, why))) => {
                    refusals.add(peer, &why);
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "a handshake panicked");
                    continue;
                }
            },
        };
        if ready.send(io).await.is_err() {
            return;
        }
    }
}

async fn handshake(acceptor: TlsAcceptor, tcp: TcpStream, peer: SocketAddr) -> Result<Io, (SocketAddr, String)> {
    // A connection that is broken already says so when it is read.
    let _ = tcp.set_nodelay(true);
    match timeout(HANDSHAKE_WITHIN, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => Ok(Io(Kind::Tls(Box::new(stream)))),
        Ok(Err(error)) => Err((peer, explain(&error))),
        Err(_) => Err((peer, format!("its handshake took more than {HANDSHAKE_WITHIN:?}"))),
    }
}

/// Tells of those that were refused, at most so often.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    untold: u64,
}

impl Refusals {
    fn add(&mut self, peer: SocketAddr, why: &str) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.untold += 1;
            return;
        }
        tracing::warn!(%peer, why, others = self.untold, "refused a connection");
        (self.told, self.untold) = (Some(Instant::now()), 0);
    }
}

/// One connection, in plaintext or TLS.
#[derive(Debug)]
pub struct Io(Kind);

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    fn plain(tcp: TcpStream) -> Self {
        let _ = tcp.set_nodelay(true);
        Self(Kind::Plain(tcp))
    }

    fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(tcp) => tcp,
            Kind::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl Connected for Io {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.tcp().connect_info()
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Kind::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Kind::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(s) => Pin::new(s).poll_flush(cx),
            Kind::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Kind::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
