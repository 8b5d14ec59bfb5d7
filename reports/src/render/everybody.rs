//! Section 7: one message, everybody: when its first, median, 99 % and last receiver had it.

use measure::Metric;

use super::bound;
use super::figure::{Figure, Part, Section, Table};
use crate::RunResult;
use crate::charts::{Axis, Chart, Ink, Kind, Mark, Scale};
use crate::format;
use crate::lacking;
use crate::result::SlowMessage;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let mut parts = vec![Part::Finding(finding(result))];
    let table = fanout(result);
    let rows = !table.rows.is_empty();
    if rows {
        parts.push(Part::Table(table));
        parts.push(Part::Note(
            "All from the moment a message was due; one sample a message, over the receivers of all workers.".into(),
        ));
    }
    match result.fanout.exact {
        Some(true) if !rows => {}
        Some(true) => parts.push(Part::Note("Exact: every receiver on every worker is in these figures.".into())),
        Some(false) => parts.push(Part::List(lacking::words(&result.fanout))),
        None => {}
    }
    parts.extend(slowest(&result.slowest_messages));
    Section { number: 7, id: "everybody", title: "One message, everybody", parts }
}

fn finding(result: &RunResult) -> String {
    match result.metrics.get("fanout_last").filter(|m| m.count > 0) {
        None => "No message reached a receiver.".into(),
        Some(last) => format!(
            "Of {}, half had reached their last receiver within {}, and 99\u{a0}% within {}.{}",
            format::counted(last.count, "message", "messages"),
            bound::us(last, last.p50_us),
            bound::us(last, last.p99_us),
            bound::sentence(last)
        ),
    }
}

fn fanout(result: &RunResult) -> Table {
    let mut table = Table::new(&["A message’s", "#Half of them within", "#90\u{a0}%", "#99\u{a0}%", "#All"]).stacked();
    for (metric, said) in [
        (Metric::FanoutFirst, "first receiver"),
        (Metric::FanoutMedian, "median receiver"),
        (Metric::FanoutP99, "99\u{a0}% of receivers"),
        (Metric::FanoutLast, "last receiver"),
    ] {
        let Some(m) = result.metrics.get(metric.name()).filter(|m| m.count > 0) else { continue };
        let cells = [m.p50_us, m.p90_us, m.p99_us, m.max_us].map(|us| bound::us(m, us));
        table.marked(m.unusable, std::iter::once(format!("{said}{}", bound::mark(m))).chain(cells));
    }
    table
}

fn slowest(all: &[SlowMessage]) -> Option<Part> {
    let slowest = all.first()?;
    let mut marks = Vec::new();
    let mut words = Vec::new();
    for (i, message) in all.iter().rev().enumerate() {
        let row = i as f64;
        let ends = (message.first_us.max(1) as f64, message.last_us.max(1) as f64);
        marks.push(Mark::Cell(Ink::Joint, [ends.0, row - 0.05, ends.1, row + 0.05]));
        for (ink, us) in [
            (Ink::Max, message.first_us),
            (Ink::P99, message.median_us),
            (Ink::P90, message.p99_us),
            (Ink::P50, message.last_us),
        ] {
            marks.push(Mark::Dot(ink, (us.max(1) as f64, row), 4.0));
        }
        words.push(message.message.clone());
    }
    let scale = Scale::log_around(all.iter().flat_map(|m| [m.first_us as f64, m.last_us as f64]));
    let y_scale = Scale::Linear { low: -0.6, high: all.len() as f64 - 0.4 };
    let chart = Chart {
        x: Axis::new(scale, Kind::Duration, "from the moment it was due"),
        y: Axis::new(y_scale, Kind::Words(words), "message"),
        marks,
        shades: Vec::new(),
        rules: Vec::new(),
        labels: Vec::new(),
        height: 20.0 * all.len() as f64 + 8.0,
    };
    let title = format!(
        "The slowest message, {} at {}, took {} to its last receiver",
        slowest.message,
        format::run_time(slowest.at_s),
        format::duration_us(slowest.last_us as f64)
    );
    let caption = "The slowest messages by last receiver, slowest on top. Dots from left to right: first receiver, half of \
                   the receivers, 99\u{a0}% of them, the last.";
    let mut table = Table::new(&["Message", "#At", "#Receivers", "#First", "#Median", "#99\u{a0}%", "#Last"]).stacked();
    for m in all {
        let times = [m.first_us, m.median_us, m.p99_us, m.last_us].map(|us| format::duration_us(us as f64));
        table.row([m.message.clone(), format::run_time(m.at_s), format::count(m.receivers)].into_iter().chain(times));
    }
    let alternative = format!("The slowest messages, from first to last receiver. {title}.");
    Some(Figure::new("slowest", title, caption, alternative, &chart).with_table(table).part())
}
