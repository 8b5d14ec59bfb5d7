//! Section 12: how to run it again: command, versions, seed, the scenario in full, the raw files.

use super::figure::{Part, Section, Table};
use super::verdict::when;
use crate::RunResult;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let scenario = &result.scenario;
    let known = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
    let mut facts = Table::new(&["", ""]).stacked();
    for (name, value) in [
        ("Run", known(&result.run)),
        ("throng", known(&result.version)),
        ("Started", when(&result.started_at)),
        ("Scenario", known(&scenario.file)),
        ("Digest", known(&scenario.digest)),
        ("Seed", scenario.seed.to_string()),
        ("Overrides", known(&scenario.overrides.join(" "))),
        ("Machines", machines(result)),
    ] {
        facts.row([name.to_owned(), value]);
    }
    let mut parts = Vec::new();
    if !result.command.is_empty() {
        parts.push(Part::Verbatim("The command".into(), result.command.clone()));
    }
    parts.push(Part::Table(facts));
    if !scenario.source.is_empty() {
        parts.push(Part::Verbatim("The scenario in full".into(), scenario.source.clone()));
    }
    // The files come at the end.
    if !super::running(result) {
        parts.push(Part::Files);
    }
    Section { number: 12, id: "again", title: "How to run it again", parts }
}

fn machines(result: &RunResult) -> String {
    let hosts: std::collections::BTreeMap<_, _> =
        result.sources.iter().filter(|s| !s.host.is_empty()).map(|s| (&s.host, s.cores)).collect();
    let said: Vec<_> = hosts.iter().map(|(host, cores)| format!("{host} ({cores} cores)")).collect();
    if said.is_empty() { "–".into() } else { said.join(", ") }
}
