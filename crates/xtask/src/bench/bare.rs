//! The limit: a bare `send`/`epoll`/`recv` program of two processes, with no protocol at all. What throng reaches is held
//! against what this reaches with the same counts and sizes, in the same run.
//!
//! Each process has one thread, as has each end of throng's path that a delivery passes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use measure::Clock;
use rustix::event::epoll;

/// Whoever waits longer than this waits for a peer that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Handshakes that may wait to be accepted, as many as the chat server asks for.
const BACKLOG: i32 = 65_535;

/// What the receiving process is to do: started by the bench itself.
#[derive(Args)]
pub(crate) struct ReceiverArgs {
    /// Where the sending process listens.
    address: SocketAddr,
    /// Connections.
    connections: usize,
    /// Bytes of a message.
    size: usize,
}

/// The sending process's end: connections to the receiving process.
pub(super) struct Bare {
    control: TcpStream,
    sockets: Vec<TcpStream>,
    size: usize,
    receiver: Child,
    /// Connections a second while they were opened, both ends.
    pub(super) connects_per_second: f64,
}

impl Bare {
    /// Starts the receiving process, and accepts its connections.
    ///
    /// # Errors
    /// When it can't be started, or doesn't connect in time.
    pub(super) fn start(connections: usize, size: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // The standard library's 128 would drop handshakes, whose repeats take a second: that would be no limit.
        rustix::net::listen(&listener, BACKLOG)?;
        let receiver = Command::new(std::env::current_exe()?)
            .arg("bare-receiver")
            .arg(listener.local_addr()?.to_string())
            .args([connections.to_string(), size.to_string()])
            .spawn()
            .context("the receiving process can't be started")?;
        let (control, _) = listener.accept()?;
        control.set_read_timeout(Some(PATIENCE))?;
        control.set_nodelay(true)?;
        let clock = Clock::System;
        let mut sockets = Vec::with_capacity(connections);
        let mut started = clock.now();
        for n in 0..connections {
            let (socket, _) = listener.accept()?;
            if n == 0 {
                started = clock.now();
            }
            socket.set_nodelay(true)?;
            sockets.push(socket);
        }
        let took = clock.now().since(started).as_secs_f64();
        Ok(Self { control, sockets, size, receiver, connects_per_second: connections as f64 / took })
    }

    /// Sends `count` messages to all connections, one `send` each, and waits until all have arrived; answers deliveries a
    /// second.
    ///
    /// # Errors
    /// When the receiving process is gone.
    pub(super) fn round(&mut self, count: usize) -> Result<f64> {
        let message = vec![b'x'; self.size];
        let clock = Clock::System;
        let started = clock.now();
        for _ in 0..count {
            for socket in &mut self.sockets {
                socket.write_all(&message)?;
            }
        }
        let mut arrived = vec![0; count];
        self.control.read_exact(&mut arrived).context("the receiving process did not have all of it in time")?;
        Ok((count * self.sockets.len()) as f64 / clock.now().since(started).as_secs_f64())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It ends by itself when the control connection does; this only keeps it from outliving us if it hangs.
        let _ = self.receiver.kill();
        let _ = self.receiver.wait();
    }
}

/// The receiving process: reads everything, and says one byte for each message that all connections have.
///
/// # Errors
/// When the sending process can't be reached.
pub(crate) fn receive(args: &ReceiverArgs) -> Result<()> {
    let mut control = TcpStream::connect(args.address)?;
    control.set_nodelay(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::with_capacity(args.connections);
    for n in 0..args.connections {
        let socket = TcpStream::connect(args.address)?;
        socket.set_nonblocking(true)?;
        epoll::add(&poll, &socket, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)?;
        sockets.push(socket);
    }
    control.set_nonblocking(true)?;
    let end = args.connections as u64;
    epoll::add(&poll, &control, epoll::EventData::new_u64(end), epoll::EventFlags::IN)?;
    let whole = (args.connections * args.size) as u64;
    let (mut bytes, mut told) = (0, 0);
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(1_024);
    loop {
        events.clear();
        let patience = rustix::time::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        if epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&patience))? == 0 {
            bail!("nothing came for {} s", PATIENCE.as_secs());
        }
        for event in &events {
            let n = event.data.u64();
            if n == end {
                // The sending process is done.
                return Ok(());
            }
            let Some(socket) = usize::try_from(n).ok().and_then(|n| sockets.get_mut(n)) else { continue };
            match socket.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => bytes += read as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        while whole > 0 && (told + 1) * whole <= bytes {
            control.write_all(b".")?;
            told += 1;
        }
    }
}
