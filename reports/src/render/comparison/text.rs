//! A comparison for a terminal: plain text, at most 80 columns.

use super::{look, name, nothing_worse};
use crate::compare::{Comparison, Finding};
use crate::format;
use crate::render::text::wrapped;
use crate::render::verdict::when;

/// Rows at most; the page has all.
const MOST: usize = 16;

/// What changed, worst first, and what speaks against the comparison. The caller adds where the page is.
pub fn summary(comparison: &Comparison) -> String {
    let mut out = String::new();
    let (_, mark, word) = look(comparison.outcome);
    let head = format!("{mark} {}: {word}", name(comparison));
    if comparison.reasons.is_empty() {
        wrapped(&mut out, "", &format!("{head}: {}", nothing_worse(comparison)));
    } else {
        wrapped(&mut out, "", &head);
    }
    for reason in &comparison.reasons {
        wrapped(&mut out, "  - ", reason);
    }
    out.push('\n');
    for (letter, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        wrapped(&mut out, &format!("  {letter}  "), &format!("{}, {}", side.run, when(&side.started_at)));
    }
    out.push('\n');
    let mut judged: Vec<_> = comparison.differences.iter().filter(|d| d.judged).collect();
    let rank = |finding: Finding| match finding {
        Finding::Worse => 0,
        Finding::Better => 1,
        Finding::Unclear => 2,
        Finding::Same => 3,
        Finding::Unknown => 4,
    };
    judged.sort_by_key(|d| rank(d.finding));
    let told = || judged.iter().filter(|d| d.finding != Finding::Unknown);
    for d in told().take(MOST) {
        let values = format!("{} → {} ({})", d.a_said(), d.b_said(), d.change_said());
        wrapped(&mut out, &format!("  {:<10} {:<20} ", d.finding.said(), d.name()), &values);
    }
    let of = |finding: Finding| told().skip(MOST).filter(|d| d.finding == finding).count();
    let rest = [
        (Finding::Worse, "worse"),
        (Finding::Better, "better"),
        (Finding::Unclear, "unclear"),
        (Finding::Same, "same"),
    ];
    let rest: Vec<_> =
        rest.into_iter().filter(|(f, _)| of(*f) > 0).map(|(f, word)| format!("{} {word}", of(f))).collect();
    if !rest.is_empty() {
        wrapped(&mut out, "  ", &format!("and more on the page: {}", rest.join(", ")));
    }
    let unknown = judged.iter().filter(|d| d.finding == Finding::Unknown).count();
    if unknown > 0 {
        let said = format!("{} can’t be told: too few samples", format::counted(unknown as u64, "number", "numbers"));
        wrapped(&mut out, "  ", &said);
    }
    for caveat in &comparison.caveats {
        wrapped(&mut out, "  ! ", caveat);
    }
    out
}
