//! A run over time: one value a slot in vectors that are aligned.

use std::collections::BTreeMap;
use std::time::Duration;

use measure::{Counter, Gauge, Metric};
use scenarios::model::ActionKind;

use crate::glance::heat_edges;
use crate::result::{Bands, ErrorCount, Timeline};
use crate::run::RunState;
use crate::slot::Slot;

/// The run over time.
pub(crate) fn timeline(run: &RunState) -> Timeline {
    let width = run.slots.width_s();
    let count = |counter: Counter| -> Vec<u64> { run.slots.iter().map(|s| per_second(s, counter, width)).collect() };
    let (heat_edges_us, heat) = heat(run);
    Timeline {
        seconds: (0..run.slots.iter().len() as u32).map(|i| i * width).collect(),
        users_planned: sum_of_levels(run, Gauge::UsersPlanned),
        users_connected: sum_of_levels(run, Gauge::UsersConnected),
        sends_asked: sends_asked(run),
        sends_due: count(Counter::SendsDue),
        sends: count(Counter::Sent),
        deliveries_asked: deliveries_asked(run),
        deliveries: count(Counter::MessagesReceived),
        errors: count(Counter::Errors),
        lost: count(Counter::Lost),
        latency: bands(run),
        heat,
        heat_edges_us,
    }
}

fn per_second(slot: &Slot, counter: Counter, width: u32) -> u64 {
    let total: u64 = slot.counters().iter().filter(|(k, _)| k.counter == counter).map(|(_, n)| n).sum();
    total.div_ceil(u64::from(width))
}

/// One level of one source by slot. Where an interval is missing in between, the level before holds; before the first
/// and after the last there is none.
pub(crate) fn levels(run: &RunState, source: usize, gauge: Gauge) -> Vec<Option<i64>> {
    held(run.slots.iter().map(|s| s.level(source, gauge)).collect())
}

fn held(mut levels: Vec<Option<i64>>) -> Vec<Option<i64>> {
    let last = levels.iter().rposition(Option::is_some).unwrap_or(0);
    let mut before = None;
    for level in &mut levels[..last] {
        before = level.or(before);
        *level = before;
    }
    levels
}

fn sum_of_levels(run: &RunState, gauge: Gauge) -> Vec<u64> {
    sum_of(run, |slot, source| slot.level(source, gauge))
}

fn sum_of(run: &RunState, level: impl Fn(&Slot, usize) -> Option<i64>) -> Vec<u64> {
    let mut sums = vec![0_i64; run.slots.iter().len()];
    for source in 0..run.sources.len() {
        let levels = held(run.slots.iter().map(|slot| level(slot, source)).collect());
        for (sum, level) in sums.iter_mut().zip(levels) {
            *sum += level.unwrap_or(0);
        }
    }
    sums.into_iter().map(|s| u64::try_from(s).unwrap_or(0)).collect()
}

/// Messages that the scenario asks for, on average: what chance makes of it fell due.
fn sends_asked(run: &RunState) -> Vec<u64> {
    let (scenario, width) = (&run.opened.scenario, run.slots.width_s());
    let sends = scenario.cohorts.iter().flat_map(|c| &c.actions);
    let rate: f64 = sends.filter(|a| matches!(a.kind, ActionKind::Send { .. })).map(|a| a.rate).sum();
    let asked = |i: u32| (rate * scenario.load_factor(middle(i, width))).round() as u64;
    (0..run.slots.iter().len() as u32).map(asked).collect()
}

/// Deliveries that the scenario asks for, on average: what a user of each cohort hears, times the users that should be
/// there in the middle of the second.
fn deliveries_asked(run: &RunState) -> Vec<u64> {
    let (scenario, width) = (&run.opened.scenario, run.slots.width_s());
    let mut asked = vec![0.0; run.slots.iter().len()];
    for (heard, cohort) in scenario.messages_heard().into_iter().zip(0..) {
        let mut before = 0;
        let planned = sum_of(run, |slot, source| slot.cohort_level(source, Gauge::UsersPlanned, cohort));
        for ((i, asked), planned) in asked.iter_mut().enumerate().zip(planned) {
            let factor = scenario.load_factor(middle(i as u32, width));
            let there = (before as f64 + planned as f64) / 2.0;
            *asked += there * (heard.from_cohorts * factor + heard.from_canaries);
            before = planned;
        }
    }
    asked.into_iter().map(|asked| asked.round() as u64).collect()
}

