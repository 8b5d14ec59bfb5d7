//! Benchmarks of the whole system: a room full of users, from the call that sends to the recorder of the last receiver.

use anyhow::{Context as _, Result, ensure};

use super::bare::Bare;
use super::rounds::{Paired, median};
use super::system::Run;
use super::{Aim, Figure};
use crate::repo;

/// Users of a room: what fits one worker and one chat server with 20,000 open files each.
const USERS: usize = 15_000;
/// Bytes of a message's frame, about: 100 bytes of text and what surrounds them.
const FRAME: usize = 400;
/// Rounds of each side, A B A B.
const ROUNDS: usize = 3;

/// A room whose users have all joined before `hold` begins.
fn room(users: usize, hold: &str, actions: &str) -> String {
    format!(
        "name: bench\nseed: 7\nchannels: [{{ id: room, type: livestream }}]\n\
         cohorts:\n  - {{ name: crowd, users: {users}, ramp: {{ rate: 2000/s }}, actions: [{actions}] }}\nhold: {hold}\n"
    )
}

/// One message at a time to everybody: deliveries a second while one is on its way.
pub(super) fn fanout() -> Result<Vec<Figure>> {
    let mut pairs = Paired::default();
    for _ in 0..ROUNDS {
        let scenario = room(USERS, "20s", "{ send: { channel: room, rate: 2/s, size: 100B } }");
        let run = Run::of(&scenario, &["--workers", "1"])?;
        let last = run.number("/metrics/fanout_last/p50_us").context("no message reached anybody")?;
        let mut bare = Bare::start(USERS, FRAME)?;
        let alone: Vec<f64> = (0..20).map(|_| bare.round(1)).collect::<Result<_>>()?;
        pairs.add(run.users() / (last / 1e6), median(&alone));
    }
    Ok(vec![pairs.figure("fanout", "deliveries/s", Aim::RatioAtLeast(0.9))])
}

/// Many messages in flight: deliveries a second at most.
pub(super) fn fanout_busy() -> Result<Vec<Figure>> {
    let mut pairs = Paired::default();
    for _ in 0..ROUNDS {
        let run =
            Run::of(&room(USERS, "20s", "{ send: { channel: room, rate: 45/s, size: 100B } }"), &["--workers", "1"])?;
        let mut bare = Bare::start(USERS, FRAME)?;
        pairs.add(best_ten_seconds(&run.timeline("deliveries")), bare.round(20)?);
    }
    Ok(vec![pairs.figure("fanout-busy", "deliveries/s", Aim::RatioAtLeast(4.0))])
}

/// The most that any ten seconds in a row had, a second.
fn best_ten_seconds(values: &[f64]) -> f64 {
    values.windows(10).map(|window| window.iter().sum::<f64>() / 10.0).fold(0.0, f64::max)
}

/// Everybody at once: full handshakes a second, from TCP over upgrade and token to the first event, each followed by its
/// watching; against bare TCP connects.
pub(super) fn connect() -> Result<Vec<Figure>> {
    let mut pairs = Paired::default();
    for _ in 0..ROUNDS {
        let scenario = room(USERS, "10s", "").replace("rate: 2000/s", "rate: 1000000/s");
        let run = Run::of(&scenario, &["--workers", "1"])?;
        ensure!(run.users() >= USERS as f64, "only {} users came in: {}", run.users(), run.reasons());
        let last = run.number("/metrics/connect/max_us").context("nobody connected")?;
        pairs.add(run.users() / (last / 1e6), Bare::start(USERS, FRAME)?.connects_per_second);
    }
    Ok(vec![pairs.figure("connect", "connects/s", Aim::RatioAtLeast(0.35))])
}

