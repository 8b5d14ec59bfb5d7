//! Processors and memory of the generator and of the service over time.

use super::figure::{Figure, Part, Table};
use super::over_time::{OverTime, gaps};
use super::rates::most;
use crate::charts::{Axis, Ink, Kind, Scale, Values};
use crate::format;
use crate::result::SourceInfo;

/// More lines than this can't be told apart.
const MOST_LINES: usize = 6;

/// A quantity of machines, and how it is said.
struct Quantity<'a> {
    id: &'a str,
    unit: &'static str,
    kind: Kind,
    axis: &'static str,
    said: fn(f64) -> String,
}

/// Processor time of the sources that generate load.
pub(super) fn generator_cpu(time: &OverTime<'_>) -> Option<Part> {
    let title = |busiest: &SourceInfo| {
        format!(
            "The busiest part of the generator, {}, used at most {} of {}",
            busiest.name,
            format::number(busiest.cpu_max),
            format::counted(u64::from(busiest.cores), "core", "cores")
        )
    };
    let caption = "Processor time of each process in the last second; all of its threads.";
    let cpu = Quantity { id: "generator-cpu", unit: "cores", kind: Kind::Count, axis: "cores", said: cores };
    figure(time, |s| s.kind != "node", |s| time.bins.max(s.cpu.iter().copied()), |s| s.cpu_max, &cpu, title, caption)
}

/// Processor time of the nodes of the service under test.
pub(super) fn node_cpu(time: &OverTime<'_>) -> Option<Part> {
    let title = |busiest: &SourceInfo| {
        format!(
            "The busiest node of the service, {}, used at most {} of {}",
            busiest.name,
            format::number(busiest.cpu_max),
            format::counted(u64::from(busiest.cores), "core", "cores")
        )
    };
    let caption = "Processor time of the service’s processes in the last second, measured on their hosts.";
    let cpu = Quantity { id: "node-cpu", unit: "cores", kind: Kind::Count, axis: "cores", said: cores };
    figure(time, |s| s.kind == "node", |s| time.bins.max(s.cpu.iter().copied()), |s| s.cpu_max, &cpu, title, caption)
}

/// Memory of the nodes of the service under test.
pub(super) fn node_memory(time: &OverTime<'_>) -> Option<Part> {
    let title = |largest: &SourceInfo| {
        format!("The largest node of the service, {}, held {}", largest.name, format::bytes(largest.rss_max_bytes))
    };
    let caption = "Resident memory of the service’s processes.";
    let memory = Quantity {
        id: "node-memory",
        unit: "bytes",
        kind: Kind::Bytes,
        axis: "resident memory",
        said: |v| format::bytes(v as u64),
    };
    let values = |s: &SourceInfo| time.bins.max(gaps(&s.rss_bytes));
    figure(time, |s| s.kind == "node", values, |s| s.rss_max_bytes as f64, &memory, title, caption)
}

fn cores(cores: f64) -> String {
    let unit = if cores == 1.0 { "core" } else { "cores" };
    format!("{}\u{a0}{unit}", format::number(cores))
}

fn figure(
    time: &OverTime<'_>,
    wanted: impl Fn(&SourceInfo) -> bool,
    values: impl Fn(&SourceInfo) -> Values,
    rank: impl Fn(&SourceInfo) -> f64,
    quantity: &Quantity<'_>,
    title: impl Fn(&SourceInfo) -> String,
    caption: &str,
) -> Option<Part> {
    let mut all: Vec<&SourceInfo> = time.result.sources.iter().filter(|s| wanted(s)).collect();
    all.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    let lines: Vec<_> = all.iter().take(MOST_LINES).map(|s| (*s, values(s))).collect();
    if lines.iter().all(|(_, values)| values.iter().flatten().next().is_none()) {
        return None;
    }
    let highest = most(&lines.iter().map(|(_, values)| values).collect::<Vec<_>>());
    let scale = if quantity.kind == Kind::Bytes { Scale::bytes(highest) } else { Scale::from_zero(highest) };
    let y = Axis::new(scale, quantity.kind.clone(), quantity.axis);
    let marks = lines.iter().enumerate().map(|(i, (_, v))| time.line(Ink::series(i), v)).collect();
    let labels = lines.iter().enumerate().filter_map(|(i, (s, v))| time.label(Ink::series(i), &s.name, v)).collect();
    let mut table = Table::new(&["Name", "#Most", "#Mean over the shown bins"]);
    for (source, values) in &lines {
        let held: Vec<f64> = values.iter().flatten().copied().collect();
        let mean = held.iter().sum::<f64>() / held.len().max(1) as f64;
        let top = held.iter().copied().fold(0.0, f64::max);
        table.row([source.name.clone(), (quantity.said)(top), (quantity.said)(mean)]);
    }
    let title = title(all.first()?);
    let hidden = all.len().saturating_sub(MOST_LINES);
    let more = if hidden == 0 { String::new() } else { format!(" The {MOST_LINES} highest of {}.", all.len()) };
    let caption = format!("{caption}{more}{}", time.bin_note("the highest second"));
    let alternative = format!("{} over time. {title}.", quantity.axis);
    let chart = time.chart(y, marks, labels, 110.0);
    let series: Vec<_> = lines.iter().map(|(s, v)| (s.name.as_str(), v.clone())).collect();
    Some(
        Figure::new(quantity.id, title, caption, alternative, &chart)
            .with_table(table)
            .over_time(quantity.unit, series)
            .part(),
    )
}
