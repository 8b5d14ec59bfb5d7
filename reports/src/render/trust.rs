//! Section 11: can this be trusted? What the generator says against itself, and what was not measured.

use measure::{Counter, Metric};

use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let mut parts = Vec::new();
    if result.doubts.is_empty() {
        let words = if result.sources.is_empty() {
            "Nobody was there to say anything against the measurement, nor for it."
        } else {
            "The generator has nothing to say against itself."
        };
        parts.push(Part::Finding(words.into()));
    } else {
        parts.push(Part::Finding(format!(
            "{} against this measurement:",
            format::counted(result.doubts.len() as u64, "thing speaks", "things speak")
        )));
        parts.push(Part::List(result.doubts.clone()));
    }
    parts.push(Part::Heading("Does everything that was recorded appear here?".into()));
    parts.push(Part::Note(conservation(result)));
    parts.push(Part::Heading("The generator against itself".into()));
    parts.push(Part::Table(itself(result)));
    parts.push(Part::Heading("Bulk users against canaries".into()));
    parts.extend(canaries(result));
    let missing = unmeasured(result);
    if !missing.is_empty() {
        parts.push(Part::Heading("What was not measured".into()));
        parts.push(Part::List(missing));
    }
    Section { number: 11, id: "trust", title: "Can this be trusted?", parts }
}

fn conservation(result: &RunResult) -> String {
    if super::running(result) {
        return "Recorders give their account at the end of the run.".into();
    }
    let law = &result.conservation;
    if [law.recorded_samples, law.shown_samples, law.recorded_counts, law.shown_counts] == [0; 4] {
        return "Nothing was recorded, and nothing is shown.".into();
    }
    let sides = format!(
        "The recorders counted {} and {}; this report shows {} and {}",
        format::counted(law.recorded_samples, "sample", "samples"),
        format::counted(law.recorded_counts, "count", "counts"),
        format::count(law.shown_samples),
        format::count(law.shown_counts)
    );
    let open = if law.unaccounted.is_empty() {
        String::new()
    } else {
        format!(" No account from {}, for they said no goodbye.", law.unaccounted.join(", "))
    };
    let verdict = if law.holds { "✓ both sides agree" } else { "✗ the two sides differ" };
    format!("{sides}: {verdict}.{open}")
}

fn itself(result: &RunResult) -> Table {
    let mut table = Table::new(&["What", "~Meaning", "#Value"]).stacked();
    for metric in [Metric::Lag, Metric::LoopDelay] {
        let value = result.metrics.get(metric.name()).filter(|m| m.count > 0).map_or_else(
            || "–".to_owned(),
            |m| format!("{} p99, {} most", format::duration_us(m.p99_us as f64), format::duration_us(m.max_us as f64)),
        );
        table.row([metric.name().replace('_', " "), super::plain(metric.meaning()), value]);
    }
    for counter in [Counter::Dropped, Counter::Negative, Counter::Saturated] {
        let n = result.counters.get(counter.name()).copied().unwrap_or(0);
        table.marked(n > 0, [counter.name().to_owned(), super::plain(counter.meaning()), format::count(n)]);
    }
    let bound = result.sources.iter().map(|s| s.clock_bound_us).fold(0.0, f64::max);
    let bound = if bound == 0.0 { "0 µs: one clock".into() } else { format::duration_us(bound) };
    table.row(["clock bound".into(), "the largest error bound of any source’s clock".into(), bound]);
    table
}

fn canaries(result: &RunResult) -> Vec<Part> {
    let mut table = Table::new(&["Metric", "#Bulk p50", "#Canary p50", "#Bulk p99", "#Canary p99", "#Canary samples"]);
    for (bulk, canary) in [
        (Metric::Connect, Metric::CanaryConnect),
        (Metric::Send, Metric::CanarySend),
        (Metric::Delivery, Metric::CanaryDelivery),
    ] {
        let of = |metric: Metric| result.metrics.get(metric.name()).filter(|m| m.count > 0);
        let (Some(b), Some(c)) = (of(bulk), of(canary)) else { continue };
        let times = [b.p50_us, c.p50_us, b.p99_us, c.p99_us].map(|us| format::duration_us(us as f64));
        table.row(std::iter::once(bulk.name().to_owned()).chain(times).chain(std::iter::once(format::count(c.count))));
    }
    if table.rows.is_empty() {
        return vec![Part::Note("There were no canaries in this run, so bulk users stand alone.".into())];
    }
    vec![
        Part::Note(
            "Canaries are a few quiet users in a process of their own, on another WebSocket implementation. Where they see \
             the same as the bulk users, it is the service that was measured, not the generator."
                .into(),
        ),
        Part::Table(table.stacked()),
    ]
}

fn unmeasured(result: &RunResult) -> Vec<String> {
    let measured = |metric: Metric| result.metrics.get(metric.name()).is_some_and(|m| m.count > 0);
    let mut missing = Vec::new();
    if !measured(Metric::Delivery) {
        missing.push("Delivery: no message reached a receiver.".to_owned());
    }
    if !measured(Metric::Send) {
        missing.push("Send: no message was sent.".to_owned());
    }
    if !measured(Metric::ConnectTls) {
        missing.push("TLS: no connection used it.".to_owned());
    }
    if !result.sources.iter().any(|s| s.kind == "node") {
        missing.push("The service’s own processors and memory: no probe ran beside it.".to_owned());
    }
    let hosts: std::collections::BTreeSet<_> = result.sources.iter().map(|s| &s.host).collect();
    if hosts.len() == 1 {
        missing.push("A network: all processes ran on one host, over its loopback or its own address.".to_owned());
    }
    for name in result.conservation.unaccounted.iter().filter(|_| !super::running(result)) {
        missing.push(format!("Whatever {name} had not shipped when it was lost."));
    }
    missing
}
