//! Results as a run would leave them, made from a seed: what tests and the gallery render.

use std::collections::BTreeMap;

use reports::RunResult;
use reports::result::{
    Bands, Completeness, Conservation, ErrorCount, EventInfo, FanoutInfo, HostInfo, Lacking, Latency, Outcome,
    PhaseSpan, ScenarioInfo, SlowMessage, SourceInfo, ThresholdResult, Timeline, UserCounts, VerdictInfo,
};

#[path = "synthetic_anything.rs"]
mod anything;
#[path = "synthetic_events.rs"]
mod events;

#[path = "synthetic_clocks.rs"]
mod clocks;

pub(crate) use anything::anything;
pub(crate) use clocks::two_hosts;

/// All of them, by name.
pub(crate) fn gallery() -> Vec<(&'static str, RunResult)> {
    vec![
        ("quickstart", quickstart()),
        ("worker-lost", worker_lost()),
        ("failed", failed()),
        ("empty", RunResult { schema: reports::result::SCHEMA.into(), run: "empty".into(), ..RunResult::default() }),
        ("nothing-delivered", nothing_delivered()),
        ("interrupted", interrupted()),
        ("running", running()),
        ("hour", hour()),
        ("two-hosts", two_hosts()),
        ("hostile", hostile()),
    ]
}

/// SplitMix64: the same numbers from the same seed, whatever version of whatever library.
struct Dice(u64);

impl Dice {
    fn random_range(&mut self, range: std::ops::Range<f64>) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        range.start + (z >> 11) as f64 / (1u64 << 53) as f64 * (range.end - range.start)
    }

    fn below(&mut self, n: usize) -> usize {
        self.random_range(0.0..n as f64) as usize
    }
}

/// What a run looks like.
struct Shape {
    seconds: u32,
    users: u64,
    ramp_s: u32,
    sends: u64,
    median_us: f64,
    seed: u64,
}

/// 1,000 users in one channel for 40 seconds; all is well.
pub(crate) fn quickstart() -> RunResult {
    run(&Shape { seconds: 40, users: 1_000, ramp_s: 12, sends: 20, median_us: 1_900.0, seed: 2021 })
}

/// The second worker dies at 22 s.
pub(crate) fn worker_lost() -> RunResult {
    let mut result = quickstart();
    let text = "worker-2 was lost: its lease ran out; its 500 users count from here as gone";
    result.events.push(EventInfo { at_s: 22.4, kind: "worker_lost".into(), text: text.into() });
    result.sources[1].lost_at_s = Some(22.4);
    result.sources[1].intervals_missing = 3;
    for series in [&mut result.timeline.users_connected, &mut result.timeline.deliveries] {
        series[22..].iter_mut().for_each(|n| *n /= 2);
    }
    result.sources[1].cpu[22..].fill(None);
    result.verdict = VerdictInfo {
        outcome: Outcome::Invalid,
        reasons: vec!["worker-2 was lost at 22 s with 500 users: look into logs/worker-2.log".into()],
        interrupted: false,
    };
    result.doubts = result.verdict.reasons.clone();
    result.conservation.unaccounted = vec!["worker-2".into()];
    let lacking =
        Lacking { source: "worker-2".into(), users: 500, from_s: 20.0, messages: 391, why: "it was lost".into() };
    result.fanout = FanoutInfo { exact: Some(false), lacks: vec![lacking], late: 0 };
    result
}