fn middle(slot: u32, width: u32) -> Duration {
    Duration::from_secs_f64((f64::from(slot) + 0.5) * f64::from(width))
}

/// Bands of every metric that has samples, and of those that readers rely on.
fn bands(run: &RunState) -> BTreeMap<String, Bands> {
    let always = [Metric::Delivery, Metric::Send, Metric::Lag];
    let mut metrics: Vec<Metric> = run.slots.iter().flat_map(|s| s.series().map(|s| s.metric)).chain(always).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let bands = |metric: &Metric| {
        let mut bands = Bands::default();
        for slot in run.slots.iter() {
            let points = slot.glance().points.get(metric);
            bands.count.push(points.map_or(0, |p| p.count));
            bands.mean_us.push(points.map(|p| p.mean_us));
            bands.p50_us.push(points.map(|p| p.p50_us));
            bands.p90_us.push(points.map(|p| p.p90_us));
            bands.p99_us.push(points.map(|p| p.p99_us));
            bands.p999_us.push(points.map(|p| p.p999_us));
            bands.max_us.push(points.map(|p| p.max_us));
        }
        (metric.name().to_owned(), bands)
    };
    metrics.iter().map(bands).collect()
}

/// Deliveries by latency and slot; only the rows from the least to the most that was measured.
fn heat(run: &RunState) -> (Vec<u64>, Vec<Vec<u32>>) {
    let edges = heat_edges();
    let mut rows = vec![vec![0_u32; run.slots.iter().len()]; edges.len()];
    for (column, slot) in run.slots.iter().enumerate() {
        for (row, n) in rows.iter_mut().zip(&slot.glance().heat) {
            row[column] = *n;
        }
    }
    let used = |row: &Vec<u32>| row.iter().any(|n| *n > 0);
    match (rows.iter().position(used), rows.iter().rposition(used)) {
        (Some(first), Some(last)) => (edges[first..=last].to_vec(), rows[first..=last].to_vec()),
        _ => (Vec::new(), Vec::new()),
    }
}

/// Errors by kind, most first.
pub(crate) fn errors(run: &RunState) -> Vec<ErrorCount> {
    let mut kinds: BTreeMap<&str, ErrorCount> = BTreeMap::new();
    let slots = run.slots.iter().len();
    for (i, slot) in run.slots.iter().enumerate() {
        for (key, n) in slot.counters().iter().filter(|(k, _)| k.counter == Counter::Errors) {
            let error = kinds.entry(&key.label).or_insert_with(|| ErrorCount {
                kind: if key.label.is_empty() { "other".to_owned() } else { key.label.clone() },
                first_at_s: i as u32 * run.slots.width_s(),
                per_second: vec![0; slots],
                ..ErrorCount::default()
            });
            error.count += n;
            let n = u32::try_from(n.div_ceil(u64::from(run.slots.width_s()))).unwrap_or(u32::MAX);
            error.per_second[i] = error.per_second[i].saturating_add(n);
        }
    }
    let mut errors: Vec<_> = kinds.into_values().collect();
    errors.sort_by_key(|e| std::cmp::Reverse(e.count));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{healthy, level, result, run};

    #[test]
    fn deliveries_are_asked_of_the_users_that_should_be_there() {
        let seconds = [5, 10, 10, 10].map(|users| {
            let mut interval = healthy();
            level(&mut interval, Gauge::UsersPlanned, users);
            interval
        });
        let asked = result(&run("  - lost: count == 0\n", seconds)).timeline.deliveries_asked;
        // Five messages a second, heard by 2.5 in the mean of the first second, then by 7.5, then by all.
        assert_eq!(asked, [13, 38, 50, 50]);
    }
}
