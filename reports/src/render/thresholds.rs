//! Section 3: asked, measured, margin, when it first failed.

use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;
use crate::result::{ThresholdResult, WindowInfo};

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let all = &result.thresholds;
    let mut parts = vec![Part::Finding(finding(result))];
    if !all.is_empty() {
        parts.push(Part::Table(table(result)));
        parts.extend(notes(result).map(Part::Note));
    }
    Section { number: 3, id: "thresholds", title: "Thresholds", parts }
}

fn finding(result: &RunResult) -> String {
    let all = &result.thresholds;
    if super::running(result) && !all.is_empty() {
        let held = all.iter().filter(|t| t.held == Some(true)).count();
        return format!("So far, {held} of {} hold; judged at the end of the run.", all.len());
    }
    let failed = all.iter().filter(|t| t.held != Some(true) && !t.unusable).count();
    let unusable = all.iter().filter(|t| t.unusable).count();
    if unusable > 0 {
        let failed = if failed > 0 { format!(" {failed} did not hold.") } else { String::new() };
        return format!(
            "{unusable} of {} can’t be judged: the clocks of different hosts are not known well enough for what was asked.{failed}",
            format::counted(all.len() as u64, "threshold", "thresholds")
        );
    }
    match (all.len(), failed) {
        (0, _) => "The scenario asked for nothing, so there was nothing to hold.".into(),
        (1, 0) => "The one threshold held.".into(),
        (n, 0) => format!("All {n} thresholds held."),
        (1, _) => "The one threshold did not hold.".into(),
        (n, failed) => format!("{failed} of {n} thresholds did not hold."),
    }
}

fn table(result: &RunResult) -> Table {
    let mut table = Table::new(&["Asked", "Held", "#Measured", "#Limit", "#Margin", "#First failed at"]).stacked();
    let running = super::running(result);
    for threshold in &result.thresholds {
        let worst = worst(threshold).map(|worst| format!(", {worst}")).unwrap_or_default();
        let measured = measured(threshold);
        let first = threshold.first_failed_at_s.map_or_else(|| "–".into(), |s| format::run_time(f64::from(s)));
        table.marked(
            threshold.held != Some(true) && !(running && threshold.held.is_none()),
            [
                threshold.text.clone(),
                // A mark stays with its word, however narrow the column.
                if running && threshold.held.is_none() { "not yet measured" } else { said(threshold) }
                    .replacen(' ', "\u{a0}", 1),
                format!("{measured}{worst}"),
                format::in_unit(threshold.limit, &threshold.unit),
                margin(threshold),
                if threshold.stopped_run { format!("{first}: stopped the run") } else { first },
            ],
        );
    }
    table
}

/// How what was measured is to be read.
fn notes(result: &RunResult) -> Option<String> {
    let windows: Vec<_> = result.thresholds.iter().filter_map(|t| t.window).collect();
    if windows.is_empty() {
        return None;
    }
    let each = |w: &WindowInfo| {
        let judged = format::counted(w.judged, "window", "windows");
        let without = if w.empty > 0 {
            format!(", {} without a sample not judged", format::count(w.empty))
        } else {
            String::new()
        };
        format!("{judged} of {}\u{a0}s: {} failed{without}", w.length_s, format::count(w.failed))
    };
    let all: Vec<_> = windows.iter().map(each).collect();
    Some(format!(
        "What must hold in every window is judged each second over the seconds before; percentiles are of all samples of a \
         window. Measured is the worst one. In the order of the table: {}.",
        all.join("; ")
    ))
}

/// When the worst window was.
pub(super) fn worst(threshold: &ThresholdResult) -> Option<String> {
    let window = threshold.window.filter(|w| w.worst.is_some())?;
    Some(format!("from {} to {}", format::run_time(window.from_s.into()), format::run_time(window.to_s.into())))
}

/// What was measured, with the clocks' bound where it has one; a dash where nothing was.
pub(super) fn measured(threshold: &ThresholdResult) -> String {
    match threshold.measured {
        Some(us) if threshold.unit == "us" => format::bounded_us(us, threshold.bound_us),
        Some(other) => format::in_unit(other, &threshold.unit),
        None => "–".into(),
    }
}

/// A mark and a word.
pub(super) fn said(threshold: &ThresholdResult) -> &'static str {
    match threshold.held {
        _ if threshold.unusable => "? unusable",
        Some(true) => "✓ held",
        Some(false) => "✗ failed",
        None => "✗ not measured",
    }
}

/// How far from the limit, as a share of it.
fn margin(threshold: &ThresholdResult) -> String {
    match threshold.measured {
        None => "–".into(),
        _ if threshold.unusable => "less than the clocks’ bound".into(),
        Some(measured) if threshold.limit == 0.0 && measured == 0.0 => "exact".into(),
        Some(measured) if threshold.limit == 0.0 => {
            format!("{} over", format::in_unit(measured, &threshold.unit))
        }
        Some(measured) => {
            let share = (measured - threshold.limit) / threshold.limit * 100.0;
            let side = if share > 0.0 { "above" } else { "below" };
            if share == 0.0 { "exact".into() } else { format!("{}\u{a0}% {side}", format::number(share.abs())) }
        }
    }
}
