//! Section 10: workers and nodes, a row each, the sick ones first.

use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;
use crate::result::SourceInfo;

/// Above this share of its host's cores a source is called busy.
const BUSY: f64 = 0.9;

/// Rows that stand open; a fleet has hundreds of workers, and the sick ones stand first.
const MOST_OPEN: usize = 20;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let mut all: Vec<&SourceInfo> = result.sources.iter().collect();
    all.sort_by(|a, b| sickness(b).cmp(&sickness(a)).then_with(|| a.name.cmp(&b.name)));
    let mut parts = vec![Part::Finding(finding(&all))];
    if !all.is_empty() {
        let (open, folded) = all.split_at(all.len().min(MOST_OPEN));
        parts.push(Part::Table(load(open)));
        if !folded.is_empty() {
            parts.push(Part::Folded(format!("{} more", folded.len()), load(folded)));
        }
        parts.extend(hosts(result));
        parts.push(Part::Heading("Clocks and intervals".into()));
        parts.push(Part::Table(clocks(open)));
        if !folded.is_empty() {
            parts.push(Part::Folded(format!("Clocks of {} more", folded.len()), clocks(folded)));
        }
        parts.push(Part::Note(
            "Offset: what is added to the source’s clock to have the control plane’s, at the end of the run, ± the largest error \
             bound at any time; exact on the same host. Drift: how much that grows each second. An interval is a second’s measurements; missing ones never reached the data plane."
                .into(),
        ));
    }
    Section { number: 10, id: "workers", title: "Workers and nodes", parts }
}

fn finding(all: &[&SourceInfo]) -> String {
    let sick: Vec<_> = all.iter().filter(|s| sickness(s) > 0).map(|s| s.name.as_str()).collect();
    match (all.len(), sick.len()) {
        (0, _) => "Nobody shipped a measurement.".into(),
        (1, 0) => "The one source was well.".into(),
        (n, 0) => format!("All {n} sources were well: none was lost, busy, or missing an interval."),
        (n, _) => format!("{} of {n} sources had something: {}. They stand first.", sick.len(), sick.join(", ")),
    }
}

/// How sick: lost outweighs missing, missing outweighs busy.
fn sickness(source: &SourceInfo) -> u8 {
    u8::from(source.lost_at_s.is_some()) * 4 + u8::from(source.intervals_missing > 0) * 2 + u8::from(busy(source))
}

fn busy(source: &SourceInfo) -> bool {
    source.cores > 0 && source.cpu_max > BUSY * f64::from(source.cores)
}

fn state(source: &SourceInfo) -> String {
    let mut said = Vec::new();
    if let Some(at) = source.lost_at_s {
        said.push(format!("✗ lost at {}", format::run_time(at)));
    }
    if source.intervals_missing > 0 {
        said.push("✗ intervals missing".into());
    }
    if busy(source) {
        said.push("! busy".into());
    }
    if said.is_empty() { "✓\u{a0}well".into() } else { said.join(", ") }
}

fn load(all: &[&SourceInfo]) -> Table {
    let mut table = Table::new(&[
        "Source",
        "State",
        "#Users",
        "#Cores, mean / most",
        "#Memory",
        "#Files",
        "#Lag p99",
        "#Loop delay p99",
    ])
    .stacked();
    for s in all {
        let users = match (s.users_connected_max, s.users_planned) {
            (0, 0) => "–".into(),
            (reached, planned) if reached == planned => format::count(planned),
            (reached, planned) => format!("{} of {}", format::count(reached), format::count(planned)),
        };
        let cpu = format!("{} / {} of {}", format::number(s.cpu_mean), format::number(s.cpu_max), s.cores);
        table.marked(
            sickness(s) > 0,
            [
                named(s),
                state(s),
                users,
                cpu,
                format::bytes(s.rss_max_bytes),
                format::count(s.files_max),
                format::maybe_us(s.lag_p99_us),
                format::maybe_us(s.loop_delay_p99_us),
            ],
        );
    }
    table
}

/// The machines below the processes.
fn hosts(result: &RunResult) -> Vec<Part> {
    if result.hosts.is_empty() {
        return vec![Part::Note(
            "No probe looked at the hosts themselves, so what else ran on them is not known.".into(),
        )];
    }
    let columns = ["Host", "#Cores, mean / most", "#Memory used", "#Load", "#TCP sockets", "#Sent again", "~Runs"];
    let mut table = Table::new(&columns).stacked();
    for h in &result.hosts {
        let busy = h.cores > 0 && h.cpu_max > BUSY * f64::from(h.cores);
        let name = if h.name.is_empty() { "no name".to_owned() } else { h.name.clone() };
        let cpu = format!("{} / {} of {}", format::number(h.cpu_mean), format::number(h.cpu_max), h.cores);
        let memory = format!("{} of {}", format::bytes(h.memory_used_max_bytes), format::bytes(h.memory_bytes));
        table.marked(
            busy,
            [
                if busy { format!("{name} (! busy)") } else { name },
                cpu,
                memory,
                format::number(h.load_max),
                format::count(h.sockets_max),
                h.retransmits.map_or_else(|| "–".into(), |n| format!("{} segments", format::count(n))),
                h.sources.join(", "),
            ],
        );
    }
    vec![
        Part::Heading("Hosts".into()),
        Part::Table(table),
        Part::Note(
            "A host’s figures are of the whole machine, other programs included; the rows above are of single processes. \
             Load: the largest average of a minute of tasks that ran or waited to run. Sent again: TCP segments that the \
             kernel had to repeat during the run."
                .into(),
        ),
    ]
}

fn clocks(all: &[&SourceInfo]) -> Table {
    let columns = ["Source", "Host", "#Clock offset", "#Drift", "#Exchanges", "#Intervals", "#Missing"];
    let mut table = Table::new(&columns).stacked();
    for s in all {
        let host = if s.host.is_empty() { "–".into() } else { s.host.clone() };
        let missing = format::count(s.intervals_missing);
        let (drift, exchanges) = if exact(s) {
            ("–".into(), "–".into())
        } else {
            (format!("{}/s", format::duration_us(s.clock_drift_us_per_s)), format::count(s.clock_exchanges))
        };
        table.marked(
            s.intervals_missing > 0,
            [s.name.clone(), host, offset(s), drift, exchanges, format::count(s.intervals), missing],
        );
    }
    table
}

/// A clock's offset with its bound.
fn offset(source: &SourceInfo) -> String {
    if exact(source) {
        return "same clock, exact".into();
    }
    // With the digits that the bound leaves certain, however far apart two hosts were started.
    let offset = match source.clock_offset_us {
        us if us.abs() < 1e6 => format!("{:.3}\u{a0}ms", us / 1e3),
        us => format!("{:.6}\u{a0}s", us / 1e6),
    };
    format!("{offset} ±\u{a0}{}", format::duration_us(format::bound_us(source.clock_bound_us)))
}

/// Whether it stamps by the control plane's clock.
fn exact(source: &SourceInfo) -> bool {
    source.clock_bound_us == 0.0 && source.clock_offset_us == 0.0
}

fn named(source: &SourceInfo) -> String {
    if source.kind.is_empty() || source.name.starts_with(&source.kind) {
        source.name.clone()
    } else {
        format!("{} ({})", source.name, source.kind)
    }
}