/// Latency rises with users, and a threshold fails.
pub(crate) fn failed() -> RunResult {
    let mut result = run(&Shape { seconds: 60, users: 5_000, ramp_s: 40, sends: 30, median_us: 9_000.0, seed: 7 });
    for (name, bands) in &mut result.timeline.latency {
        if name == "lag" {
            continue;
        }
        for (i, users) in result.timeline.users_connected.iter().enumerate() {
            let grown = 0.2 + 6.0 * (*users as f64 / 5_000.0).powi(2);
            for series in
                [&mut bands.p50_us, &mut bands.p90_us, &mut bands.p99_us, &mut bands.p999_us, &mut bands.max_us]
            {
                series[i] = series[i].map(|us| (us as f64 * grown) as u64);
            }
        }
    }
    result.thresholds[0].held = Some(false);
    result.thresholds[0].measured = Some(312_400.0);
    result.thresholds[0].first_failed_at_s = Some(33);
    result.completeness.lost = 37;
    result.completeness.delivered -= 37;
    result.thresholds[2].held = Some(false);
    result.thresholds[2].measured = Some(37.0);
    result.thresholds[2].first_failed_at_s = Some(41);
    events::misses(&mut result);
    let per_second = |from: u32, n: u32| (0..60).map(|s| if s >= from && s < from + 9 { n } else { 0 }).collect();
    result.errors = vec![
        ErrorCount { kind: "429 from send".into(), count: 270, first_at_s: 35, per_second: per_second(35, 30) },
        ErrorCount {
            kind: "closed: slow reader (4011)".into(),
            count: 36,
            first_at_s: 41,
            per_second: per_second(41, 4),
        },
    ];
    result.verdict = VerdictInfo {
        outcome: Outcome::Failed,
        reasons: vec!["delivery p(99) 312 ms, asked < 250 ms".into(), "lost count 37, asked == 0".into()],
        interrupted: false,
    };
    result
}

/// Users joined, and no message ever reached one.
pub(crate) fn nothing_delivered() -> RunResult {
    let mut result = quickstart();
    for name in ["delivery", "delivery_service", "fanout_first", "fanout_median", "fanout_p99", "fanout_last"] {
        result.metrics.remove(name);
        result.timeline.latency.remove(name);
    }
    result.metrics_by_cohort.clear();
    result.timeline.deliveries.fill(0);
    result.timeline.heat.clear();
    result.timeline.heat_edges_us.clear();
    result.completeness = Completeness { expected: 800_000, lost: 800_000, ..Completeness::default() };
    result.completeness_by_cohort.clear();
    result.slowest_messages.clear();
    result.thresholds[0].held = None;
    result.thresholds[0].measured = None;
    result.verdict = VerdictInfo {
        outcome: Outcome::Failed,
        reasons: vec!["delivery: nothing was measured".into()],
        interrupted: false,
    };
    result
}

/// Stopped by its user after nine seconds.
pub(crate) fn interrupted() -> RunResult {
    let mut result = run(&Shape { seconds: 9, users: 1_000, ramp_s: 12, sends: 20, median_us: 1_900.0, seed: 5 });
    result.verdict = VerdictInfo { outcome: Outcome::Passed, reasons: Vec::new(), interrupted: true };
    let text = "stopped by its user".into();
    result.events.push(EventInfo { at_s: 8.6, kind: "stopped".into(), text });
    result
}

/// The page of a run that goes on.
pub(crate) fn running() -> RunResult {
    let mut result = run(&Shape { seconds: 15, users: 1_000, ramp_s: 12, sends: 20, median_us: 1_900.0, seed: 6 });
    result.verdict = VerdictInfo { outcome: Outcome::Running, ..VerdictInfo::default() };
    result.conservation.unaccounted = vec!["worker-1".into()];
    result
}

/// An hour, with a data plane that was away for a while.
pub(crate) fn hour() -> RunResult {
    let mut result =
        run(&Shape { seconds: 3_600, users: 200_000, ramp_s: 900, sends: 3, median_us: 6_100.0, seed: 99 });
    result.events.push(EventInfo { at_s: 1_500.0, kind: "data_plane_lost".into(), text: "data plane lost".into() });
    let text = "data plane back; 41 intervals resent".into();
    result.events.push(EventInfo { at_s: 1_541.0, kind: "data_plane_back".into(), text });
    result
}

