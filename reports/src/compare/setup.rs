//! How two runs differ in what they were to do, and where: a difference that follows from that is no finding.

use crate::format;
use crate::result::RunResult;

/// The caveats, in words.
pub(super) fn caveats(a: &RunResult, b: &RunResult) -> Vec<String> {
    let mut caveats = Vec::new();
    let mut unlike = |what: &str, a: String, b: String| {
        if a != b {
            caveats.push(format!("{what}: A {}, B {}.", or_nothing(&a), or_nothing(&b)));
        }
    };
    let short = |result: &RunResult| result.scenario.digest.chars().take(12).collect::<String>();
    unlike("It is not the same scenario", short(a), short(b));
    unlike("Seed", a.scenario.seed.to_string(), b.scenario.seed.to_string());
    unlike("Users planned", format::count(a.users.planned), format::count(b.users.planned));
    unlike("throng’s version", a.version.clone(), b.version.clone());
    let target = |r: &RunResult| if r.bundled { "the bundled chat server".to_owned() } else { r.target.clone() };
    unlike("Target", target(a), target(b));
    unlike("Machines", machines(a), machines(b));
    unlike("Workers", workers(a), workers(b));
    for (name, result) in [("A", a), ("B", b)] {
        caveats.extend(result.doubts.iter().map(|doubt| format!("{name} says against itself: {doubt}")));
        if result.verdict.interrupted {
            caveats.push(format!("{name} was stopped before its end."));
        }
    }
    caveats
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn machines(result: &RunResult) -> String {
    let all: Vec<_> = result.hosts.iter().map(|h| format!("{} ({} cores)", h.name, h.cores)).collect();
    all.join(", ")
}

fn workers(result: &RunResult) -> String {
    result.sources.iter().filter(|s| s.kind == "worker").count().to_string()
}
