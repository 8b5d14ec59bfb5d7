//! Clocks: hosts whose clocks differ are measured as they are, with a bound that is true; and where the bound is larger
//! than what it corrects, nothing is claimed.
//!
//! Witness for the exchange of offsets over gRPC, for drift, and for stamps that follow it. The fleet is started by hand,
//! role by role; one of two workers runs as if on another host, with a clock that is 250 ms ahead and gains 30 µs a second.
//! Without the method half of all pairs of sender and receiver are off by 250 ms, one way or the other.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use truth::{Truth, quantile};

use super::{Target, attempt, counted, finish, micros, run_against_fleet};
use crate::harness::{Run, Server};

const SCENARIO: &str = "\
name: two-hosts
seed: 6
channels:
  - { id: room, count: 4, members: all }
cohorts:
  - name: people
    users: 40
    ramp: { rate: 40/s }
    actions:
      - send: { channel: room, rate: 60/s, size: 20..60B }
hold: 8s
thresholds:
  - delivery: p(99) < 2s
";

/// How far the other host's clock is ahead at its start.
const SKEW_US: f64 = 250_000.0;

/// The processes of a fleet on two hosts.
struct Fleet {
    control_plane: String,
    _all: Vec<Server>,
}

impl Fleet {
    /// Starts it; the worker on the other host reaches the control plane through `way`.
    fn start(way: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let runs = std::env::temp_dir().display().to_string();
        let any = "127.0.0.1:0";
        let data_plane = Server::start(&["data-plane", "--listen", any, "--runs-dir", &runs]);
        let url = |server: &Server| format!("http://{}", server.ready["listen"].as_str().expect("an address"));
        let flags = ["control-plane", "--listen", any, "--web-listen", any, "--data-plane", &url(&data_plane)];
        let control_plane = Server::start(&flags);
        let near = url(&control_plane);
        let address = near.trim_start_matches("http://").parse().expect("an address");
        let far = format!("http://{}", way(address));
        let here = Server::start(&["worker", "--control-plane", &near, "--name", "here"]);
        let skew = ["--clock-skew", "250ms", "--clock-drift", "30us/s"];
        let there = Server::start(&[&["worker", "--control-plane", &far, "--name", "there"], &skew[..]].concat());
        Self { control_plane: near, _all: vec![here, there, control_plane, data_plane] }
    }

    fn run(&self, target: &Target) -> Run {
        run_against_fleet(&target.url, SCENARIO, &self.control_plane, 2)
    }
}

/// The row of a worker, and the shard that it had: they stand in the order of their shards.
fn worker<'a>(result: &'a Value, name: &str) -> (usize, &'a Value) {
    let sources = result["sources"].as_array().expect("sources");
    let found = sources.iter().filter(|s| s["kind"] == "worker").enumerate().find(|(_, s)| s["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {sources:?}"))
}

/// True latencies of the messages whose sender's clock is the target's own, rising: whatever becomes of the other clock,
/// these hold, and those of the other half are of the same distribution.
fn of_shard(truth: &Truth, shard: usize) -> Vec<i64> {
    let ours = truth.heard.iter().filter(|heard| {
        let number = heard.user.rsplit('-').next().and_then(|n| n.parse::<usize>().ok()).expect("people-07");
        number % 2 == shard
    });
    let keys = ours.filter_map(|heard| heard.stamp.map(|(action, number, _)| measure::MessageKey::new(action, number)));
    let mut all: Vec<i64> = keys.filter_map(|key| truth.since_due.get(&key)).flatten().copied().collect();
    all.sort_unstable();
    all
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"))
}

