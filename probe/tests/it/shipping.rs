//! What was recorded reaches the data plane once, whatever happens on the way.

use std::net::SocketAddr;
use std::time::Duration;

use agent::Known;
use measure::{Clock, Counter, Interval, Metric, Recorder, SharedRecorder};
use probe::{Shipper, ShipperConfig, Source, SpoolLimits};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fake_plane::FakePlane;

const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// As SIGKILL, and waits until the port is free.
fn kill(runtime: tokio::runtime::Runtime) {
    std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join().unwrap();
}

fn source(name: &str, kind: &str, recorders: Vec<SharedRecorder>) -> Source {
    let (name, kind, host) = (name.to_owned(), kind.to_owned(), "here".to_owned());
    Source { name, kind, host, cores: 1, recorders, samplers: Vec::new() }
}

fn recorder() -> SharedRecorder {
    SharedRecorder::new(Recorder::new(1, Clock::System.now()))
}

fn start(address: SocketAddr, sources: Vec<Source>, dir: &std::path::Path, memory_bytes: usize) -> Shipper {
    let config = ShipperConfig {
        data_plane: address.to_string(),
        links: tls::Links::default(),
        run: "r".into(),
        // So many seconds ago that a boundary comes in a fraction of a second.
        start: Clock::System.now() - Duration::from_millis(700),
        known: watch::channel(Known::default()).1,
        sources,
        spool: SpoolLimits { memory_bytes, disk_bytes: 1 << 20, dir: dir.to_owned() },
        simulated: false,
    };
    Shipper::start(config, Clock::System)
}

fn record(recorder: &SharedRecorder, n: u64) {
    for i in 0..n {
        recorder.with(|r| {
            r.record(Metric::Send, i as i64);
            r.count(Counter::Sent, None, 1);
        });
    }
}

/// Everything that the fake data plane has of a source, added up.
fn total(plane: &FakePlane, source: &str) -> Interval {
    let stored = plane.stored.lock().unwrap();
    let mut sum = Interval::default();
    for ((name, _), bytes) in &stored.intervals {
        if name == source {
            sum.merge(&Interval::decode(bytes).unwrap());
        }
    }
    sum
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_arrives_once_through_cuts_and_a_restart() {
    let (dir, plane) = (tempfile::tempdir().unwrap(), FakePlane { cut_every: 3, ..FakePlane::default() });
    let server = runtime();
    let address = plane.serve(&server, 0);
    let (a, b, node) = (recorder(), recorder(), recorder());
    let sources =
        vec![source("worker-1", "worker", vec![a.clone(), b.clone()]), source("node-1", "node", vec![node.clone()])];
    // Memory for nothing: all of it goes through the file.
    let shipper = start(address, sources, dir.path(), 0);
    record(&a, 100);
    record(&b, 10);
    record(&node, 7);
    until("a first interval of each", || plane.stored.lock().unwrap().intervals.len() >= 2).await;
    kill(server);
    record(&a, 1_000);
    until("intervals wait for the data plane", || shipper.waiting() >= 2).await;
    let server = runtime();
    plane.serve(&server, address.port());
    record(&b, 500);
    let accounts = shipper.finish(Instant::now() + PATIENCE).await.unwrap();

    let worker = total(&plane, "worker-1");
    assert_eq!((worker.samples(), worker.count(Counter::Sent)), (1_610, 1_610));
    assert_eq!(total(&plane, "node-1").samples(), 7);
    {
        let stored = plane.stored.lock().unwrap();
        for account in &accounts {
            let goodbye = &stored.goodbyes[&account.source];
            let sequences: Vec<u64> =
                stored.intervals.keys().filter(|(name, _)| *name == account.source).map(|(_, n)| *n).collect();
            assert_eq!(sequences, (1..=goodbye.last_sequence).collect::<Vec<_>>(), "no number is missing");
            assert_eq!((goodbye.samples, goodbye.counts), (account.samples, account.counts));
            assert!(account.closed && account.receipts_dropped == 0);
        }
        assert_eq!(stored.goodbyes["worker-1"].samples, 1_610);
        assert_eq!((stored.kinds["worker-1"].as_str(), stored.kinds["node-1"].as_str()), ("worker", "node"));
        assert!(stored.streams >= 2 && stored.repeats >= 1, "{} streams, {} repeats", stored.streams, stored.repeats);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the spool's file is gone");
    kill(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_never_comes_does_not_hold_the_end_up() {
    let dir = tempfile::tempdir().unwrap();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let a = recorder();
    let shipper = start(unused, vec![source("w", "worker", vec![a.clone()])], dir.path(), 1 << 20);
    record(&a, 5);
    let unshipped = shipper.finish(Instant::now() + Duration::from_millis(200)).await.unwrap_err();
    assert!(unshipped.waiting >= 1 && unshipped.reason.contains("deadline"), "{unshipped}");
    assert_eq!(unshipped.accounts[0].samples, 5, "and it is known what was recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_to_hurry_while_it_ships_keeps_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let a = recorder();
    let shipper =
        start(silent.local_addr().unwrap(), vec![source("w", "worker", vec![a.clone()])], dir.path(), 1 << 20);
    record(&a, 5);
    let (hurry, hurried) = tokio::sync::oneshot::channel();
    let sooner = async { hurried.await.unwrap() };
    let deadline = Instant::now() + Duration::from_secs(3_600);
    let finishing = tokio::spawn(shipper.finish_or(deadline, sooner));
    hurry.send(Instant::now()).unwrap();
    let unshipped = tokio::time::timeout(PATIENCE, finishing).await.expect("it hurries").unwrap().unwrap_err();
    assert!(unshipped.waiting >= 1, "{unshipped}");
    let kept = proto::kept::read(&unshipped.kept.expect("a file")).unwrap();
    assert!(kept.len() >= 2, "who ships, and what: {kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_over_is_not_shipped_for_until_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let plane = FakePlane { refuse: Some(tonic::Code::Aborted), ..FakePlane::default() };
    let server = runtime();
    let address = plane.serve(&server, 0);
    let shipper = start(address, vec![source("w", "worker", vec![recorder()])], dir.path(), 1 << 20);
    let asked = Instant::now();
    let unshipped = shipper.finish(Instant::now() + PATIENCE).await.unwrap_err();
    assert!(unshipped.reason.contains("over") && asked.elapsed() < PATIENCE / 2, "{unshipped}");
    kill(server);
}