/// Every text is an attack.
pub(crate) fn hostile() -> RunResult {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{2028}]]>";
    let mut result = worker_lost();
    result.run = evil.into();
    result.target = evil.into();
    result.command = evil.into();
    result.scenario.name = evil.into();
    result.scenario.description = evil.into();
    result.scenario.source = evil.into();
    result.verdict.reasons = vec![evil.into(), evil.into()];
    result.doubts = vec![evil.into()];
    result.events[0].text = evil.into();
    result.events.push(EventInfo { at_s: 3.0, kind: format!("{evil}_lost"), text: evil.into() });
    result.phases.iter_mut().for_each(|p| p.name = evil.into());
    result.sources.iter_mut().for_each(|s| s.name = evil.into());
    result.hosts[0].name = evil.into();
    result.slowest_messages.iter_mut().for_each(|m| m.message = evil.into());
    result.thresholds.iter_mut().for_each(|t| t.text = evil.into());
    let metrics = result.metrics.clone();
    result.metrics_by_cohort = BTreeMap::from([(evil.into(), metrics.clone()), ("fans".into(), metrics)]);
    result.errors = vec![ErrorCount { kind: evil.into(), count: 2, first_at_s: 1, per_second: vec![0, 2] }];
    result
}

fn run(shape: &Shape) -> RunResult {
    let mut random = Dice(shape.seed);
    let timeline = timeline(shape, &mut random);
    let deliveries: u64 = timeline.deliveries.iter().sum();
    let sends: u64 = timeline.sends.iter().sum();
    let reached = timeline.users_connected.iter().copied().max().unwrap_or(0);
    let all = Completeness { expected: deliveries, delivered: deliveries, ..Completeness::default() };
    let metrics = metrics(shape, deliveries, sends, reached);
    RunResult {
        schema: reports::result::SCHEMA.into(),
        run: "20261124-130005-quickstart".into(),
        scenario: scenario(shape),
        verdict: VerdictInfo { outcome: Outcome::Passed, ..VerdictInfo::default() },
        started_at: "2026-11-24T13:00:05.250Z".into(),
        duration_s: f64::from(shape.seconds),
        target: "ws://127.0.0.1:38211".into(),
        bundled: true,
        version: "0.1.0".into(),
        command: "throng run scenarios/quickstart.yaml".into(),
        users: UserCounts { planned: shape.users, connected_max: reached },
        completeness: all,
        completeness_by_cohort: BTreeMap::from([("fans".into(), all)]),
        metrics,
        counters: BTreeMap::from([("connected".into(), reached), ("sent".into(), sends), ("dropped".into(), 0)]),
        thresholds: thresholds(shape),
        sources: sources(shape, &mut random),
        hosts: vec![host(shape)],
        phases: vec![
            PhaseSpan { name: "join".into(), start_s: 0.0, end_s: f64::from(shape.ramp_s) },
            PhaseSpan { name: "hold".into(), start_s: f64::from(shape.ramp_s), end_s: f64::from(shape.seconds) * 0.9 },
            PhaseSpan {
                name: "drain".into(),
                start_s: f64::from(shape.seconds) * 0.9,
                end_s: f64::from(shape.seconds),
            },
        ],
        slowest_messages: slowest(shape, &mut random),
        conservation: Conservation {
            recorded_samples: deliveries * 2 + sends * 3,
            shown_samples: deliveries * 2 + sends * 3,
            recorded_counts: deliveries * 3,
            shown_counts: deliveries * 3,
            by_name: BTreeMap::new(),
            unaccounted: Vec::new(),
            holds: true,
        },
        timeline,
        ..RunResult::default()
    }
}

fn scenario(shape: &Shape) -> ScenarioInfo {
    let source = format!(
        "name: quickstart\ndescription: A thousand people join one channel.\nseed: {}\nchannels:\n  - {{ id: lobby, type: \
         livestream, members: all }}\ncohorts:\n  - name: fans\n    users: {}\n    ramp: {{ rate: 100/s }}\n    actions:\n      \
         - send: {{ channel: lobby, rate: {}/s, size: 120..400B }}\nhold: 25s\nthresholds:\n  - delivery: p(99) < 250ms\n",
        shape.seed, shape.users, shape.sends
    );
    ScenarioInfo {
        name: "quickstart".into(),
        description: "A thousand people join one channel and talk; every message reaches every one of them.".into(),
        digest: "9f2c1d6c0b7e4a518f3d2e6b7a90c1d4e5f60718293a4b5c6d7e8f9012345678".into(),
        file: "scenarios/quickstart.yaml".into(),
        source,
        overrides: vec!["hold=25s".into()],
        seed: shape.seed,
    }
}

