//! What is counted exactly, in both runs: users, and events lost, repeated, or out of order.

use measure::statistics::proportions;

use super::difference::Difference;
use crate::result::{Completeness, RunResult};

/// One of the counts.
type Part = fn(&Completeness) -> u64;

/// Completeness as shares of what was expected, and users at once.
pub(super) fn differences(a: &RunResult, b: &RunResult) -> Vec<Difference> {
    let mut all = vec![users(a, b)];
    let parts: [(&str, Part); 3] =
        [("lost", |c| c.lost), ("came twice", |c| c.duplicated), ("out of order", |c| c.reordered)];
    if a.completeness.expected > 0 && b.completeness.expected > 0 {
        all.extend(parts.map(|(subject, of)| {
            let counts = |result: &RunResult| (of(&result.completeness), result.completeness.expected);
            share(subject, counts(a), counts(b))
        }));
    }
    all
}

fn users(a: &RunResult, b: &RunResult) -> Difference {
    let most = |result: &RunResult| (result.users.connected_max > 0).then_some(result.users.connected_max as f64);
    // Counted and not sampled: there is no chance in it.
    let certain = most(a).zip(most(b)).map(|_| 0.0);
    let difference = Difference::new("users at once", "", "count", most(a), most(b));
    Difference { p: certain, judged: true, more_is_better: true, ..difference }
}

fn share(subject: &str, a: (u64, u64), b: (u64, u64)) -> Difference {
    let of = |(n, expected): (u64, u64)| Some(n as f64 / expected as f64);
    // What never happened before and does now needs no statistics.
    let p = if (a.0 == 0) == (b.0 == 0) { proportions(a, b) } else { Some(0.0) };
    Difference { p, judged: true, ..Difference::new(subject, "", "share", of(a), of(b)) }
}
