//! The curves of both runs, one over the other.

use crate::RunResult;
use crate::charts::{Axis, Chart, EndLabel, Ink, Kind, Mark, Scale, Values};
use crate::format;
use crate::render::bound;
use crate::render::figure::{Figure, Part, Section, Table};
use crate::render::over_time::{OverTime, counts, gaps};
use crate::result::{Bands, Latency};

/// One percentile of each second.
type Pick = fn(&Bands) -> &[Option<u64>];

/// The two runs, and their lines.
const SIDES: [(&str, Ink); 2] = [("A", Ink::A), ("B", Ink::B)];

/// Users, deliveries and latencies over time.
pub(super) fn over_time(time: &OverTime<'_>, a: &RunResult, b: &RunResult) -> Section {
    let mut parts = Vec::new();
    let steps = |result: &RunResult| result.timeline.seconds.get(..2).map(|s| s[1] - s[0]);
    if steps(a).zip(steps(b)).is_some_and(|(a, b)| a != b) {
        let text = "The runs are of such different lengths that their curves have no common axis.";
        parts.push(Part::Finding(text.into()));
        return section(parts);
    }
    let timelines = [&a.timeline, &b.timeline];
    let users = timelines.map(|t| time.bins.max(counts(&t.users_connected)));
    parts.extend(figure(time, ("users", "Users connected", "count"), &users, ""));
    let deliveries = timelines.map(|t| time.bins.rate(counts(&t.deliveries)));
    parts.extend(figure(time, ("deliveries", "Deliveries a second", "per_s"), &deliveries, ""));
    let latencies: [(&str, &str, &str, Pick); 4] = [
        ("delivery-p50", "delivery", "Delivery, p50 of each second", |b| &b.p50_us),
        ("delivery-p99", "delivery", "Delivery, p99 of each second", |b| &b.p99_us),
        ("send-p50", "send", "Send, p50 of each second", |b| &b.p50_us),
        ("send-p99", "send", "Send, p99 of each second", |b| &b.p99_us),
    ];
    for (id, metric, title, pick) in latencies {
        let of = |result: &RunResult| {
            let bands = result.timeline.latency.get(metric);
            bands.map_or_else(Vec::new, |bands| time.bins.max(gaps(pick(bands))))
        };
        let [known_a, known_b] = [a, b].map(|result| result.metrics.get(metric).cloned().unwrap_or_default());
        parts.extend(figure(time, (id, title, "us"), &[of(a), of(b)], &bound::of_both(&known_a, &known_b)));
    }
    section(parts)
}

fn section(parts: Vec<Part>) -> Section {
    Section { number: 3, id: "over-time", title: "Over time", parts }
}

fn figure(
    time: &OverTime<'_>,
    (id, title, unit): (&str, &str, &'static str),
    lines: &[Values; 2],
    known: &str,
) -> Option<Part> {
    let values = || lines.iter().flatten().flatten().copied();
    values().next()?;
    let y = match unit {
        "us" => Axis::new(Scale::log_around(values()), Kind::Duration, ""),
        _ => Axis::new(Scale::from_zero(values().fold(0.0, f64::max)), Kind::Count, ""),
    };
    let sides = || SIDES.iter().zip(lines);
    let marks = sides().map(|((_, ink), values)| time.line(*ink, values)).collect();
    let labels = sides().filter_map(|((name, ink), values)| time.label(*ink, name, values)).collect();
    let mut chart = time.chart(y, marks, labels, 140.0);
    // These are of one of the runs only.
    chart.shades.clear();
    chart.rules.clear();
    let mut table = Table::new(&["", "#Mean of the shown points", "#Most"]);
    let mut words = Vec::new();
    for ((name, _), values) in sides() {
        let known: Vec<f64> = values.iter().flatten().copied().collect();
        let said = |value: f64| format::in_unit(value, unit);
        let (mean, most) = (measure::statistics::mean(&known), known.iter().copied().fold(0.0, f64::max));
        words.push(format!("{name}: {} on the mean, at most {}", said(mean), said(most)));
        table.row([(*name).to_owned(), said(mean), said(most)]);
    }
    let alternative = format!("{title}. {}.", words.join("; "));
    let series = sides().map(|((name, _), values)| (*name, values.clone()));
    let caption = format!("Both from the start of their run.{}{known}", time.bin_note("the highest second"));
    let figure = Figure::new(id, title.to_owned(), caption, alternative, &chart).with_table(table);
    Some(figure.over_time(unit, series).part())
}

/// Percentile spectra.
pub(super) fn shapes(a: &RunResult, b: &RunResult) -> Section {
    let named =
        [("delivery", "Delivery"), ("send", "Send"), ("fanout_last", "The last receiver"), ("connect", "Connect")];
    let parts = named.into_iter().filter_map(|(metric, name)| shape(metric, name, a, b)).collect();
    Section { number: 4, id: "shapes", title: "The shape", parts }
}

fn shape(metric: &str, named: &str, a: &RunResult, b: &RunResult) -> Option<Part> {
    let of = |result: &RunResult| result.metrics.get(metric).filter(|m| m.count > 0).cloned();
    let (of_a, of_b) = (of(a)?, of(b)?);
    let nines = (of_a.count.min(of_b.count) as f64).log10().floor().clamp(2.0, 6.0);
    let edge = 100.0 - 100.0 * 10f64.powf(-nines);
    let points = |latency: &Latency| -> Vec<(f64, Option<f64>)> {
        let within = latency.spectrum.iter().filter(|(p, _)| *p <= edge + 1e-9);
        within.map(|(p, us)| (*p, Some(*us as f64))).collect()
    };
    let lines = [points(&of_a), points(&of_b)];
    let scale = Scale::log_around(lines.iter().flatten().filter_map(|(_, us)| *us));
    let sides = || SIDES.iter().zip(&lines);
    let end = |points: &[(f64, Option<f64>)]| points.last().and_then(|(_, us)| *us);
    let labels = sides()
        .filter_map(|((name, ink), points)| Some(EndLabel { at: end(points)?, word: (*name).into(), ink: *ink }))
        .collect();
    let marks = sides().map(|((_, ink), points)| Mark::Line(*ink, points.clone())).collect();
    let chart = Chart {
        x: Axis::new(Scale::Nines { nines }, Kind::Percentile, "percentile"),
        y: Axis::new(scale, Kind::Duration, ""),
        marks,
        shades: Vec::new(),
        rules: Vec::new(),
        labels,
        height: 190.0,
    };
    let p99 = |l: &Latency| bound::us(l, l.p99_us);
    let title = format!("{named}: p99 was {} in A and {} in B", p99(&of_a), p99(&of_b));
    let mut table = Table::new(&["", "#Samples", "#p50", "#p90", "#p99", "#p99.9", "#Slowest"]).stacked();
    for ((name, _), l) in SIDES.iter().zip([&of_a, &of_b]) {
        let cells = [l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us].map(|us| bound::us(l, us));
        table.row([(*name).to_owned(), format::count(l.count)].into_iter().chain(cells));
    }
    let alternative = format!("Percentile spectra of {}. {title}.", metric.replace('_', " "));
    let known = bound::of_both(&of_a, &of_b);
    let caption =
        format!("Further right is rarer: each step is one sample in ten, in a hundred, in a thousand.{known}");
    let figure = Figure::new(&format!("shape-{metric}"), title, caption, alternative, &chart);
    Some(figure.with_table(table).part())
}
