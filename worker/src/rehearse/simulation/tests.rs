//! What simulated workers record is whole: nobody is expected to have what nobody was sent, whatever the shards.

use measure::{Interval, Receipt};

use super::*;
use crate::rehearse::testing::scenario;

/// All intervals of `count` workers' users, taken each `step`, and what each worker still says of its users at the end.
fn played(scenario: &Scenario, count: u32, step: Duration, losses: &Losses) -> Interval {
    let mut all = Interval::default();
    for index in 0..count {
        all.merge(&played_by(scenario, Shard::new(index, count).unwrap(), &[], step, losses));
    }
    all
}

/// All intervals of one worker, which takes users over, each piece a step before it is its own.
fn played_by(scenario: &Scenario, shard: Shard, pieces: &[Piece], step: Duration, losses: &Losses) -> Interval {
    let latency = Latency::of(scenario);
    let recorder = SharedRecorder::new(Recorder::new(scenario.cohorts.len(), Timestamp::default()));
    let progress = Arc::new(Progress::default());
    let own = (recorder.clone(), Arc::clone(&progress));
    let mut users = Simulation::new(scenario, &latency, losses, shard, own, Timestamp::from_nanos(5));
    let end = scenario.timeline().end;
    let mut taken = Interval::default();
    let mut add = |recorder: &SharedRecorder| {
        taken.merge(&Interval { gauges: Default::default(), ..recorder.take(Timestamp::default()) });
    };
    let mut at = step;
    while at < end {
        for piece in pieces.iter().filter(|piece| (at - step..at).contains(&piece.from)) {
            users.take_over(*piece);
        }
        users.advance(at);
        add(&recorder);
        at += step;
    }
    // A second before the end the crowd that stays is there, with that of others.
    let stay = scenario.users_in(shard) + pieces.iter().map(|piece| scenario.users_in(piece.shard)).sum::<u64>();
    let there = progress.connected.load(Ordering::Relaxed).unsigned_abs();
    assert!(step > SECOND || (there > stay / 2 && there <= stay), "{there} of {stay}");
    users.settle(end + Duration::from_secs(2));
    // An end that comes again changes nothing.
    users.advance(end + Duration::from_secs(3));
    let last = recorder.take(Timestamp::default());
    for gauge in [Gauge::UsersConnected, Gauge::UsersPlanned, Gauge::Watching, Gauge::InFlight] {
        assert_eq!(last.level(gauge), 0, "{gauge} of worker {}", shard.index);
    }
    assert_eq!(progress.connected.load(Ordering::Relaxed), 0);
    taken.merge(&Interval { gauges: Default::default(), ..last });
    taken
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_event_is_accounted_for_user_by_user() {
    let scenario = scenario(400, "probes: {canaries: 3, send: 2/s}\n");
    let all = played(&scenario, 3, SECOND, &Losses::default());
    let [expected, delivered] = [Counter::Expected, Counter::Delivered].map(|counter| all.count(counter));
    assert!(expected > 10_000, "{expected}");
    assert_eq!(expected, delivered);
    let watched: i128 = all.coverage.values().map(|coverage| coverage.watched.total()).sum();
    assert_eq!(watched, i128::from(expected));
    let receipts: u64 = all.receipts.values().map(Receipt::count).sum();
    assert_eq!(receipts, all.count(Counter::MessagesReceived));
    for coverage in all.coverage.values() {
        let mut watchers = coverage.watched.reader();
        for (number, named) in &coverage.messages {
            assert_eq!(watchers.at(*number), all.receipts[&named.message].count() as i64, "event {number}");
        }
    }
    let samples =
        |metric| all.histograms.iter().filter(|(s, _)| s.metric == metric).map(|(_, h)| h.count()).sum::<u64>();
    assert_eq!(samples(Metric::Delivery), receipts);
    assert_eq!(samples(Metric::DeliveryService), receipts);
    assert_eq!(samples(Metric::Send), all.count(Counter::Sent));
    assert!(samples(Metric::React) > 0 && samples(Metric::Typing) > 0);
    assert_eq!(samples(Metric::Connect), all.count(Counter::Connected));
    assert_eq!(all.count(Counter::SendsDue), all.count(Counter::Sent) + all.count(Counter::Dropped), "sends only here");
    assert_eq!((all.count(Counter::Negative), all.count(Counter::Lost), all.uncovered), (0, 0, 0));
}

#[test]
fn shards_and_steps_change_nothing_that_is_counted() {
    let scenario = scenario(200, "");
    let whole = played(&scenario, 1, SECOND, &Losses::default());
    for (count, step) in [(4, SECOND), (1, Duration::from_millis(130)), (2, Duration::from_secs(60))] {
        let parts = played(&scenario, count, step, &Losses::default());
        assert_eq!(parts.counters, whole.counters, "{count} workers, every {step:?}");
        assert_eq!(parts.coverage, whole.coverage);
        let receivers = |i: &Interval| i.receipts.iter().map(|(key, r)| (*key, r.count())).collect::<Vec<_>>();
        assert_eq!(receivers(&parts), receivers(&whole));
    }
    assert_eq!(whole, played(&scenario, 1, SECOND, &Losses::default()), "seeded");
}

#[test]
fn what_a_lost_worker_would_have_sent_is_expected_by_nobody() {
    let scenario = scenario(200, "");
    let losses = Losses::default();
    losses.add(Shard::new(1, 4).unwrap(), Duration::from_secs(4));
    let (whole, less) = (played(&scenario, 4, SECOND, &Losses::default()), played(&scenario, 4, SECOND, &losses));
    assert!(less.count(Counter::Expected) < whole.count(Counter::Expected));
    assert_eq!(less.count(Counter::Expected), less.count(Counter::Delivered));
}

/// The second of four workers is lost at 3 s, and the others have its users from 5 s on.
#[test]
fn users_who_are_taken_over_are_accounted_for_from_their_return_on() {
    let scenario = scenario(400, "probes: {canaries: 3, send: 2/s}\n");
    let (count, from, losses) = (4, Duration::from_secs(5), Losses::default());
    losses.add(Shard::new(1, count).unwrap(), Duration::from_secs(3));
    let pieces: Vec<Piece> =
        (0..3).map(|n| Piece { shard: Shard::new(1 + count * n, 3 * count).unwrap(), of: count, from }).collect();
    pieces.iter().for_each(|piece| losses.taken(*piece));
    let (mut with, mut without) = (Interval::default(), Interval::default());
    for (index, piece) in [0, 2, 3].into_iter().zip(pieces) {
        let shard = Shard::new(index, count).unwrap();
        with.merge(&played_by(&scenario, shard, &[piece], SECOND, &losses));
        without.merge(&played_by(&scenario, shard, &[], SECOND, &losses));
    }
    let [expected, delivered] = [Counter::Expected, Counter::Delivered].map(|counter| with.count(counter));
    assert_eq!(expected, delivered);
    assert!(expected > without.count(Counter::Expected), "those who are back are told what is said");
    for coverage in with.coverage.values() {
        let mut watchers = coverage.watched.reader();
        for (number, named) in &coverage.messages {
            assert_eq!(watchers.at(*number), with.receipts[&named.message].count() as i64, "event {number}");
        }
    }
    // Everybody of the lost worker who stays came back once, some of those who come and go more often.
    let back = with.count(Counter::Connected) - without.count(Counter::Connected);
    assert!(back >= 100, "{back} came back");
    assert!(with.count(Counter::Sent) > without.count(Counter::Sent), "they speak, too");
    assert_eq!(with.count(Counter::SendsDue), with.count(Counter::Sent) + with.count(Counter::Dropped));
}
