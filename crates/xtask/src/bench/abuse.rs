//! What others do to a chat server, and what everybody else feels of it: slow readers, half-open connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};

use super::rounds::Paired;
use super::served::{SECRET, Served};
use super::slow::SlowReaders;
use super::system::Run;
use super::{Aim, Figure};

/// Users of the room, of whom all read.
const USERS: usize = 5_000;
/// Slow readers beside them.
const SLOW: usize = USERS / 100;
/// Rounds of each side, A B A B.
const ROUNDS: usize = 3;
/// Processes that open connections and say nothing, and how many each holds: what its file limit allows.
const ATTACKERS: u8 = 6;
const HALF_OPEN: usize = 17_000;
/// Whoever waits longer than this waits for a server that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a process of attackers is to do: started by the bench itself.
#[derive(Args)]
pub(crate) struct HalfOpenArgs {
    /// The server.
    address: SocketAddr,
    /// From which address.
    source: Ipv4Addr,
    /// Connections.
    count: usize,
}

fn run(served: &Served) -> Result<Run> {
    let scenario = format!(
        "name: bench\nseed: 7\nchannels: [{{ id: room, type: livestream }}]\n\
         cohorts:\n  - {{ name: crowd, users: {USERS}, ramp: {{ rate: 1000/s }}, \
         actions: [{{ send: {{ channel: room, rate: 10/s, size: 2000B }} }}] }}\nhold: 20s\n"
    );
    let url = format!("ws://{}", served.address);
    let secret = served.secret_file();
    let secret = secret.to_str().context("a plain path")?;
    Run::of(&scenario, &["--workers", "1", "--target", &url, "--api-key", "bench", "--api-secret-file", secret])
}

fn p99(run: &Run) -> Result<f64> {
    ensure!(run.users() >= USERS as f64, "only {} users came in: {}", run.users(), run.reasons());
    run.number("/metrics/delivery/p99_us").context("no message reached anybody")
}

/// 99 % of deliveries to those who read, while one in a hundred takes a byte a second; against nobody doing so.
pub(super) fn slow_readers() -> Result<Vec<Figure>> {
    let mut pairs = Paired::default();
    for _ in 0..ROUNDS {
        let quiet = p99(&run(&Served::start()?)?)?;
        let served = Served::start()?;
        let readers = SlowReaders::start(served.address, SLOW, SECRET)?;
        let slowed = p99(&run(&served)?)?;
        let closed = served.stat("closed_slow")?;
        eprintln!("slow readers: {SLOW}, closed {closed} times; p99 {slowed} µs, without them {quiet} µs");
        ensure!(closed >= SLOW as f64, "the slow ones were not slow enough: {closed} were closed");
        readers.stop()?;
        pairs.add(slowed, quiet);
    }
    Ok(vec![pairs.figure("slow-readers", "µs (p99)", Aim::RatioAtMost(1.2))])
}

/// 99 % of deliveries to users who come and read amid 102,000 half-open connections, and the server's memory.
pub(super) fn half_open() -> Result<Vec<Figure>> {
    let (mut pairs, mut memory) = (Paired::default(), Paired::default());
    for _ in 0..ROUNDS {
        let served = Served::start()?;
        let quiet = p99(&run(&served)?)?;
        let usual = served.memory_max()?;
        let served = Served::start()?;
        let attackers: Vec<Attacker> =
            (0..ATTACKERS).map(|n| Attacker::start(served.address, n)).collect::<Result<_>>()?;
        let attacked = p99(&run(&served)?)?;
        let (accepted, sent_away) = (served.stat("accepted")?, served.stat("sent_away")?);
        let most = served.memory_max()?;
        eprintln!(
            "half-open: {accepted} accepted, {sent_away} sent away; p99 {attacked} µs, without them {quiet} µs; \
             {most} MB at most, without them {usual} MB"
        );
        ensure!(accepted >= f64::from(ATTACKERS) * HALF_OPEN as f64, "the attack was over before it began: {accepted}");
        drop(attackers);
        pairs.add(attacked, quiet);
        memory.add(most, usual);
    }
    Ok(vec![
        pairs.figure("half-open", "µs (p99)", Aim::RatioAtMost(1.2)),
        memory.figure("half-open-memory", "MB", Aim::AtMost(512.0)),
    ])
}

/// A process that holds half-open connections until this is dropped.
struct Attacker(Child);

impl Attacker {
    fn start(server: SocketAddr, number: u8) -> Result<Self> {
        let source = Ipv4Addr::new(127, 0, 1, 1 + number).to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("half-open").args([server.to_string(), source, HALF_OPEN.to_string()]);
        Ok(Self(command.stdin(Stdio::piped()).spawn().context("a process of attackers can't be started")?))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The attacking process: connects, says nothing or too little, and holds on to what it has.
///
/// # Errors
/// When the server can't be reached at all.
pub(crate) fn attack(args: &HalfOpenArgs) -> Result<()> {
    let mut held = Vec::with_capacity(args.count);
    for n in 0..args.count {
        // The kernel's own word for a server that is too busy is no reason to stop.
        if let Ok(mut stream) = from(args.source, args.address) {
            let said: &[u8] = [&b""[..], b"G", b"GET /connect HTTP/1.1\r\nhost: x\r\nx-drip: "][n % 3];
            let _ = stream.write_all(said);
            held.push(stream);
        }
    }
    ensure!(!held.is_empty(), "{} takes no connection", args.address);
    // Until whoever started it is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn from(source: Ipv4Addr, server: SocketAddr) -> Result<TcpStream> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &SocketAddr::from((source, 0)))?;
    let stream = {
        sockopt::set_socket_timeout(&stream, sockopt::Timeout::Send, Some(PATIENCE))?;
        connect(&stream, &server)?;
        TcpStream::from(stream)
    };
    Ok(stream)
}