/// Memory of an idle user and of an idle connection: growth of resident memory from the first thousand to all.
pub(super) fn footprint() -> Result<Vec<Figure>> {
    let (mut users, mut connections) = (Paired::default(), Paired::default());
    for _ in 0..ROUNDS {
        let run = Run::of(&room(USERS, "15s", ""), &["--workers", "1"])?;
        users.alone(growth(&run, "worker")?);
        connections.alone(growth(&run, "node")?);
    }
    Ok(vec![
        users.figure("footprint-user", "B/user", Aim::AtMost(1_024.0)),
        connections.figure("footprint-connection", "B/connection", Aim::AtMost(1_536.0)),
    ])
}

fn growth(run: &Run, kind: &str) -> Result<f64> {
    let (held, memory) = (run.timeline("users_connected"), run.sum_of(kind, "rss_bytes"));
    let first = held.iter().position(|users| *users >= 1_000.0).context("fewer than 1,000 users came")?;
    let most = held.iter().copied().fold(0.0, f64::max);
    let last = held.iter().rposition(|users| *users >= most).context("nobody came")?;
    ensure!(memory.len() > last && most > held[first], "nobody looked at the memory of the {kind}");
    Ok((memory[last] - memory[first]) / (most - held[first]))
}

/// A busy channel of chat text with and without compression: bytes on the wire, and processor time of both ends.
pub(super) fn deflate() -> Result<Vec<Figure>> {
    let (mut bytes, mut cpu) = (Paired::default(), Paired::default());
    for _ in 0..ROUNDS {
        let scenario = room(5_000, "20s", "{ send: { channel: room, rate: 20/s, size: 80..300B } }");
        let squeezed = cost(&scenario.replace("ramp:", "compression: deflate, ramp:"))?;
        let plain = cost(&scenario)?;
        bytes.add(squeezed.0, plain.0);
        cpu.add(squeezed.1, plain.1);
    }
    Ok(vec![
        bytes.figure("deflate-bytes", "B/delivery", Aim::RatioAtMost(1.0 / 3.0)),
        cpu.figure("deflate-cpu", "µs/delivery", Aim::RatioAtMost(1.2)),
    ])
}

/// Bytes and microseconds of processor time a delivery.
fn cost(scenario: &str) -> Result<(f64, f64)> {
    let run = Run::of(scenario, &["--workers", "1"])?;
    let deliveries = run.timeline("deliveries");
    let busy: Vec<usize> = (0..deliveries.len()).filter(|&second| deliveries[second] > 50_000.0).collect();
    let all: f64 = busy.iter().map(|&second| deliveries[second]).sum();
    ensure!(all > 0.0, "no second was busy: {}", run.reasons());
    let cores = [run.sum_of("worker", "cpu"), run.sum_of("node", "cpu")];
    let spent: f64 = cores.iter().flat_map(|cpu| busy.iter().filter_map(|&second| cpu.get(second))).sum();
    let received = run.number("/counters/bytes_received").context("nobody counted bytes")?;
    let total: f64 = deliveries.iter().sum();
    Ok((received / total, spent * 1e6 / all))
}

/// A million people in one room on this machine, as the scenario in the repository has it: everybody there at once, and
/// everything delivered to everybody. Its report is kept as `docs/million.html`.
pub(super) fn million() -> Result<Vec<Figure>> {
    let file = repo::root().join("scenarios/million.yaml");
    let run = Run::of(&std::fs::read_to_string(&file).with_context(|| file.display().to_string())?, &[])?;
    let of =
        |name: &str| run.number(&format!("/completeness/{name}")).with_context(|| format!("nobody counted {name}"));
    let (expected, delivered, duplicated) = (of("expected")?, of("delivered")?, of("duplicated")?);
    ensure!(
        expected > 0.0 && delivered == expected,
        "{delivered} of {expected} events were delivered: {}",
        run.reasons()
    );
    ensure!(duplicated == 0.0, "{duplicated} events came twice: {}", run.reasons());
    run.keep_report(&repo::root().join("docs/million.html"))?;
    let mut one = Paired::default();
    one.alone(run.users());
    Ok(vec![one.figure("million", "users", Aim::AtLeast(1e6))])
}
