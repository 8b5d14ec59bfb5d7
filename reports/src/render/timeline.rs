//! Section 4: the run over time, on one shared time axis down the page.

use measure::Metric;

use super::figure::{Part, Section, Table};
use super::over_time::OverTime;
use super::{errors, latency, machines, rates};
use crate::RunResult;
use crate::charts::{Strip, Width};
use crate::format;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let time = OverTime::new(result);
    let mut parts = Vec::new();
    if result.timeline.seconds.is_empty() {
        parts.push(Part::Finding("Nothing was measured: not one second of this run reached the data plane.".into()));
        parts.extend(happened(result));
        return Section { number: 4, id: "over-time", title: "The run over time", parts };
    }
    parts.push(Part::Note(format!(
        "All charts of this section share one time axis, from the start of the run to its end, {} later.{}",
        format::span(time.end),
        if time.bins.width == 1 {
            String::new()
        } else {
            format!(" The run is drawn in bins of {}; each chart says what it keeps of a bin.", time.bin_words())
        }
    )));
    parts.extend(phases(result, &time));
    parts.extend(happened(result));
    parts.push(rates::users(&time));
    parts.push(rates::deliveries(&time));
    parts.push(rates::messages(&time));
    parts.push(latency::bands(&time, Metric::Delivery, "Delivery", 230.0));
    parts.extend(latency::heat(&time));
    parts.push(latency::bands(&time, Metric::Send, "Send", 170.0));
    parts.extend(errors::parts(result, &time));
    parts.push(latency::bands(&time, Metric::Lag, "Generator lag", 140.0));
    parts.extend(machines::host_cpu(&time));
    parts.extend(machines::generator_cpu(&time));
    parts.extend(machines::node_cpu(&time));
    parts.extend(machines::node_memory(&time));
    Section { number: 4, id: "over-time", title: "The run over time", parts }
}

/// Phases on top, as a strip on the same axis.
fn phases(result: &RunResult, time: &OverTime<'_>) -> Option<Part> {
    if result.phases.is_empty() {
        return None;
    }
    let strip =
        Strip { end: time.end, spans: result.phases.iter().map(|p| (p.start_s, p.end_s, p.name.clone())).collect() };
    let said: Vec<_> = result
        .phases
        .iter()
        .map(|p| format!("{} from {} to {}", p.name, format::run_time(p.start_s), format::run_time(p.end_s)))
        .collect();
    let said = format!("Phases: {}.", said.join("; "));
    Some(Part::Strip(strip.svg(Width::Wide, &said), strip.svg(Width::Narrow, &said)))
}

fn happened(result: &RunResult) -> Option<Part> {
    if result.events.is_empty() {
        return None;
    }
    let mut table = Table::new(&["Time", "What happened"]);
    for event in &result.events {
        let text = if event.text.is_empty() { event.kind.replace('_', " ") } else { event.text.clone() };
        table.marked(event.kind.ends_with("_lost"), [format::run_time(event.at_s), text]);
    }
    Some(Part::Table(table))
}
