//! What recorders counted is what is shown, to the last sample, whatever happens to the streams.

use std::net::SocketAddr;

use measure::{Interval, Metric};
use proto::telemetry::CloseRequest;
use reports::RunResult;

use crate::measured::{Random, second};
use crate::plane::{Peer, Plane, close, open};

const SECONDS: u64 = 12;

/// Ships in pieces: streams are cut, acknowledgements lost, intervals doubled.
async fn ship_badly(mut peer: Peer, address: SocketAddr, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..6 {
        let until = (peer.acknowledged + random.below(5)).min(SECONDS);
        let (times, acks) = (1 + random.below(3), random.below(4));
        // A cut stream is the point of it.
        let _ = peer.ship(address, until, times, acks).await;
    }
    peer.ship_all(address).await;
}

fn shown(result: &RunResult, metric: Metric) -> (u64, u64, u64, u64) {
    let m = &result.metrics[metric.name()];
    (m.count, m.p50_us, m.p99_us, m.max_us)
}

async fn conserves(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    let names = ["worker-1", "worker-2"];
    plane.control().await.open(open("r", &names)).await.unwrap();
    let mut random = Random(seed);
    let peers: Vec<Peer> = names
        .iter()
        .map(|name| Peer::new("r", name, (0..SECONDS).map(|s| second(&mut random, s, 3)).collect()))
        .collect();
    let mut all = Interval::default();
    peers.iter().flat_map(|p| &p.intervals).for_each(|i| all.merge(i));

    let address = plane.address;
    let shipping: Vec<_> =
        peers.into_iter().map(|peer| tokio::spawn(ship_badly(peer, address, random.next()))).collect();
    // The data plane is killed while they ship, and comes back where it was.
    let mut control = plane.control().await;
    let some = async {
        while control.live(proto::telemetry::LiveRequest { run: "r".into() }).await.unwrap().into_inner().delivered == 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(crate::plane::PATIENCE, some).await.unwrap();
    let port = plane.kill();
    let plane = Plane::start(dir.path(), port);
    for peer in shipping {
        peer.await.unwrap();
    }
    let request = CloseRequest { run: "r".into(), wait_ms: 5_000, ended_ns: 0, ..CloseRequest::default() };
    let reply = close(plane.address, &request).await;
    let result = reports::load(&dir.path().join("r")).unwrap();

    let c = &result.conservation;
    assert!(c.holds, "seed {seed}: {c:?}");
    assert_eq!((c.recorded_samples, c.shown_samples), (all.samples(), all.samples()), "seed {seed}");
    assert!(c.by_name.len() > 5 && c.by_name.values().all(|sides| sides.recorded == sides.shown), "seed {seed}: {c:?}");
    assert_eq!(c.by_name["delivery"].recorded, c.by_name["messages_received"].shown, "seed {seed}");
    assert_eq!(c.shown_counts, all.counters.values().sum::<u64>(), "seed {seed}");
    for metric in [Metric::Delivery, Metric::Send] {
        let h = &all.histograms[&measure::Series { metric, cohort: Some(0) }];
        assert_eq!(
            shown(&result, metric),
            (h.count(), h.quantile(0.5), h.quantile(0.99), h.max()),
            "seed {seed} {metric}"
        );
    }
    assert_eq!(result.metrics["fanout_last"].count, all.receipts.len() as u64, "seed {seed}: one sample a message");
    let last = all.receipts.values().filter_map(measure::Receipt::last).max().unwrap();
    assert_eq!(result.slowest_messages[0].last_us, last, "seed {seed}");
    assert_eq!(result.completeness.delivered, result.completeness.expected, "seed {seed}");
    let by_event = &result.by_event;
    assert_eq!((by_event.agrees, by_event.expected), (Some(true), result.completeness.expected), "seed {seed}");
    assert_eq!(by_event.messages.receipts, result.completeness.delivered, "seed {seed}: {by_event:?}");
    assert_eq!(result.fanout.exact, Some(true), "seed {seed}");
    let deliveries: u64 = result.timeline.deliveries.iter().sum();
    assert_eq!(deliveries, result.counters["messages_received"], "seed {seed}: the timeline has all of it");
    assert_eq!(reply.outcome, "passed", "seed {seed}: {:?}", reply.reasons);
    assert!(result.events.iter().any(|e| e.kind == "data_plane_back"), "seed {seed}");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_through_cuts_and_a_killed_data_plane() {
    for seed in 0..5 {
        conserves(seed).await;
    }
}
