//! The summary that a terminal shows when a run has ended: plain text, at most 80 columns.

use std::fmt::Write;

use super::{completeness, examples, headline, name, thresholds, verdict};
use crate::RunResult;
use crate::format;
use crate::result::Outcome;

/// Columns of the narrowest terminal that people still use.
const COLUMNS: usize = 80;

/// Verdict, six numbers, thresholds, completeness, doubts. The caller adds where the report is.
pub fn summary(result: &RunResult) -> String {
    let mut out = String::new();
    let mark = match result.verdict.outcome {
        Outcome::Passed => "✓",
        Outcome::Failed => "✗",
        Outcome::Invalid => "?",
        Outcome::Running => "▸",
    };
    let head = format!("{mark} {}: {}", name(result), verdict::word(result));
    if result.verdict.reasons.is_empty() && result.verdict.outcome == Outcome::Passed {
        wrapped(&mut out, "", &format!("{head}: {}", verdict::all_held(result)));
    } else {
        wrapped(&mut out, "", &head);
    }
    if let Some(rehearsed) = &result.rehearsed {
        wrapped(&mut out, "  ! ", &rehearsed.note);
    }
    for reason in &result.verdict.reasons {
        wrapped(&mut out, "  - ", reason);
    }
    out.push('\n');
    for number in headline::of(result) {
        let values: Vec<_> = number.values.iter().map(|(n, v)| format!("{n} {v}").trim().to_owned()).collect();
        let caveat = number.caveat.map(|caveat| format!(" ({caveat})")).unwrap_or_default();
        wrapped(&mut out, &format!("  {:<22}", number.name), &format!("{}{caveat}", values.join(" · ")));
    }
    if !result.thresholds.is_empty() {
        out.push('\n');
    }
    for threshold in &result.thresholds {
        let measured = thresholds::measured(threshold);
        let at = match (threshold.held, threshold.first_failed_at_s) {
            (Some(true), _) | (_, None) => String::new(),
            (_, Some(second)) => format!(", first at {}", format::run_time(f64::from(second))),
        };
        let worst = thresholds::worst(threshold).map(|worst| format!(" {worst}")).unwrap_or_default();
        let said = thresholds::said(threshold);
        wrapped(&mut out, &format!("  {said:<9} "), &format!("{} (measured {measured}{worst}{at})", threshold.text));
    }
    out.push('\n');
    wrapped(&mut out, "  ", &completeness::finding(result));
    if let Some(first) = result.examples.lost.first() {
        wrapped(&mut out, "  ! ", &format!("The first that was lost: {}", examples::lost(first)));
    }
    errors(&mut out, result);
    for doubt in result.doubts.iter().filter(|doubt| !result.verdict.reasons.contains(doubt)) {
        wrapped(&mut out, "  ! ", doubt);
    }
    out
}

fn errors(out: &mut String, result: &RunResult) {
    const MOST: usize = 3;
    for error in result.errors.iter().take(MOST) {
        let first = format::run_time(f64::from(error.first_at_s));
        wrapped(out, "  ! ", &format!("{} × {}, first at {first}", format::count(error.count), error.kind));
    }
    let more = result.errors.len().saturating_sub(MOST);
    if more > 0 {
        wrapped(out, "  ! ", &format!("and {} of errors", format::counted(more as u64, "more kind", "more kinds")));
    }
}

/// Writes `words` behind `head`, broken at spaces; further lines stand below the first word.
pub(super) fn wrapped(out: &mut String, head: &str, words: &str) {
    let indent = head.chars().count();
    let mut column = indent;
    let mut first = true;
    out.push_str(head);
    // What must not part in HTML may as well stay together here; control characters would steer the terminal.
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let room = word.chars().count();
        if !first && column + 1 + room > COLUMNS {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
            first = true;
        }
        if !first {
            out.push(' ');
            column += 1;
        }
        for c in word.chars() {
            if column >= COLUMNS {
                let _ = write!(out, "\n{:indent$}", "");
                column = indent;
            }
            out.push(if c == '\u{a0}' { ' ' } else { c });
            column += 1;
        }
        first = false;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{ThresholdResult, VerdictInfo};

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let long = "a reason that goes on and on ".repeat(9) + &"x".repeat(200);
        let result = RunResult {
            verdict: VerdictInfo { reasons: vec![long.clone()], ..VerdictInfo::default() },
            doubts: vec![long],
            ..RunResult::default()
        };
        let text = summary(&result);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(!text.contains('\u{a0}'));
    }

    #[test]
    fn thresholds_have_a_mark_and_a_word() {
        let held = ThresholdResult {
            text: "delivery: p(99) < 250ms".into(),
            held: Some(true),
            measured: Some(4_210.0),
            limit: 250_000.0,
            unit: "us".into(),
            first_failed_at_s: None,
            ..ThresholdResult::default()
        };
        let failed = ThresholdResult { held: Some(false), first_failed_at_s: Some(12), ..held.clone() };
        let text = summary(&RunResult { thresholds: vec![held, failed], ..RunResult::default() });
        assert!(text.contains("✓ held    delivery: p(99) < 250ms (measured 4.21 ms)"), "{text}");
        assert!(text.contains("✗ failed  delivery: p(99) < 250ms (measured 4.21 ms, first at 12 s)"), "{text}");
    }
}
