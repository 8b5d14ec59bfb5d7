//! The conservation law through the real binary: a data plane that is killed again and again, and streams to it that are
//! cut at random, some after what they carried was stored and before anybody heard of it.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use measure::Clock;
use serde_json::Value;

use crate::by_hand::ByHand;
use crate::harness::SMALL;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// Stands between the data plane and all who ship to it. Each connection is cut after a random time; in every second one,
/// what the data plane answers is swallowed for a while before that.
struct Cutter {
    address: String,
    cuts: Arc<AtomicU64>,
    swallowed: Arc<AtomicU64>,
}

impl Cutter {
    fn start(data_plane: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (cuts, swallowed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (data_plane, tallies) = (data_plane.to_owned(), (cuts.clone(), swallowed.clone()));
        let mut random = Random(seed);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let life = Duration::from_millis(400 + random.below(2_600));
                let swallows = number % 2 == 0;
                // While the data plane is away, whoever dials is hung up on.
                let Ok(server) = TcpStream::connect(&data_plane) else { continue };
                let (cuts, swallowed) = tallies.clone();
                std::thread::spawn(move || {
                    let lost = carry(&client, &server, life, swallows);
                    cuts.fetch_add(1, Ordering::Relaxed);
                    swallowed.fetch_add(lost, Ordering::Relaxed);
                });
            }
        });
        Self { address, cuts, swallowed }
    }
}

/// Carries bytes both ways for this long, then hangs up on both; answers how many bytes of answers were swallowed.
fn carry(client: &TcpStream, server: &TcpStream, life: Duration, swallows: bool) -> u64 {
    let (clock, begun) = (Clock::System, Clock::System.now());
    let left = |of: Duration| of.saturating_sub(clock.now().since(begun));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*client, &mut &*server);
        });
        let answers = scope.spawn(|| {
            let honest = if swallows { life / 2 } else { life };
            let (mut buffer, mut swallowed) = ([0; 4_096], 0);
            while let Ok(n @ 1..) = std::io::Read::read(&mut &*server, &mut buffer) {
                if left(honest).is_zero() {
                    swallowed += n as u64;
                } else if std::io::Write::write_all(&mut &*client, &buffer[..n]).is_err() {
                    break;
                }
            }
            // The data plane may be gone; then the others should know.
            let _ = client.shutdown(Shutdown::Both);
            swallowed
        });
        while !left(life).is_zero() && !answers.is_finished() {
            std::thread::sleep(left(life).min(Duration::from_millis(20)));
        }
        for end in [client, server] {
            let _ = end.shutdown(Shutdown::Both);
        }
        answers.join().unwrap_or(0)
    })
}

/// What PyPI's library finds in the log.
fn independent(out: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hlog_reader.py");
    let read = Command::new(crate::hlog::python())
        .arg(script)
        .arg(out.join("intervals.hlog"))
        .output()
        .expect("Python can be started");
    serde_json::from_slice(&read.stdout).expect("one JSON object")
}

#[test]
fn not_one_sample_is_lost_or_doubled_through_three_kills_and_random_cuts() {
    let seed = Clock::System.now().as_nanos();
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut cutter = None;
    let mut fleet = ByHand::start(2, |data_plane| {
        let cutting = Cutter::start(data_plane, random.below(u64::MAX));
        cutter.insert(cutting).address.clone()
    });
    let cutter = cutter.expect("it was started");
    fleet.run(&SMALL.replace("hold: 3s", "hold: 14s"), &[]);
    fleet.wait_until_under_way();
    for _ in 0..3 {
        // No condition to wait for: the fault comes at any time.
        std::thread::sleep(Duration::from_millis(500 + random.below(2_500)));
        fleet.kill_and_restart_data_plane();
    }
    let code = fleet.end();
    let result = crate::harness::well(code, &fleet.out(), &fleet.stderr());
    let (cuts, swallowed) = (cutter.cuts.load(Ordering::Relaxed), cutter.swallowed.load(Ordering::Relaxed));
    assert!(cuts > 10 && swallowed > 0, "{cuts} cuts, {swallowed} bytes swallowed");
    // What came twice since the last restart; before that, nobody remembers.
    println!("{cuts} cuts, {swallowed} bytes of answers swallowed; {}", result["doubts"]);
    let back = result["events"].as_array().unwrap().iter().filter(|e| e["kind"] == "data_plane_back").count();
    assert!(back >= 3, "{}", result["events"]);

    // What each source's recorders counted, by metric and counter, is what the report shows.
    let conservation = &result["conservation"];
    assert_eq!(conservation["holds"], true, "seed {seed}: {conservation}");
    assert_eq!(conservation["unaccounted"], serde_json::json!([]), "seed {seed}");
    assert_eq!(conservation["recorded_samples"], conservation["shown_samples"], "seed {seed}");
    assert_eq!(conservation["recorded_counts"], conservation["shown_counts"], "seed {seed}");
    let by_name = conservation["by_name"].as_object().unwrap();
    for name in ["delivery", "send", "connect", "lag", "loop_delay", "messages_received", "sent", "expected"] {
        assert!(by_name[name]["recorded"].as_u64().unwrap() > 0, "{name}: {conservation}");
    }
    let log = independent(&fleet.out());
    for (name, sides) in by_name {
        assert_eq!(sides["recorded"], sides["shown"], "seed {seed}: {name}");
        let shown = match result["metrics"].get(name) {
            Some(metric) => &metric["count"],
            None => &result["counters"][name],
        };
        assert_eq!(&sides["shown"], shown, "seed {seed}: {name}");
        if result["metrics"].get(name).is_some() {
            assert_eq!(&log[name]["count"], shown, "seed {seed}: {name} in intervals.hlog");
        }
    }
    let sum = |series: &Value| series.as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(sum(&result["timeline"]["deliveries"]), result["counters"]["messages_received"], "seed {seed}");
    assert_eq!(result["completeness"]["expected"], result["completeness"]["delivered"], "seed {seed}");
}
