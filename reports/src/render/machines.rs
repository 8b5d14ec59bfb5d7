//! Processors and memory over time: of hosts, and of the processes of generator and service.

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

/// Something whose use is drawn: a process or a host.
struct Machine<'a> {
    name: &'a str,
    cores: u32,
    /// What it is ranked by: its most.
    most: f64,
    values: Values,
}

const CPU: Quantity<'static> = Quantity { id: "", unit: "cores", kind: Kind::Count, axis: "cores", said: cores };

/// Processor time of the hosts, everything on them.
pub(super) fn host_cpu(time: &OverTime<'_>) -> Option<Part> {
    let hosts = time.result.hosts.iter().map(|h| Machine {
        name: &h.name,
        cores: h.cores,
        most: h.cpu_max,
        values: time.bins.max(h.cpu.iter().copied()),
    });
    let cpu = Quantity { id: "host-cpu", ..CPU };
    let caption = "Processor time of each whole machine in the last second, whatever runs on it.";
    figure(time, hosts.collect(), &cpu, |busiest| used("The busiest host", busiest), caption)
}

/// Processor time of the processes that generate load and measure.
pub(super) fn generator_cpu(time: &OverTime<'_>) -> Option<Part> {
    let cpu = Quantity { id: "generator-cpu", ..CPU };
    let caption = "Processor time of each process in the last second; all of its threads.";
    let title = |busiest: &Machine<'_>| used("The busiest part of the generator", busiest);
    figure(time, cpu_of(time, |s| s.kind != "node"), &cpu, title, caption)
}

/// Processor time of the nodes of the service under test.
pub(super) fn node_cpu(time: &OverTime<'_>) -> Option<Part> {
    let cpu = Quantity { id: "node-cpu", ..CPU };
    let caption = "Processor time of the service’s processes in the last second, measured on their hosts.";
    let title = |busiest: &Machine<'_>| used("The busiest node of the service", busiest);
    figure(time, cpu_of(time, |s| s.kind == "node"), &cpu, title, caption)
}

fn cpu_of<'a>(time: &OverTime<'a>, wanted: impl Fn(&SourceInfo) -> bool) -> Vec<Machine<'a>> {
    let ours = time.result.sources.iter().filter(|s| wanted(s));
    let values = |s: &SourceInfo| time.bins.max(s.cpu.iter().copied());
    ours.map(|s| Machine { name: &s.name, cores: s.cores, most: s.cpu_max, values: values(s) }).collect()
}

fn used(what: &str, busiest: &Machine<'_>) -> String {
    let of = format::counted(u64::from(busiest.cores), "core", "cores");
    format!("{what}, {}, used at most {} of {of}", busiest.name, format::number(busiest.most))
}

/// Memory of the nodes of the service under test.
pub(super) fn node_memory(time: &OverTime<'_>) -> Option<Part> {
    let nodes = time.result.sources.iter().filter(|s| s.kind == "node").map(|s| Machine {
        name: &s.name,
        cores: s.cores,
        most: s.rss_max_bytes as f64,
        values: time.bins.max(gaps(&s.rss_bytes)),
    });
    let memory = Quantity {
        id: "node-memory",
        unit: "bytes",
        kind: Kind::Bytes,
        axis: "resident memory",
        said: |v| format::bytes(v as u64),
    };
    let title = |largest: &Machine<'_>| {
        format!("The largest node of the service, {}, held {}", largest.name, format::bytes(largest.most as u64))
    };
    figure(time, nodes.collect(), &memory, title, "Resident memory of the service’s processes.")
}

fn cores(cores: f64) -> String {
    let unit = if cores == 1.0 { "core" } else { "cores" };
    format!("{}\u{a0}{unit}", format::number(cores))
}

fn figure(
    time: &OverTime<'_>,
    mut all: Vec<Machine<'_>>,
    quantity: &Quantity<'_>,
    title: impl Fn(&Machine<'_>) -> String,
    caption: &str,
) -> Option<Part> {
    all.sort_by(|a, b| b.most.total_cmp(&a.most));
    let lines = &all[..all.len().min(MOST_LINES)];
    if lines.iter().all(|m| m.values.iter().flatten().next().is_none()) {
        return None;
    }
    let highest = most(&lines.iter().map(|m| &m.values).collect::<Vec<_>>());
    let scale = if quantity.kind == Kind::Bytes { Scale::bytes(highest) } else { Scale::from_zero(highest) };
    let y = Axis::new(scale, quantity.kind.clone(), quantity.axis);
    let marks = lines.iter().enumerate().map(|(i, m)| time.line(Ink::series(i), &m.values)).collect();
    let labels = lines.iter().enumerate().filter_map(|(i, m)| time.label(Ink::series(i), m.name, &m.values)).collect();
    let mut table = Table::new(&["Name", "#Most", "#Mean over the shown bins"]);
    for machine in lines {
        let held: Vec<f64> = machine.values.iter().flatten().copied().collect();
        let mean = held.iter().sum::<f64>() / held.len().max(1) as f64;
        let top = held.iter().copied().fold(0.0, f64::max);
        table.row([machine.name.to_owned(), (quantity.said)(top), (quantity.said)(mean)]);
    }
    let title = title(all.first()?);
    let hidden = all.len().saturating_sub(MOST_LINES);
    let more = if hidden == 0 { String::new() } else { format!(" The {MOST_LINES} highest of {}.", all.len()) };
    let caption = format!("{caption}{more}{}", time.bin_note("the highest second"));
    let alternative = format!("{} over time. {title}.", quantity.axis);
    let chart = time.chart(y, marks, labels, 110.0);
    let series: Vec<_> = lines.iter().map(|m| (m.name, m.values.clone())).collect();
    Some(
        Figure::new(quantity.id, title, caption, alternative, &chart)
            .with_table(table)
            .over_time(quantity.unit, series)
            .part(),
    )
}
