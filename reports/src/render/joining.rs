//! Section 9: joining: connect split into its parts, the rate asked and reached, and who was refused and why.

use measure::Metric;

use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let mut parts = vec![Part::Finding(finding(result))];
    let table = table(result);
    if !table.rows.is_empty() {
        parts.push(Part::Table(table));
    }
    let counter = |name: &str| result.counters.get(name).copied().unwrap_or(0);
    let (failed, ended) = (counter("connect_failed"), counter("disconnected"));
    let anybody = result.users.connected_max > 0 || failed > 0;
    let note = format!(
        "{} before the first event; {} without being asked to.",
        if failed == 0 { "No connection failed".into() } else { format!("{} failed", connections(failed)) },
        if ended == 0 { "none ended".into() } else { format!("{} ended", format::count(ended)) }
    );
    parts.extend(anybody.then_some(Part::Note(note)));
    let refused: Vec<_> = result
        .errors
        .iter()
        .filter(|e| e.kind.contains("connect") || e.kind.contains("upgrade") || e.kind.contains("refused"))
        .map(|e| {
            format!("{}: {}, first at {}", e.kind, format::count(e.count), format::run_time(f64::from(e.first_at_s)))
        })
        .collect();
    if !refused.is_empty() {
        parts.push(Part::List(refused));
    }
    Section { number: 9, id: "joining", title: "Joining", parts }
}

fn connections(n: u64) -> String {
    format::counted(n, "connection", "connections")
}

fn finding(result: &RunResult) -> String {
    let planned = steepest(&result.timeline.users_planned);
    let reached = steepest(&result.timeline.users_connected);
    let rate = match (planned, reached) {
        (0, _) | (_, 0) => String::new(),
        (asked, reached) => format!(
            " At most {} joined in a second; the plan’s fastest second asked for {}.",
            format::count(reached),
            format::count(asked)
        ),
    };
    match result.metrics.get("connect").filter(|m| m.count > 0) {
        None => "Nobody joined.".into(),
        Some(m) => format!(
            "Half of {} were made within {}, 99\u{a0}% within {}.{rate}",
            connections(m.count),
            format::duration_us(m.p50_us as f64),
            format::duration_us(m.p99_us as f64)
        ),
    }
}

/// The largest rise from one second to the next.
fn steepest(levels: &[u64]) -> u64 {
    let first = levels.first().copied().unwrap_or(0);
    levels.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).fold(first, u64::max)
}

fn table(result: &RunResult) -> Table {
    let mut table = Table::new(&["Part", "~Measured", "#Count", "#p50", "#p90", "#p99", "#Slowest"]).stacked();
    for (metric, said) in [
        (Metric::ConnectTcp, "TCP"),
        (Metric::ConnectTls, "TLS"),
        (Metric::ConnectUpgrade, "upgrade"),
        (Metric::ConnectFirstEvent, "first event"),
        (Metric::Connect, "all of it"),
        (Metric::Watch, "then: watching"),
    ] {
        let Some(m) = result.metrics.get(metric.name()).filter(|m| m.count > 0) else { continue };
        let cells = [m.p50_us, m.p90_us, m.p99_us, m.max_us].map(|us| format::duration_us(us as f64));
        let names = [said.to_owned(), super::plain(metric.meaning()), format::count(m.count)];
        table.row(names.into_iter().chain(cells));
    }
    table
}
