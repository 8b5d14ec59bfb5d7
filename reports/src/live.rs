//! The numbers of this second, for people who watch.

use measure::{Counter, Gauge, Histogram, Metric};
use proto::telemetry::LiveReply;

use crate::run::RunState;
use crate::thresholds;

/// Percentiles are of so many of the last complete seconds: one alone may hold a single message.
const WINDOW_S: u32 = 3;

/// What the run looks like at its newest complete second.
pub(crate) fn live(run: &RunState) -> LiveReply {
    let second = run.complete().saturating_sub(1);
    let slots: Vec<_> = (second.saturating_sub(WINDOW_S - 1)..=second).filter_map(|s| run.slots.at(s)).collect();
    let window = |metric: Metric| {
        let mut sum = Histogram::new();
        slots.iter().filter_map(|s| s.metric(metric)).for_each(|h| sum.merge(&h));
        sum
    };
    let newest = slots.last();
    let level = |gauge: Gauge| {
        let sum: i64 = newest.map_or(0, |s| (0..run.sources.len()).filter_map(|i| s.level(i, gauge)).sum());
        u64::try_from(sum).unwrap_or(0)
    };
    let rate = |counter: Counter| {
        let of = |(k, n): (&measure::CounterKey, &u64)| (k.counter == counter).then_some(*n);
        let n: u64 = newest.map_or(0, |s| s.counters().iter().filter_map(of).sum());
        n as f64 / f64::from(run.slots.width_s())
    };
    let (delivery, send) = (window(Metric::Delivery), window(Metric::Send));
    LiveReply {
        users_planned: level(Gauge::UsersPlanned),
        users_connected: level(Gauge::UsersConnected),
        deliveries_per_s: rate(Counter::MessagesReceived),
        sends_per_s: rate(Counter::Sent),
        delivery_p50_us: delivery.quantile(0.5),
        delivery_p99_us: delivery.quantile(0.99),
        send_p99_us: send.quantile(0.99),
        errors: run.total(Counter::Errors),
        lost: run.total(Counter::Lost),
        delivered: run.total(Counter::Delivered),
        abort: thresholds::abort(run),
    }
}
