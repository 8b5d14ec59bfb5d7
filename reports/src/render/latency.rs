//! Latency over time: percentile bands and the heat map.

use measure::Metric;

use super::bound;
use super::figure::{Figure, Part, Table};
use super::over_time::{OverTime, gaps};
use crate::charts::{Axis, Ink, Kind, Mark, Scale, Values};
use crate::format;
use crate::result::{Bands, Latency};

/// The percentiles of a chart of bands, least first.
struct Lines {
    all: [(Ink, &'static str, Values); 5],
}

impl Lines {
    fn of(bands: &Bands, pick: impl Fn(&[Option<u64>]) -> Values) -> Self {
        Self {
            all: [
                (Ink::P50, "p50", pick(&bands.p50_us)),
                (Ink::P90, "p90", pick(&bands.p90_us)),
                (Ink::P99, "p99", pick(&bands.p99_us)),
                (Ink::P999, "p99.9", pick(&bands.p999_us)),
                (Ink::Max, "max", pick(&bands.max_us)),
            ],
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.all.iter().flat_map(|(_, _, values)| values.iter().flatten()).copied()
    }
}

/// A metric's percentiles over time.
pub(super) fn bands(time: &OverTime<'_>, metric: Metric, named: &str, height: f64) -> Part {
    let name = metric.name();
    let overall = time.result.metrics.get(name).cloned().unwrap_or_default();
    let bands = time.result.timeline.latency.get(name).cloned().unwrap_or_default();
    let lines = Lines::of(&bands, |values| time.bins.max(gaps(values)));
    if overall.count == 0 && lines.values().next().is_none() {
        return Part::Finding(format!("{named}: not one sample, so there is nothing to draw."));
    }
    let y = Axis::new(Scale::log_around(lines.values()), Kind::Duration, name.replace('_', " "));
    let mut marks = Vec::new();
    for pair in lines.all.windows(2).rev() {
        marks.push(time.band(pair[1].0, &pair[0].2, &pair[1].2));
    }
    for (ink, _, values) in lines.all.iter().rev() {
        marks.push(time.line(*ink, values));
    }
    // The rarest on top, also where several end at the same height.
    let labels = lines.all.iter().rev().filter_map(|(ink, word, values)| time.label(*ink, word, values)).collect();
    let caption = format!(
        "{}. Percentiles of each second, over everything measured in it; logarithmic.{}{}",
        super::measured(metric),
        time.bin_note("the highest value that this percentile had in any second"),
        bound::sentence(&overall)
    );
    let alternative = alternative(named, &overall, time, &bands);
    let table = table(time, &bands);
    let chart = time.chart(y, marks, labels, height);
    let series: Vec<_> = lines.all.into_iter().map(|(_, word, values)| (word, values)).collect();
    Figure::new(name, title(named, &overall), caption, alternative, &chart)
        .with_table(table)
        .over_time("us", series)
        .part()
}

/// What a distribution says in a sentence.
pub(super) fn title(named: &str, all: &Latency) -> String {
    format!(
        "{named}{}: half within {}, 99\u{a0}% within {}, the slowest {}",
        bound::mark(all),
        bound::us(all, all.p50_us),
        bound::us(all, all.p99_us),
        bound::us(all, all.max_us)
    )
}

fn alternative(named: &str, all: &Latency, time: &OverTime<'_>, bands: &Bands) -> String {
    let worst = bands.p99_us.iter().zip(&time.result.timeline.seconds).max_by_key(|(p99, _)| **p99);
    let worst = match worst {
        Some((Some(p99), second)) => format!(
            " The second with the highest p99 was at {}: {}.",
            format::run_time(f64::from(*second)),
            format::duration_us(*p99 as f64)
        ),
        _ => String::new(),
    };
    format!(
        "{} over time, over {}: p90 {}, p99.9 {}.{worst}",
        title(named, all),
        format::counted(all.count, "sample", "samples"),
        bound::us(all, all.p90_us),
        bound::us(all, all.p999_us)
    )
}

fn table(time: &OverTime<'_>, bands: &Bands) -> Table {
    let lines = Lines::of(bands, |values| time.rows.max(gaps(values)));
    let mut table = Table::new(&["Time", "#p50", "#p90", "#p99", "#p99.9", "#max"]);
    for (i, at) in time.row_times().into_iter().enumerate() {
        let cells = lines.all.iter().map(|(_, _, values)| format::maybe_us(values[i].map(|v| v as u64)));
        table.row(std::iter::once(at).chain(cells));
    }
    table
}

/// How many deliveries took how long, second by second.
pub(super) fn heat(time: &OverTime<'_>) -> Option<Part> {
    let line = &time.result.timeline;
    let rows: Vec<Values> =
        line.heat.iter().map(|row| time.bins.sum(row.iter().map(|n| Some(f64::from(*n))))).collect();
    let filled: Vec<usize> =
        (0..rows.len().min(line.heat_edges_us.len())).filter(|i| rows[*i].iter().flatten().any(|n| *n > 0.0)).collect();
    let (first, last) = (*filled.first()?, *filled.last()?);
    let edges: Vec<f64> = line.heat_edges_us.iter().map(|edge| (*edge as f64).max(1.0)).collect();
    let below = |i: usize| if i > 0 { edges[i - 1] } else { edges[0] / 2.0 };
    let most = rows.iter().flat_map(|row| row.iter().flatten()).copied().fold(0.0, f64::max);
    let mut marks = Vec::new();
    for i in first..=last {
        cells(time, &rows[i], most, (below(i), edges[i]), &mut marks);
    }
    let scale = Scale::Log { low: below(first).max(1.0), high: edges[last].max(below(first) * 2.0) };
    let y = Axis::new(scale, Kind::Duration, "delivery");
    let densest = filled.iter().max_by(|a, b| total(&rows[**a]).total_cmp(&total(&rows[**b]))).copied()?;
    let title = format!(
        "Most common was a delivery of {} to {}",
        format::duration_us(below(densest)),
        format::duration_us(edges[densest])
    );
    let caption = format!(
        "Each cell counts the deliveries of {} that took so long: the stronger, the more, by the square root of the count; the strongest is {}.",
        time.bin_words(),
        format::counted(most as u64, "delivery", "deliveries")
    );
    let mut table = Table::new(&["At most", "#Deliveries"]);
    for i in first..=last {
        table.row([format::duration_us(edges[i]), format::count(total(&rows[i]) as u64)]);
    }
    let alternative = format!("Heat map of delivery latency over time. {title}.");
    let chart = time.chart(y, marks, Vec::new(), 170.0);
    Some(Figure::new("heat", title, caption, alternative, &chart).with_table(table).over_time("count", []).part())
}

fn total(row: &Values) -> f64 {
    row.iter().flatten().sum()
}

/// The cells of one bucket; neighbours of one strength are joined, which keeps an hour small.
fn cells(time: &OverTime<'_>, row: &Values, most: f64, (bottom, top): (f64, f64), marks: &mut Vec<Mark>) {
    let strength = |n: Option<f64>| {
        let n = n.unwrap_or(0.0);
        let steps = Ink::HEAT.len() as f64;
        (n > 0.0).then(|| (((n / most).sqrt() * steps).ceil().clamp(1.0, steps) - 1.0) as usize)
    };
    let mut at = 0;
    while at < row.len() {
        let level = strength(row[at]);
        let until = (at..row.len()).find(|i| strength(row[*i]) != level).unwrap_or(row.len());
        if let Some(level) = level {
            marks.push(Mark::Cell(Ink::HEAT[level], [time.bins.start(at), bottom, time.bins.start(until), top]));
        }
        at = until;
    }
}
