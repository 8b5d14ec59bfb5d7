//! People on WebSockets who only receive: one client for throng's chat server and for other servers, so that what differs
//! is the server.
//!
//! A process with one thread, as the bare program's receiver is one. Frames are decoded, and the messages among them
//! counted; nothing is answered.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use measure::Clock;
use rustix::event::epoll;
use wire::frame::{Decoder, Received, Role};
use wire::handshake;
use wire::token::TokenKey;

use super::served::SECRET;
use super::slow;

/// Whoever waits longer than this waits for a peer that is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// All of it is there by then, on a machine that is busy with something else, too.
const THERE_WITHIN: Duration = Duration::from_secs(300);
/// What a message begins with; whatever else a server sends is not counted.
const MESSAGE: &str = r#"{"type":"message.new""#;
/// The most bytes of a message.
const MESSAGE_MAX: usize = 64 << 10;

/// Whose protocol a connection begins with.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Peer {
    /// throng's: signed in, then watching the room.
    Throng,
    /// nchan's: the path is the channel.
    Nchan,
}

/// What the receiving process is to do: started by the bench itself.
#[derive(Args)]
pub(crate) struct CrowdArgs {
    /// Where the bench listens.
    bench: SocketAddr,
    /// The server.
    server: SocketAddr,
    /// Whose server that is.
    peer: Peer,
    /// Connections.
    count: usize,
}

/// The bench's end: people who are all there.
pub(super) struct Crowd {
    said: BufReader<TcpStream>,
    count: usize,
    child: Child,
}

impl Crowd {
    /// Starts the receiving process, and waits until all of it is connected.
    ///
    /// # Errors
    /// When it can't be started, or the server doesn't let all of it in.
    pub(super) fn start(server: SocketAddr, peer: Peer, count: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let peer = peer.to_possible_value().context("every peer has a name")?;
        let child = Command::new(std::env::current_exe()?)
            .arg("crowd")
            .args([listener.local_addr()?.to_string(), server.to_string()])
            .args([peer.get_name().to_owned(), count.to_string()])
            .spawn()
            .context("the receiving process can't be started")?;
        let (control, _) = listener.accept()?;
        control.set_read_timeout(Some(THERE_WITHIN))?;
        let mut crowd = Self { said: BufReader::new(control), count, child };
        ensure!(crowd.line()? == "ready", "the crowd is not there");
        crowd.said.get_ref().set_read_timeout(Some(PATIENCE))?;
        Ok(crowd)
    }

    /// Publishes one message, and waits until everybody has it; answers deliveries a second, and the message as it was
    /// received.
    ///
    /// # Errors
    /// When it can't be published, or doesn't reach everybody in time.
    pub(super) fn round(&mut self, publisher: &mut Publisher, head: &str, body: &str) -> Result<(f64, String)> {
        let clock = Clock::System;
        let started = clock.now();
        publisher.send(head, body)?;
        let message = self.line()?;
        let took = clock.now().since(started).as_secs_f64();
        publisher.answer()?;
        Ok((self.count as f64 / took, message))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.said.read_line(&mut line).context("the receiving process did not have all of it in time")?;
        ensure!(read > 0, "the receiving process is gone");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who publishes: calls over one connection that stays open.
pub(super) struct Publisher {
    server: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Publisher {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { server, stream: BufReader::new(stream) })
    }

    /// Sends a call: `head` is its first line and headers, each with its end.
    ///
    /// # Errors
    /// When the server is gone.
    pub(super) fn send(&mut self, head: &str, body: &str) -> Result<()> {
        let call = format!("{head}host: {}\r\ncontent-length: {}\r\n\r\n{body}", self.server, body.len());
        Ok(self.stream.get_mut().write_all(call.as_bytes())?)
    }

    /// Waits for its answer, and gives its body.
    ///
    /// # Errors
    /// When it doesn't come, or says no.
    pub(super) fn answer(&mut self) -> Result<String> {
        let (mut first, mut length) = (String::new(), 0);
        self.stream.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line)? > 0, "the server ended in mid-answer");
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        ensure!(first.starts_with("HTTP/1.1 2"), "{} {body}", first.trim());
        Ok(body)
    }
}

/// One of the crowd.
struct Person {
    socket: TcpStream,
    decoder: Decoder,
}

impl Person {
    /// Connects, and is there for all that is published from now on.
    fn join(args: &CrowdArgs, number: usize, key: &TokenKey) -> Result<Self> {
        let mut socket = TcpStream::connect(args.server)?;
        let mut rest = match args.peer {
            Peer::Throng => slow::watch(&mut socket, args.server, &format!("crowd-{number}"), key)?,
            Peer::Nchan => subscribe(&mut socket, args.server)?,
        };
        socket.set_nonblocking(true)?;
        let mut person = Self { socket, decoder: Decoder::new(Role::Client, MESSAGE_MAX) };
        person.count(&mut rest, &mut String::new())?;
        Ok(person)
    }

    /// How many messages there are in what was read; the last of them is left in `last`.
    fn count(&mut self, mut bytes: &mut [u8], last: &mut String) -> Result<usize> {
        let mut count = 0;
        while let Some(received) = self.decoder.next(&mut bytes)? {
            match received {
                Received::Text(text) if text.starts_with(MESSAGE) => {
                    count += 1;
                    if last.is_empty() {
                        last.push_str(text);
                    }
                }
                Received::Close(code, why) => bail!("the server closes: {code:?} {why}"),
                _ => {}
            }
        }
        Ok(count)
    }
}

fn subscribe(socket: &mut TcpStream, server: SocketAddr) -> Result<Vec<u8>> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let key = handshake::key([7; 16]);
    socket.write_all(handshake::request("/sub", &server.to_string(), &key, None).as_bytes())?;
    let (mut said, mut buffer) = (Vec::new(), [0; 1_024]);
    loop {
        let read = socket.read(&mut buffer)?;
        ensure!(read > 0, "not let in: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..read]);
        if let Some(answer) = handshake::answer(&said, &key)? {
            return Ok(said.split_off(answer.length));
        }
    }
}

/// The receiving process: joins, says that it is there, and says a line for each message that everybody has: the message.
///
/// # Errors
/// When the server can't be reached, or sends somebody away.
pub(crate) fn receive(args: &CrowdArgs) -> Result<()> {
    let mut control = TcpStream::connect(args.bench)?;
    control.set_nodelay(true)?;
    let key = TokenKey::new(SECRET);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut people = Vec::with_capacity(args.count);
    for n in 0..args.count {
        let person = Person::join(args, n, &key).with_context(|| format!("number {n} of the crowd"))?;
        epoll::add(&poll, &person.socket, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)?;
        people.push(person);
    }
    control.write_all(b"ready\n")?;
    let (mut had, mut last) = (0, String::new());
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(1_024);
    let patience = rustix::time::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    loop {
        events.clear();
        if epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&patience))? == 0 {
            bail!("nothing came for {} s", PATIENCE.as_secs());
        }
        for event in &events {
            let Some(person) = usize::try_from(event.data.u64()).ok().and_then(|n| people.get_mut(n)) else { continue };
            match person.socket.read(&mut buffer) {
                Ok(0) => bail!("the server ended a connection"),
                Ok(read) => had += person.count(&mut buffer[..read], &mut last)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        if had >= args.count {
            had -= args.count;
            last.push('\n');
            control.write_all(last.as_bytes())?;
            last.clear();
        }
    }
}
