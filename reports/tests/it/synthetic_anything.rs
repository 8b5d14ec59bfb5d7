//! Results that no run would leave, and that are shown all the same.

use reports::RunResult;
use reports::result::{Bands, Latency, Timeline, UserCounts};

use super::{Dice, hostile, worker_lost};

/// Anything that the types allow: lengths that don't agree, gaps, extremes.
pub(crate) fn anything(seed: u64) -> RunResult {
    let mut dice = Dice(seed);
    let mut result = match dice.below(3) {
        0 => RunResult::default(),
        1 => hostile(),
        _ => worker_lost(),
    };
    let extreme = |dice: &mut Dice| [0, 1, 2, 999, 1_000_000, u64::from(u32::MAX), u64::MAX][dice.below(7)];
    let lots = |dice: &mut Dice| (0..dice.below(9)).map(|_| extreme(dice)).collect::<Vec<u64>>();
    let gaps = |dice: &mut Dice| lots(dice).into_iter().map(|n| (n != 1).then_some(n)).collect::<Vec<_>>();
    result.duration_s = [0.0, 0.4, 1.0, 7.0, 1e9, f64::INFINITY, f64::NAN, -1.0][dice.below(8)];
    result.users = UserCounts { planned: extreme(&mut dice), connected_max: extreme(&mut dice) };
    result.timeline = Timeline {
        seconds: (0..dice.below(9) as u32).map(|s| s * [1, 1, 4, 500_000_000][dice.below(4)]).collect(),
        users_planned: lots(&mut dice),
        users_connected: lots(&mut dice),
        sends_asked: lots(&mut dice),
        sends_due: lots(&mut dice),
        sends: lots(&mut dice),
        deliveries_asked: lots(&mut dice),
        deliveries: lots(&mut dice),
        heat: (0..dice.below(4)).map(|_| lots(&mut dice).into_iter().map(|n| n as u32).collect()).collect(),
        heat_edges_us: lots(&mut dice),
        ..Timeline::default()
    };
    for name in ["delivery", "send", "lag"] {
        let bands = Bands {
            p50_us: gaps(&mut dice),
            p90_us: gaps(&mut dice),
            p99_us: gaps(&mut dice),
            p999_us: gaps(&mut dice),
            max_us: gaps(&mut dice),
            ..Bands::default()
        };
        result.timeline.latency.insert(name.into(), bands);
        let spectrum = lots(&mut dice).into_iter().map(|us| (dice.random_range(0.0..100.1), us)).collect();
        let latency = Latency { count: extreme(&mut dice), max_us: extreme(&mut dice), spectrum, ..Latency::default() };
        result.metrics.insert(name.into(), latency);
    }
    result.thresholds.iter_mut().for_each(|t| t.measured = [None, Some(0.0), Some(f64::NAN)][dice.below(3)]);
    result.slowest_messages.iter_mut().for_each(|m| m.last_us = extreme(&mut dice));
    result.events.iter_mut().for_each(|e| e.at_s = [-5.0, 0.0, 1e12, f64::NAN][dice.below(4)]);
    result.sources.iter_mut().for_each(|s| s.rss_bytes = gaps(&mut dice));
    result
}
