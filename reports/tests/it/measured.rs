//! Measurements to ship, made from a seed.

use measure::{
    Counter, CounterKey, Gauge, GaugeKey, Histogram, Interval, MessageKey, Metric, Named, Receipt, Series, Timestamp,
};

/// When every test's run starts.
pub(crate) const START_NS: u64 = 77_000_000_000;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The interval of second `second` of a source with `users` users, all of whom got every message.
pub(crate) fn second(random: &mut Random, second: u64, users: u64) -> Interval {
    let at = |s: u64| Some(Timestamp::from_nanos(START_NS + s * 1_000_000_000 + 3_000_000));
    let mut interval = Interval { start: at(second), end: at(second + 1), ..Interval::default() };
    let fans = Some(0);
    let mut series = |metric: Metric, cohort| interval.histograms.entry(Series { metric, cohort }).or_default().clone();
    let (mut delivery, mut send, mut lag) =
        (series(Metric::Delivery, fans), series(Metric::Send, fans), series(Metric::Lag, None));
    let messages = 1 + random.below(5);
    for number in 0..messages {
        let latencies: Vec<u64> = (0..users).map(|_| 200 + random.below(30_000)).collect();
        latencies.iter().for_each(|l| delivery.record(*l));
        send.record(100 + random.below(9_000));
        lag.record(random.below(900));
        let key = MessageKey::new(0, second * 10 + number);
        interval.receipts.insert(key, Receipt::of(latencies, &Histogram::new()));
        let coverage = interval.coverage.entry("messaging:room".into()).or_default();
        let event = second * 10 + number + 1;
        coverage.watched.add(event, event, users as i64);
        let sent = Timestamp::from_nanos(START_NS + second * 1_000_000_000);
        coverage.messages.insert(event, Named { message: key, sent });
    }
    for (metric, cohort, h) in
        [(Metric::Delivery, fans, delivery), (Metric::Send, fans, send), (Metric::Lag, None, lag)]
    {
        interval.histograms.insert(Series { metric, cohort }, h);
    }
    let delivered = messages * users;
    let counts = [
        (Counter::Due, messages),
        (Counter::Sent, messages),
        (Counter::MessagesReceived, delivered),
        (Counter::Expected, delivered),
        (Counter::Delivered, delivered),
    ];
    for (counter, n) in counts {
        interval.counters.insert(CounterKey { cohort: fans, ..counter.into() }, n);
    }
    for gauge in [Gauge::UsersPlanned, Gauge::UsersConnected] {
        interval.gauges.insert(GaugeKey { gauge, cohort: fans }, users as i64);
    }
    interval
}
