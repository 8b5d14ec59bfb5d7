//! Section 6: the shape of latency: percentile spectra, corrected and uncorrected, by cohort.

use measure::Metric;

use super::bound;
use super::figure::{Figure, Part, Section, Table};
use crate::RunResult;
use crate::charts::{Axis, Chart, EndLabel, Ink, Kind, Mark, Scale};
use crate::format;
use crate::result::Latency;

/// Cohorts drawn at most.
const MOST_COHORTS: usize = 4;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let mut parts = vec![Part::Note(
        "Further right is rarer: each step is one sample in ten, in a hundred, in a thousand. Corrected latency starts \
         when an action was due, so that a stall counts for all that had to wait for it; uncorrected latency starts when \
         the action was really started."
            .into(),
    )];
    parts.push(part(result, Metric::Delivery, Metric::DeliveryService, "Delivery"));
    parts.push(part(result, Metric::Send, Metric::SendService, "Send"));
    Section { number: 6, id: "shape", title: "The shape", parts }
}

fn part(result: &RunResult, metric: Metric, twin: Metric, named: &str) -> Part {
    let name = metric.name();
    let Some(all) = result.metrics.get(name).filter(|m| m.count > 0) else {
        return Part::Finding(format!("{named}: not one sample."));
    };
    let mut lines: Vec<(Ink, String, &Latency)> = Vec::new();
    if let Some(twin) = result.metrics.get(twin.name()).filter(|m| m.count > 0) {
        lines.push((Ink::Asked, "uncorrected".into(), twin));
    }
    lines.push((Ink::A, "corrected".into(), all));
    let cohorts: Vec<_> = result
        .metrics_by_cohort
        .iter()
        .filter_map(|(cohort, metrics)| metrics.get(name).filter(|m| m.count > 0).map(|m| (cohort, m)))
        .collect();
    if cohorts.len() > 1 {
        let each = cohorts.iter().take(MOST_COHORTS).enumerate();
        lines.extend(each.map(|(i, (cohort, m))| (Ink::series(i + 1), (*cohort).clone(), *m)));
    }
    let nines = (all.count as f64).log10().floor().clamp(2.0, 6.0);
    let title = title(named, all);
    let samples = format::counted(all.count, "sample", "samples");
    let caption = format!("{}. {samples}.{}", super::measured(metric), bound::sentence(all));
    let alternative = format!("Percentile spectrum of {name}. {title}.");
    let table = table(&lines);
    let chart = chart(&lines, nines, name);
    Figure::new(&format!("shape-{name}"), title, caption, alternative, &chart).with_table(table).part()
}

fn chart(lines: &[(Ink, String, &Latency)], nines: f64, name: &str) -> Chart {
    let edge = 100.0 - 100.0 * 10f64.powf(-nines);
    // Beyond the last nine that the samples can tell, only the largest remains, and that is in the table.
    let within = |latency: &Latency| -> Vec<(f64, f64)> {
        latency.spectrum.iter().map(|(p, us)| (*p, *us as f64)).filter(|(p, _)| *p <= edge + 1e-9).collect()
    };
    let drawn: Vec<_> = lines.iter().map(|(ink, word, latency)| (*ink, word, within(latency))).collect();
    let scale = Scale::log_around(drawn.iter().flat_map(|(_, _, points)| points.iter().map(|(_, us)| *us)));
    let marks = drawn
        .iter()
        .map(|(ink, _, points)| Mark::Line(*ink, points.iter().map(|(p, us)| (*p, Some(*us))).collect()))
        .collect();
    let labels = drawn
        .iter()
        .filter_map(|(ink, word, points)| Some(EndLabel { at: points.last()?.1, word: (*word).clone(), ink: *ink }))
        .collect();
    let x = Axis::new(Scale::Nines { nines }, Kind::Percentile, "percentile");
    let y = Axis::new(scale, Kind::Duration, name);
    Chart { x, y, marks, shades: Vec::new(), rules: Vec::new(), labels, height: 210.0 }
}

fn title(named: &str, all: &Latency) -> String {
    let ratio = all.max_us as f64 / (all.p50_us as f64).max(1.0);
    format!(
        "{named}{}: p99 is {}, p99.9 {}; the slowest took {} times the median",
        bound::mark(all),
        bound::us(all, all.p99_us),
        bound::us(all, all.p999_us),
        format::number(ratio)
    )
}

fn table(lines: &[(Ink, String, &Latency)]) -> Table {
    let mut table =
        Table::new(&["Series", "#Samples", "#Mean", "#p50", "#p90", "#p99", "#p99.9", "#p99.99", "#Slowest"]).stacked();
    for (_, word, m) in lines {
        let values = [m.p50_us, m.p90_us, m.p99_us, m.p999_us, m.p9999_us, m.max_us];
        let cells = values.map(|us| bound::us(m, us));
        table.row(
            [format!("{word}{}", bound::mark(m)), format::count(m.count), format::duration_us(m.mean_us)]
                .into_iter()
                .chain(cells),
        );
    }
    table
}