fn timeline(shape: &Shape, random: &mut Dice) -> Timeline {
    let seconds: Vec<u32> = (0..shape.seconds).collect();
    let planned = |s: u32| (shape.users * u64::from(s + 1) / u64::from(shape.ramp_s)).min(shape.users);
    let drain = shape.seconds - shape.seconds / 10;
    let connected: Vec<u64> =
        seconds.iter().map(|s| if *s >= shape.ramp_s { shape.users } else { planned(*s) * 97 / 100 }).collect();
    let due: Vec<u64> = seconds.iter().map(|s| if *s < drain { jitter(random, shape.sends) } else { 0 }).collect();
    let deliveries: Vec<u64> = connected.iter().zip(&due).map(|(users, sends)| users * sends).collect();
    let mut latency = BTreeMap::new();
    for (name, median) in
        [("delivery", shape.median_us), ("send", shape.median_us * 0.6), ("lag", 90.0), ("connect", 2_400.0)]
    {
        latency.insert(name.to_owned(), bands(&due, median, random));
    }
    let edges: Vec<u64> = (0..40).map(|i| (200.0 * 1.25f64.powi(i)) as u64).collect();
    let heat = edges.iter().map(|edge| deliveries.iter().map(|n| heat(*edge, *n, shape.median_us)).collect()).collect();
    Timeline {
        users_planned: seconds.iter().map(|s| planned(*s)).collect(),
        users_connected: connected,
        sends_asked: due.clone(),
        deliveries_asked: seconds.iter().zip(&due).map(|(s, sends)| planned(*s) * sends).collect(),
        sends_due: due.clone(),
        sends: due,
        errors: vec![0; seconds.len()],
        lost: vec![0; seconds.len()],
        deliveries,
        seconds,
        latency,
        heat,
        heat_edges_us: edges,
    }
}

fn jitter(random: &mut Dice, around: u64) -> u64 {
    (around as f64 * random.random_range(0.8..1.2)).round() as u64
}

/// A log-normal bulk around the median.
fn heat(edge: u64, deliveries: u64, median: f64) -> u32 {
    let distance = (edge as f64 / median).ln() / 0.45;
    (deliveries as f64 * 0.2 * (-distance * distance / 2.0).exp()) as u32
}

fn bands(due: &[u64], median: f64, random: &mut Dice) -> Bands {
    let mut bands = Bands::default();
    for n in due {
        let wobble = random.random_range(0.9..1.15);
        let spike = if random.random_range(0.0..1.0) < 0.02 { 3.5 } else { 1.0 };
        let mut next = 0.0;
        for (series, factor) in [
            (&mut bands.p50_us, 1.0),
            (&mut bands.p90_us, 1.9),
            (&mut bands.p99_us, 3.2 * spike),
            (&mut bands.p999_us, 5.5 * spike),
            (&mut bands.max_us, 8.0 * spike),
        ] {
            next = f64::max(next * 1.02, median * wobble * factor * random.random_range(0.95..1.05));
            series.push((*n > 0).then_some(next as u64));
        }
    }
    bands
}

fn latency(count: u64, median: f64) -> Latency {
    let at = |p: f64| {
        let nines = -(1.0 - p / 100.0).max(1e-7).log10();
        (median
            * (0.35
                + 0.65 * (nines / std::f64::consts::LOG10_2).min(1.0)
                + 0.55 * (nines - std::f64::consts::LOG10_2).max(0.0).powf(1.35))) as u64
    };
    let percentiles = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0];
    Latency {
        count,
        mean_us: median * 1.21,
        min_us: at(0.0),
        p50_us: at(50.0),
        p90_us: at(90.0),
        p99_us: at(99.0),
        p999_us: at(99.9),
        p9999_us: at(99.99),
        max_us: at(100.0),
        spectrum: percentiles.map(|p| (p, at(p))).to_vec(),
        ..Latency::default()
    }
}