fn compare() -> Result<(), String> {
    let target = Target::start(|config| config.delay = "constant(120ms)".parse().expect("a distribution"));
    let fleet = Fleet::start(|direct| direct);
    let mut run = fleet.run(&target);
    let result = finish(&mut run);
    let truth = target.ledger.truth();
    assert_eq!(counted(&result["metrics"], "delivery", "count"), truth.counts.written, "every delivery is measured");
    assert_eq!((&result["completeness"]["lost"], &result["conservation"]["holds"]), (&0.into(), &true.into()));

    let (shard, here) = worker(&result, "here");
    let (_, there) = worker(&result, "there");
    assert_eq!((number(here, "clock_offset_us"), number(here, "clock_bound_us")), (0.0, 0.0), "{here}");
    let (offset, bound) = (number(there, "clock_offset_us"), number(there, "clock_bound_us"));
    assert!(bound > 0.0 && number(there, "clock_exchanges") >= 9.0, "{there}");
    // It gained 30 µs in each second since it was started, and at most a minute has passed.
    assert!((-SKEW_US - 1_800.0 - bound..=-SKEW_US + bound).contains(&offset), "offset {offset}, bound {bound}");
    let delivery = &result["metrics"]["delivery"];
    let stated = number(delivery, "bound_us");
    assert!((stated - bound).abs() < 0.2, "the exact one adds nothing: {stated} and {bound}");
    assert_eq!(number(&result["metrics"]["send"], "bound_us"), 0.0, "one clock");
    for page in [run.stdout(), std::fs::read_to_string(run.out().join("report.html")).expect("a report")] {
        assert!(page.contains('±'), "{page}");
    }

    // All, by the target's clock: what the other worker stamped is in it as far as its bound is true. And the half that no
    // stamp of another clock is in: its tail is its own, but its median is that of all.
    let (pooled, exact) = (truth.pooled(), of_shard(&truth, shard));
    assert!(exact.len() > 2_000 && exact.len() < pooled.len() - 2_000, "{} of {}", exact.len(), pooled.len());
    let mut wrong = Vec::new();
    for (name, part, values) in
        [("p50_us", 0.5, &pooled), ("p90_us", 0.9, &pooled), ("p99_us", 0.99, &pooled), ("p50_us", 0.5, &exact)]
    {
        let (reported, true_us) =
            (micros(&result, "delivery", name), quantile(values, part).expect("there are values"));
        eprintln!("delivery {name}: {reported} ± {stated} ({:+})", reported - true_us);
        if (reported - true_us).abs() as f64 > true_us as f64 * 0.01 + 500.0 + stated {
            wrong.push(format!("{name}: reported {reported} ± {stated} µs, true are {true_us} µs"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

#[test]
fn a_host_with_another_clock_is_measured_as_it_is() {
    attempt(compare);
}

/// What comes from the control plane takes 60 ms more than what goes there: all that an exchange can tell is that the
/// offset is within half of that, and it is wrong by all of it. Deliveries take a millisecond or two.
#[test]
fn a_bound_above_the_latency_is_called_unusable_and_nothing_is_dropped() {
    let target = Target::start(|_| {});
    let mut slow = None;
    let fleet = Fleet::start(|direct| slow.insert(SlowWay::start(direct)).address);
    let mut run = fleet.run(&target);
    assert_eq!(run.end(), 2, "{}", run.stderr());
    let (result, truth) = (run.result(), target.ledger.truth());
    let delivery = &result["metrics"]["delivery"];
    assert!(delivery["unusable"] == true && number(delivery, "bound_us") >= 30_000.0, "{delivery}");
    assert_eq!((&result["thresholds"][0]["held"], &result["thresholds"][0]["unusable"]), (&Value::Null, &true.into()));
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(result["verdict"]["outcome"] == "invalid" && reasons.contains("can't be judged"), "{reasons}");
    assert!(run.stdout().contains("unusable"), "{}", run.stdout());
    // What goes from here to there comes out negative: a quarter of all, and each of them counts.
    assert_eq!(counted(&result["metrics"], "delivery", "count"), truth.counts.written);
    let negative = counted(&result, "counters", "negative");
    assert!(negative > truth.counts.written / 8, "{negative} of {}", truth.counts.written);
    assert_eq!(result["completeness"]["lost"], 0);
    let page = std::fs::read_to_string(run.out().join("report.html")).expect("a report");
    assert!(page.contains("delivery is unusable") && page.contains("came out negative"));
}

/// A way to an address on which whatever comes back is late.
struct SlowWay {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl SlowWay {
    const LATE: Duration = Duration::from_millis(60);

    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        thread::spawn(move || {
            for from in listener.incoming().take_while(|_| !end.load(Ordering::Relaxed)).flatten() {
                let Ok(to) = TcpStream::connect(to) else { continue };
                let twins = (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"));
                thread::spawn(move || pass(from, to, Duration::ZERO));
                thread::spawn(move || pass(twins.1, twins.0, Self::LATE));
            }
        });
        Self { address, ended }
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(TcpStream::connect(self.address));
    }
}

/// Passes on what comes until either side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, late: Duration) {
    let mut bytes = [0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        thread::sleep(late);
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
