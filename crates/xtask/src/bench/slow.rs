//! Users who take a byte a second, and come back when they are told to go.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use wire::handshake;
use wire::token::{Claims, TokenKey};

use super::served::ask;

/// What their kernels take for them.
const RECEIVE_BYTES: usize = 4 * 1024;
const EVERY: Duration = Duration::from_secs(1);
/// Whoever waits longer than this waits for a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Slow readers of the room, until they are stopped.
pub(super) struct SlowReaders {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl SlowReaders {
    /// Connects so many, and lets them watch.
    ///
    /// # Errors
    /// When the server doesn't let them in.
    pub(super) fn start(server: SocketAddr, count: usize, secret: &str) -> Result<Self> {
        let key = TokenKey::new(secret);
        let mut readers: Vec<TcpStream> = (0..count).map(|n| slowly(server, n, &key)).collect::<Result<_>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(EVERY);
                for (n, reader) in readers.iter_mut().enumerate() {
                    match reader.read(&mut [0]) {
                        Ok(1..) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        // Told to go.
                        Ok(0) | Err(_) => *reader = slowly(server, n, &key)?,
                    }
                }
            }
            Ok(())
        });
        Ok(Self { stop, thread })
    }

    /// They go.
    ///
    /// # Errors
    /// When one of them was not let in again.
    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the slow readers' thread panicked"))?
    }
}

/// A user who watches, and whose socket doesn't block.
fn slowly(server: SocketAddr, number: usize, key: &TokenKey) -> Result<TcpStream> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_recv_buffer_size(&stream, RECEIVE_BYTES)?;
    connect(&stream, &server)?;
    let mut stream = TcpStream::from(stream);
    watch(&mut stream, server, &format!("slow-{number}"), key)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Signs a user in over a new connection, and lets it watch the room; answers the bytes of frames that were read by then.
///
/// # Errors
/// When the server doesn't let it in.
pub(super) fn watch(stream: &mut TcpStream, server: SocketAddr, user: &str, key: &TokenKey) -> Result<Vec<u8>> {
    let token = key.sign(&Claims::user(user));
    let path = format!("/connect?json=%7B%22user_id%22%3A%22{user}%22%7D&api_key=bench&authorization={token}");
    stream.set_read_timeout(Some(PATIENCE))?;
    let nonce = handshake::key([7; 16]);
    stream.write_all(handshake::request(&path, &server.to_string(), &nonce, None).as_bytes())?;
    let (mut said, mut buffer) = (Vec::new(), [0; 1_024]);
    let id = loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "{user} was not let in: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&said);
        let id = text.split_once("\"connection_id\":\"").and_then(|(_, rest)| rest.split_once('"'));
        if let Some((id, _)) = id {
            break id.to_owned();
        }
    };
    let head = format!(
        "POST /channels/livestream/room/query?api_key=bench&connection_id={id} HTTP/1.1\r\nauthorization: {token}\r\n\
         stream-auth-type: jwt\r\n"
    );
    ask(server, &head, r#"{"watch":true}"#).with_context(|| format!("{user} can't watch"))?;
    let answer = handshake::answer(&said, &nonce)?.context("an answer ends before the first frame")?.length;
    Ok(said.split_off(answer))
}
