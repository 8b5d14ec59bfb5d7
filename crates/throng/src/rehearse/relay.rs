//! A link that can be cut: a relay on loopback between a simulated worker and one of the planes. While it is cut nothing
//! passes: what was sent waits in the kernel's buffers, as where packets are lost and sent again, and who dials hears
//! nothing. So it is with the ends of connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long dialling the plane may take.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// What is taken from one side before the other has it.
const BUFFER_BYTES: usize = 16 << 10;

/// Starts a relay towards a plane on loopback, in the current event loop, and answers its URL. It is cut while `cut` is
/// more than 0.
///
/// # Errors
/// When that is no URL of a plane on loopback, or there is no port.
pub(crate) fn start(url: &str, cut: watch::Receiver<u32>) -> Result<String> {
    let to: Option<SocketAddr> = url.strip_prefix("http://").and_then(|a| a.trim_end_matches('/').parse().ok());
    let to = to.filter(|to| to.ip().is_loopback()).with_context(|| format!("{url} is no plane on this machine"))?;
    let listener = std::net::TcpListener::bind((to.ip(), 0)).context("no port for a link that can be cut")?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let here = listener.local_addr()?;
    tokio::spawn(accept(listener, to, cut));
    Ok(format!("http://{here}"))
}

/// Carries every connection that is made, until the event loop ends.
async fn accept(listener: TcpListener, to: SocketAddr, mut cut: watch::Receiver<u32>) {
    let mut connections = JoinSet::new();
    loop {
        whole(&mut cut).await;
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((from, _)) => {
                    connections.spawn(carry(from, to, cut.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a link that can be cut takes no connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            // Both sides know how it ended.
            Some(_) = connections.join_next() => {}
            _ = cut.changed() => {}
        }
    }
}

async fn carry(mut from: TcpStream, to: SocketAddr, mut cut: watch::Receiver<u32>) -> io::Result<()> {
    whole(&mut cut).await;
    let mut there = timeout(DIAL_WITHIN, TcpStream::connect(to)).await??;
    from.set_nodelay(true)?;
    there.set_nodelay(true)?;
    let ((from_here, to_here), (from_there, to_there)) = (from.split(), there.split());
    tokio::try_join!(pump(from_here, to_there, cut.clone()), pump(from_there, to_here, cut)).map(|_| ())
}

/// Carries one direction to its end. Also an end, or a break, is carried only while the link is whole.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cut: watch::Receiver<u32>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await;
        whole(&mut cut).await;
        match read? {
            0 => return to.shutdown().await,
            n => to.write_all(&buffer[..n]).await?,
        }
    }
}

/// Waits until the link is whole. Where nobody is left to mend it, it stays as it was.
async fn whole(cut: &mut watch::Receiver<u32>) {
    if cut.wait_for(|cuts| *cuts == 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    async fn read_one(stream: &mut TcpStream) -> u8 {
        timeout(SOON, stream.read_u8()).await.expect("in time").expect("a byte")
    }

    #[tokio::test]
    async fn a_cut_holds_back_bytes_ends_and_dials_and_loses_none() {
        let plane = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cut, cuts) = watch::channel(0);
        let url = start(&format!("http://{}", plane.local_addr().unwrap()), cuts).unwrap();
        let address = url.strip_prefix("http://").unwrap().to_owned();
        let mut worker = TcpStream::connect(&address).await.unwrap();
        let (mut served, _) = timeout(SOON, plane.accept()).await.unwrap().unwrap();
        worker.write_u8(1).await.unwrap();
        assert_eq!(read_one(&mut served).await, 1);
        cut.send_replace(1);
        worker.write_u8(2).await.unwrap();
        served.write_u8(3).await.unwrap();
        let second = TcpStream::connect(&address).await.unwrap();
        drop(second);
        let wait = Duration::from_millis(300);
        assert!(timeout(wait, served.read_u8()).await.is_err(), "nothing passes");
        assert!(timeout(wait, worker.read_u8()).await.is_err(), "nothing passes");
        assert!(timeout(wait, plane.accept()).await.is_err(), "nobody is put through");
        worker.shutdown().await.unwrap();
        assert!(timeout(wait, served.read_u8()).await.is_err(), "an end does not pass");
        cut.send_replace(0);
        assert_eq!((read_one(&mut served).await, read_one(&mut worker).await), (2, 3));
        let mut rest = Vec::new();
        timeout(SOON, served.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty());
        timeout(SOON, plane.accept()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_relay_goes_to_this_machine_only() {
        for url in ["http://10.0.0.1:80", "https://127.0.0.1:1", "nonsense"] {
            assert!(start(url, watch::channel(0).1).is_err(), "{url}");
        }
    }
}
