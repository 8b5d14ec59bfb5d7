//! What the run over time shows of one slot: numbers instead of histograms.

use std::collections::BTreeMap;

use measure::{Histogram, Metric};

use crate::slot::Slot;

/// The numbers of one metric in a slot, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Points {
    /// How many samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Most.
    pub max_us: u64,
}

/// A slot at a glance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Glance {
    /// Metrics that have samples.
    pub points: BTreeMap<Metric, Points>,
    /// Deliveries by row of the heat map.
    pub heat: Vec<u32>,
}

impl Glance {
    /// Of this slot.
    pub(crate) fn of(slot: &Slot) -> Self {
        let mut metrics: Vec<Metric> = slot.series().map(|s| s.metric).collect();
        metrics.dedup();
        let mut glance = Self::default();
        for metric in metrics {
            let Some(histogram) = slot.metric(metric).filter(|h| !h.is_empty()) else { continue };
            if metric == Metric::Delivery {
                glance.heat = heat(&histogram);
            }
            glance.points.insert(metric, points(&histogram));
        }
        glance
    }
}

fn points(h: &Histogram) -> Points {
    Points {
        count: h.count(),
        mean_us: (h.mean() * 10.0).round() / 10.0,
        p50_us: h.quantile(0.5),
        p90_us: h.quantile(0.9),
        p99_us: h.quantile(0.99),
        p999_us: h.quantile(0.999),
        max_us: h.max(),
    }
}

fn heat(h: &Histogram) -> Vec<u32> {
    let edges = heat_edges();
    let mut rows = vec![0_u32; edges.len()];
    for (value, n) in h.values() {
        let row = edges.partition_point(|edge| *edge < value).min(edges.len() - 1);
        rows[row] = rows[row].saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
    }
    rows
}

/// Upper edges of the heat map: seven a decade, from 100 µs to 60 s.
pub(crate) fn heat_edges() -> Vec<u64> {
    let steps = [100, 140, 200, 280, 400, 550, 750];
    let all = (0..6).flat_map(|decade| steps.map(|step| step * 10_u64.pow(decade)));
    all.take_while(|edge| *edge < measure::histogram::MAX_MICROS).chain([measure::histogram::MAX_MICROS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heat_map_reaches_from_100_us_to_a_minute() {
        let edges = heat_edges();
        assert!(edges.windows(2).all(|w| w[0] < w[1]));
        assert_eq!((edges.first(), edges.last()), (Some(&100), Some(&60_000_000)));
    }

    #[test]
    fn a_glance_is_of_what_the_slot_holds_now() {
        let mut slot = Slot::default();
        (0..10).for_each(|_| slot.record(Metric::Delivery, 900));
        let count = |slot: &Slot| slot.glance().points[&Metric::Delivery].count;
        assert_eq!((count(&slot), slot.glance().heat.iter().sum::<u32>()), (10, 10));
        slot.record(Metric::Delivery, 50_000_000);
        assert_eq!((count(&slot), slot.glance().points[&Metric::Delivery].p50_us), (11, 900));
    }
}
