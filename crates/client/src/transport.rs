//! A byte stream to a chat service: TCP, or TLS over it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use measure::Clock;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::error::ConnectError;

/// TCP, or TLS over it.
#[derive(Debug)]
pub enum Transport {
    /// `ws://`, `http://`
    Plain(TcpStream),
    /// `wss://`, `https://`
    Tls(Box<TlsStream<TcpStream>>),
}

/// How long the parts of opening took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The TCP handshake.
    pub tcp: Duration,
    /// The TLS handshake, if there was one.
    pub tls: Option<Duration>,
}

/// Opens a stream to `endpoint`, without Nagle's delay.
///
/// # Errors
/// When the host can't be found or reached, its certificate isn't trusted, or the deadline passes.
pub async fn open(endpoint: &Endpoint, clock: &Clock, deadline: Instant) -> Result<(Transport, Opened), ConnectError> {
    open_from(None, endpoint, clock, deadline).await
}

/// The same, from an address of this host.
///
/// # Errors
/// As [`open`]; also when the address is none of this host's.
pub async fn open_from(
    source: Option<IpAddr>,
    endpoint: &Endpoint,
    clock: &Clock,
    deadline: Instant,
) -> Result<(Transport, Opened), ConnectError> {
    let start = clock.now();
    let tcp = timeout_at(deadline, dial(source, endpoint)).await.map_err(|_| ConnectError::Timeout { step: "tcp" })?;
    let tcp = tcp.map_err(|e| ConnectError::Io { step: "tcp", error: e.into() })?;
    let connected = clock.now();
    let opened = Opened { tcp: connected.since(start), tls: None };
    if !endpoint.tls() {
        return Ok((Transport::Plain(tcp), opened));
    }
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|e| ConnectError::Tls(e.to_string()))?;
    let handshake = TlsConnector::from(endpoint.trust().config()).connect(name, tcp);
    let tls = timeout_at(deadline, handshake).await.map_err(|_| ConnectError::Timeout { step: "tls" })?;
    let tls = tls.map_err(|e| ConnectError::Tls(endpoint.trust().explain(&e)))?;
    Ok((Transport::Tls(Box::new(tls)), Opened { tls: Some(clock.now().since(connected)), ..opened }))
}

async fn dial(source: Option<IpAddr>, endpoint: &Endpoint) -> io::Result<TcpStream> {
    let tcp = match (source, endpoint.addresses()) {
        (None, []) => TcpStream::connect((endpoint.host(), endpoint.port())).await?,
        (None, known) => TcpStream::connect(known).await?,
        (Some(source), []) => {
            let found: Vec<_> = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await?.collect();
            dial_from(source, &found).await?
        }
        (Some(source), known) => dial_from(source, known).await?,
    };
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Connects to the first of these addresses that can be reached from `source`.
async fn dial_from(source: IpAddr, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let none = "the service has no address of the source address's family";
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, none);
    for address in addresses.iter().filter(|address| address.is_ipv4() == source.is_ipv4()) {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // The port is chosen when it is known where to: so it is free for every other target.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
        match socket.connect(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
