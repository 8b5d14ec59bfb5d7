//! Section 11: can this be trusted? What the generator says against itself, and what was not measured.

use measure::{Counter, Metric};

use super::bound;
use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;
use crate::result::SourceInfo;

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
    parts.extend(by_event(result).map(Part::Note));
    parts.push(Part::Heading("The generator against itself".into()));
    parts.push(Part::Table(itself(result)));
    parts.extend(clocks(result));
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

/// The account by event against that by user, and against receipts.
fn by_event(result: &RunResult) -> Option<String> {
    let (user, event) = (result.completeness, &result.by_event);
    let said = match event.agrees? {
        true => "✓ both agree, and receipts with them, message by message",
        false => "✗ they don’t agree",
    };
    Some(format!(
        "User by user, {} were expected and {} lost; event by event, {} and {}; of {} receipts were held against that: {said}.",
        format::counted(user.expected, "delivery", "deliveries"),
        format::count(user.lost),
        format::count(event.expected),
        format::count(event.lost),
        format::counted(event.messages.messages, "message", "messages"),
    ))
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
    table
}

/// How clocks were compared, how well they are known, and what became of samples that they made negative.
fn clocks(result: &RunResult) -> Vec<Part> {
    let mut parts = vec![Part::Heading("Clocks".into())];
    let apart: Vec<&SourceInfo> = result.sources.iter().filter(|s| s.clock_bound_us > 0.0).collect();
    if apart.is_empty() {
        parts.push(Part::Note(
            "Everything was stamped by one clock, that of the control plane’s host: there is nothing to correct, and no bound."
                .into(),
        ));
        return parts;
    }
    let exchanges = apart.iter().map(|s| s.clock_exchanges).sum();
    let worst = |of: fn(&SourceInfo) -> f64| apart.iter().max_by(|a, b| of(a).abs().total_cmp(&of(b).abs()));
    let (bound, drift) = (worst(|s| s.clock_bound_us), worst(|s| s.clock_drift_us_per_s));
    let named = bound.zip(drift).map_or_else(String::new, |(b, d)| {
        format!(
            " The largest bound was that of {}, ±\u{a0}{}; the clock of {} drifted most, by {} a second.",
            b.name,
            format::duration_us(b.clock_bound_us),
            d.name,
            format::duration_us(d.clock_drift_us_per_s)
        )
    });
    parts.push(Part::Note(format!(
        "{} of {} stamp by clocks of other hosts. These were compared with the control plane’s in {}, one every two seconds: \
         as NTP does, an exchange is trusted to half of its way there and back; of the last eight the one that binds tightest \
         counts, and how fast the clocks drift is found from all eight and allowed for. What is new is applied by and by, \
         never at once. A bound holds whatever the network did.{named}",
        apart.len(),
        format::counted(result.sources.len() as u64, "source", "sources"),
        format::counted(exchanges, "exchange", "exchanges")
    )));
    parts.push(Part::Note(
        "A latency from one host to another may be wrong by both of their bounds, and the worst pair that took part stands \
         behind its percentiles as ±. What a process sends and receives itself is exact, and so is everything between processes \
         of the control plane’s host. A metric whose bound is larger than its median is called unusable, and no threshold on \
         it can be held."
            .into(),
    ));
    let negative = result.counters.get(Counter::Negative.name()).copied().unwrap_or(0);
    parts.push(Part::Note(format!(
        "{} came out negative. Such a sample is counted and never dropped: it stands in its histogram as 0, below all others, \
         so that percentiles above it are those of all samples.",
        if negative == 0 { "Not one latency".to_owned() } else { format::counted(negative, "latency", "latencies") }
    )));
    let unusable = result.metrics.iter().filter(|(_, m)| m.unusable);
    let said = unusable.map(|(name, m)| {
        let (median, bound) = (format::duration_us(m.p50_us as f64), format::duration_us(format::bound_us(m.bound_us)));
        format!("{name} is unusable: its median is {median}, and the clocks’ bound {bound}.")
    });
    let said: Vec<String> = said.collect();
    if !said.is_empty() {
        parts.push(Part::List(said));
    }
    parts
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
        let times = [(b, b.p50_us), (c, c.p50_us), (b, b.p99_us), (c, c.p99_us)].map(|(m, us)| bound::us(m, us));
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
