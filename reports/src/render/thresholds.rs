//! Section 3: asked, measured, margin, when it first failed.

use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;
use crate::result::ThresholdResult;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let all = &result.thresholds;
    let mut parts = vec![Part::Finding(finding(result))];
    if !all.is_empty() {
        parts.push(Part::Table(table(result)));
    }
    Section { number: 3, id: "thresholds", title: "Thresholds", parts }
}

fn finding(result: &RunResult) -> String {
    let all = &result.thresholds;
    if super::running(result) && !all.is_empty() {
        let held = all.iter().filter(|t| t.held == Some(true)).count();
        return format!("So far, {held} of {} hold; judged at the end of the run.", all.len());
    }
    let failed = all.iter().filter(|t| t.held != Some(true)).count();
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
        let measured = threshold.measured.map_or_else(|| "–".into(), |m| format::in_unit(m, &threshold.unit));
        table.marked(
            threshold.held != Some(true) && !(running && threshold.held.is_none()),
            [
                threshold.text.clone(),
                if running && threshold.held.is_none() { "not yet measured" } else { said(threshold) }.into(),
                measured,
                format::in_unit(threshold.limit, &threshold.unit),
                margin(threshold),
                threshold.first_failed_at_s.map_or_else(|| "–".into(), |s| format::run_time(f64::from(s))),
            ],
        );
    }
    table
}

/// A mark and a word.
pub(super) fn said(threshold: &ThresholdResult) -> &'static str {
    match threshold.held {
        Some(true) => "✓ held",
        Some(false) => "✗ failed",
        None => "✗ not measured",
    }
}

/// How far from the limit, as a share of it.
fn margin(threshold: &ThresholdResult) -> String {
    match threshold.measured {
        None => "–".into(),
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
