//! Errors by kind: small charts one below the other, so that each kind is named in full and seen on its own scale.

use super::figure::{Figure, Part, Table};
use super::over_time::OverTime;
use crate::RunResult;
use crate::charts::{Axis, Ink, Kind, Scale, Values};
use crate::format;
use crate::result::ErrorCount;

/// Kinds drawn; the rest stands in the table.
const MOST_KINDS: usize = 6;

/// Charts and table, or the good news.
pub(super) fn parts(result: &RunResult, time: &OverTime<'_>) -> Vec<Part> {
    let errors = &result.errors;
    if errors.is_empty() {
        return vec![Part::Finding("There was not one error, of any kind, in the whole run.".into())];
    }
    let total = errors.iter().fold(0u64, |sum, error| sum.saturating_add(error.count));
    let mut parts = vec![Part::Finding(format!(
        "There were {} of {}.",
        format::counted(total, "error", "errors"),
        format::counted(errors.len() as u64, "kind", "kinds")
    ))];
    parts.extend(errors.iter().take(MOST_KINDS).enumerate().map(|(i, error)| chart(i, error, time)));
    if errors.len() > 1 {
        parts.push(Part::Table(table(errors)));
    }
    parts
}

fn chart(index: usize, error: &ErrorCount, time: &OverTime<'_>) -> Part {
    let values = counts(error, time);
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let y = Axis::new(Scale::from_zero(most), Kind::Count, format!("errors in {}", time.bin_words()));
    let title = format!(
        "{}: {}, the first at {}",
        error.kind,
        format::counted(error.count, "error", "errors"),
        format::run_time(f64::from(error.first_at_s))
    );
    let alternative = format!("Errors of this kind over time. {title}.");
    let caption = if index == 0 {
        format!("What users and API calls ran into, counted in {}, each kind on a scale of its own.", time.bin_words())
    } else {
        String::new()
    };
    let chart = time.chart(y, vec![time.line(Ink::Bad, &values)], Vec::new(), 60.0);
    Figure::new(&format!("errors-{index}"), title, caption, alternative, &chart)
        .over_time("count", [("errors", values)])
        .part()
}

/// Counts by bin; where nothing was seen, the count is zero, for errors are looked for every second.
fn counts(error: &ErrorCount, time: &OverTime<'_>) -> Values {
    let seen = error.per_second.iter().map(|n| Some(f64::from(*n)));
    time.bins.sum(seen).into_iter().map(|n| Some(n.unwrap_or(0.0))).collect()
}

fn table(errors: &[ErrorCount]) -> Table {
    let mut table = Table::new(&["Kind", "#Count", "#First at"]);
    for error in errors {
        table.row([error.kind.clone(), format::count(error.count), format::run_time(f64::from(error.first_at_s))]);
    }
    table.stacked()
}
