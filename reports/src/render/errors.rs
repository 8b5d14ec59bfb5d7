//! Errors by kind: one small chart a kind would hide how they coincide, so they share one, a line a kind.

use super::figure::{Figure, Part, Table};
use super::over_time::OverTime;
use crate::RunResult;
use crate::charts::{Axis, Ink, Kind, Scale};
use crate::format;
use crate::result::ErrorCount;

/// More lines than this can't be told apart.
const MOST_KINDS: usize = 6;

/// The chart, or the good news.
pub(super) fn part(result: &RunResult, time: &OverTime<'_>) -> Part {
    let errors = &result.errors;
    if errors.is_empty() {
        return Part::Finding("There was not one error, of any kind, in the whole run.".into());
    }
    let shown: Vec<_> = errors.iter().take(MOST_KINDS).map(|e| (e, counts(e, time))).collect();
    let most = shown.iter().flat_map(|(_, v)| v.iter().flatten()).copied().fold(0.0, f64::max);
    let y = Axis::new(Scale::from_zero(most), Kind::Count, format!("errors in {}", time.bin_words()));
    let mut marks = Vec::new();
    let mut labels = Vec::new();
    for (i, (error, values)) in shown.iter().enumerate() {
        let ink = if i == 0 { Ink::Bad } else { Ink::series(i) };
        marks.push(time.line(ink, values));
        labels.extend(time.label(ink, &error.kind, values));
    }
    let series: Vec<_> = shown.into_iter().map(|(e, values)| (e.kind.as_str(), values)).collect();
    let total: u64 = errors.iter().map(|e| e.count).sum();
    let first = errors.iter().map(|e| e.first_at_s).min().unwrap_or(0);
    let title = format!(
        "{} of {}; the first at {}",
        format::counted(total, "error", "errors"),
        format::counted(errors.len() as u64, "kind", "kinds"),
        format::run_time(f64::from(first))
    );
    let hidden = errors.len().saturating_sub(MOST_KINDS);
    let more = if hidden == 0 { String::new() } else { format!(" The {hidden} rarest kinds are in the table only.") };
    let caption = format!("Everything that a user or an API call ran into, counted in {}.{more}", time.bin_words());
    Figure::new("errors", title, caption, alternative(errors), &time.chart(y, marks, labels, 120.0))
        .with_table(table(errors))
        .over_time("count", series)
        .part()
}

/// Counts by bin; where nothing was seen, the count is zero, for errors are looked for every second.
pub(super) fn counts(error: &ErrorCount, time: &OverTime<'_>) -> Vec<Option<f64>> {
    let seen = error.per_second.iter().map(|n| Some(f64::from(*n)));
    time.bins.sum(seen).into_iter().map(|n| Some(n.unwrap_or(0.0))).collect()
}

fn alternative(errors: &[ErrorCount]) -> String {
    let all: Vec<_> = errors.iter().map(|e| format!("{}: {}", e.kind, format::count(e.count))).collect();
    format!("Errors by kind. {}.", all.join("; "))
}

fn table(errors: &[ErrorCount]) -> Table {
    let mut table = Table::new(&["Kind", "#Count", "#First at"]);
    for error in errors {
        table.row([error.kind.clone(), format::count(error.count), format::run_time(f64::from(error.first_at_s))]);
    }
    table
}