fn metrics(shape: &Shape, deliveries: u64, sends: u64, users: u64) -> BTreeMap<String, Latency> {
    let m = shape.median_us;
    [
        ("delivery", deliveries, m),
        ("delivery_service", deliveries, m * 0.93),
        ("send", sends, m * 0.6),
        ("send_service", sends, m * 0.54),
        ("lag", sends, 90.0),
        ("loop_delay", 4_000, 140.0),
        ("connect", users, 2_400.0),
        ("connect_tcp", users, 80.0),
        ("connect_upgrade", users, 900.0),
        ("connect_first_event", users, 1_300.0),
        ("watch", users, 1_100.0),
        ("fanout_first", sends, m * 0.4),
        ("fanout_median", sends, m),
        ("fanout_p99", sends, m * 2.4),
        ("fanout_last", sends, m * 3.1),
        ("canary_connect", 20, 2_300.0),
        ("canary_send", 60, m * 0.58),
        ("canary_delivery", sends * 20, m * 0.97),
    ]
    .into_iter()
    .map(|(name, count, median)| (name.to_owned(), latency(count, median)))
    .collect()
}

fn thresholds(shape: &Shape) -> Vec<ThresholdResult> {
    let p99 = latency(1, shape.median_us).p99_us as f64;
    let held = |text: &str, measured: f64, limit: f64, unit: &str| ThresholdResult {
        text: text.into(),
        held: Some(true),
        measured: Some(measured),
        limit,
        unit: unit.into(),
        ..ThresholdResult::default()
    };
    vec![
        held("delivery: p(99) < 250ms", p99, 250_000.0, "us"),
        held("send: p(99) < 100ms", p99 * 0.6, 100_000.0, "us"),
        held("lost: count == 0", 0.0, 0.0, "count"),
    ]
}

fn sources(shape: &Shape, random: &mut Dice) -> Vec<SourceInfo> {
    let n = shape.seconds as usize;
    [("worker-1", "worker", 0.42), ("worker-2", "worker", 0.39), ("probe", "probe", 0.04), ("chat-1", "node", 0.81)]
        .into_iter()
        .map(|(name, kind, busy)| {
            let cpu: Vec<Option<f64>> = (0..n).map(|_| Some(busy * random.random_range(0.7..1.2))).collect();
            let worker = kind == "worker";
            SourceInfo {
                name: name.into(),
                kind: kind.into(),
                host: "laptop".into(),
                cores: 2,
                users_planned: if worker { shape.users / 2 } else { 0 },
                users_connected_max: if worker { shape.users / 2 } else { 0 },
                intervals: n as u64,
                cpu_max: cpu.iter().flatten().copied().fold(0.0, f64::max),
                cpu_mean: busy,
                rss_max_bytes: 48_300_000,
                files_max: shape.users / 2 + 40,
                lag_p99_us: worker.then_some(410),
                loop_delay_p99_us: Some(230),
                rss_bytes: (0..n as u64).map(|i| Some(30_000_000 + (i * 400_000).min(18_000_000))).collect(),
                connections: vec![Some(shape.users / 2); n],
                cpu,
                ..SourceInfo::default()
            }
        })
        .collect()
}

fn host(shape: &Shape) -> HostInfo {
    let seconds = 0..shape.seconds;
    HostInfo {
        name: "laptop".into(),
        sources: ["worker-1", "worker-2", "probe", "chat-1"].map(String::from).to_vec(),
        cores: 2,
        memory_bytes: 16 << 30,
        cpu_max: 1.83,
        cpu_mean: 1.66,
        memory_used_max_bytes: 3 << 30,
        load_max: 2.4,
        sockets_max: shape.users * 2 + 9,
        retransmits: Some(4),
        cpu: seconds.clone().map(|s| Some(1.5 + f64::from(s % 4) * 0.11)).collect(),
        ..HostInfo::default()
    }
}

fn slowest(shape: &Shape, random: &mut Dice) -> Vec<SlowMessage> {
    (0..10u32)
        .map(|i| {
            let last = shape.median_us * (11.0 - f64::from(i) * 0.6);
            SlowMessage {
                message: format!("fans/send #{}", random.random_range(10.0..4_000.0) as u32),
                at_s: random.random_range(0.0..f64::from(shape.seconds)).floor(),
                receivers: shape.users,
                first_us: (last * 0.08) as u64,
                median_us: (last * 0.3) as u64,
                p99_us: (last * 0.8) as u64,
                last_us: last as u64,
            }
        })
        .collect()
}
