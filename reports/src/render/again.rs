//! Section 12: how to run it again: command, versions, commit, machines, seed, the scenario in full, the raw files.

use super::figure::{Part, Section, Table};
use super::verdict::when;
use crate::{RunResult, format};

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let scenario = &result.scenario;
    let known = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
    let mut facts = Table::new(&["", ""]).stacked();
    for (name, value) in [
        ("Run", known(&result.run)),
        ("throng", known(if result.build.is_empty() { &result.version } else { &result.build })),
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

/// What each host is, as far as somebody looked.
fn machines(result: &RunResult) -> String {
    let hosts: std::collections::BTreeMap<_, _> =
        result.sources.iter().filter(|s| !s.host.is_empty()).map(|s| (&s.host, s.cores)).collect();
    let said = hosts.iter().map(|(host, cores)| {
        let mut facts = vec![format::counted((*cores).into(), "core", "cores")];
        if let Some(seen) = result.hosts.iter().find(|seen| seen.name == **host) {
            facts.extend((seen.memory_bytes > 0).then(|| format::bytes(seen.memory_bytes)));
            facts.extend((!seen.machine.is_empty()).then(|| seen.machine.clone()));
        }
        format!("{host} ({})", facts.join(", "))
    });
    let said: Vec<_> = said.collect();
    if said.is_empty() { "–".into() } else { said.join(", ") }
}
