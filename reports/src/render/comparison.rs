//! Two runs against each other, as one HTML file: a table of what changed, and the curves of both in one chart.

mod curves;
pub mod text;

use askama::Template;

use super::figure::{Part, Section, Table};
use super::over_time::OverTime;
use super::script;
use super::verdict::when;
use crate::RunResult;
use crate::compare::{Comparison, Difference, Finding, Judgement, LEVEL, Side};
use crate::format;
use crate::result::Outcome;

/// The page.
#[derive(Template)]
#[template(path = "comparison.html")]
struct Page {
    title: String,
    style: &'static str,
    script: &'static str,
    data: String,
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    name: String,
    line: String,
    more: Vec<String>,
    facts: Vec<(&'static str, String)>,
    sections: Vec<Section>,
    footer: String,
}

/// The comparison of these two runs as one HTML file that needs nothing else.
///
/// # Panics
/// Never: writing to a string can't fail.
pub fn html(comparison: &Comparison, a: &RunResult, b: &RunResult) -> String {
    let (class, mark, word) = look(comparison.outcome);
    let mut reasons = comparison.reasons.clone();
    let line = if reasons.is_empty() { nothing_worse(comparison) } else { reasons.remove(0) };
    let longer = if b.duration_s > a.duration_s { b } else { a };
    let time = OverTime::new(longer);
    let sections = vec![
        changes(comparison),
        curves::over_time(&time, a, b),
        curves::shapes(a, b),
        caveats(comparison),
        method(comparison),
    ];
    let page = Page {
        title: format!("{} · {word}", name(comparison)),
        style: include_str!("../../assets/report.css"),
        script: include_str!("../../assets/report.js"),
        data: script::of(&time, None, &sections),
        class,
        mark,
        word,
        name: name(comparison),
        line,
        more: reasons,
        facts: vec![
            ("A, the baseline", described(&comparison.a)),
            ("B", described(&comparison.b)),
            ("Tolerance", format::percent(comparison.tolerance, 1.0)),
        ],
        sections,
        footer: format!("{} and {} · {}", comparison.a.run, comparison.b.run, comparison.schema),
    };
    page.render().expect("writing to a string can't fail")
}

/// Class, mark and word of an outcome.
fn look(outcome: Judgement) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Judgement::Regression => ("failed", "✗", "regression"),
        Judgement::NoRegression => ("passed", "✓", "no regression"),
        Judgement::Invalid => ("invalid", "?", "no comparison"),
    }
}

fn name(comparison: &Comparison) -> String {
    let (a, b) = (&comparison.a.scenario, &comparison.b.scenario);
    let one = |name: &str| if name.is_empty() { "a run without a name".to_owned() } else { name.to_owned() };
    if a == b { one(a) } else { format!("{} and {}", one(a), one(b)) }
}

fn described(side: &Side) -> String {
    let outcome = match side.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Invalid => "invalid",
        Outcome::Running => "running",
    };
    format!("{}, {}, {outcome}", side.run, when(&side.started_at))
}

/// What a comparison says that found nothing worse.
fn nothing_worse(comparison: &Comparison) -> String {
    let of = |finding: Finding| comparison.differences.iter().filter(move |d| d.judged && d.finding == finding);
    let unclear = of(Finding::Unclear).count();
    match (of(Finding::Better).map(Difference::name).collect::<Vec<_>>(), unclear) {
        (better, 0) if better.is_empty() => {
            format!(
                "nothing changed by more than {} and by more than chance",
                format::percent(comparison.tolerance, 1.0)
            )
        }
        (better, n) if better.is_empty() => {
            format!("nothing got worse beyond chance; {} may be", format::counted(n as u64, "change", "changes"))
        }
        (better, _) => format!("nothing got worse, and {} got better", listed(&better)),
    }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 3;
    let more = names.len().saturating_sub(MOST);
    let said = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { said } else { format!("{said} and {more} more") }
}

fn changes(comparison: &Comparison) -> Section {
    let (judged, others): (Vec<_>, Vec<_>) = comparison.differences.iter().partition(|d| d.judged);
    let (unknown, known): (Vec<&Difference>, Vec<_>) = judged.into_iter().partition(|d| d.finding == Finding::Unknown);
    let mut parts = vec![Part::Table(table(&known))];
    if !unknown.is_empty() {
        let why = if unknown.iter().any(|d| d.unusable) { ", or clocks too far apart" } else { "" };
        let words = format!("{} more can’t be told: too few samples or seconds{why}", unknown.len());
        parts.push(Part::Folded(words, table(&unknown)));
    }
    if !others.is_empty() {
        parts.push(Part::Heading("The generator’s own".into()));
        parts.push(Part::Note(
            "Not judged, for they are no fault of the service; but a generator that was slower in one of the runs makes \
             the comparison unfair."
                .into(),
        ));
        parts.push(Part::Table(table(&others)));
    }
    Section { number: 2, id: "changes", title: "What changed", parts }
}

fn table(differences: &[&Difference]) -> Table {
    let mut table = Table::new(&["What", "Finding", "#A", "#B", "#Change", "#By chance"]).stacked();
    for d in differences {
        table.marked(
            d.judged && d.finding == Finding::Worse,
            [
                format!("{}{}", d.name(), word(d)),
                d.finding.said().into(),
                d.a_said(),
                d.b_said(),
                d.change_said(),
                chance(d),
            ],
        );
    }
    table
}

/// What its name is followed by: nothing, or that the clocks leave nothing of it.
fn word(difference: &Difference) -> &'static str {
    if difference.unusable { " (unusable)" } else { "" }
}

/// How often chance alone brings such a difference.
fn chance(difference: &Difference) -> String {
    match (difference.p, difference.sizes) {
        (None, _) | (Some(_), None) if difference.p.is_none_or(|p| p == 0.0) => "–".into(),
        (Some(p), _) if p < 0.000_1 => "< 0.01\u{a0}%".into(),
        (Some(p), _) => format::percent(p, 1.0),
        (None, _) => "–".into(),
    }
}

fn caveats(comparison: &Comparison) -> Section {
    let parts = if comparison.caveats.is_empty() {
        vec![Part::Finding(
            "The same scenario, seed, version and machines; neither run says anything against itself.".into(),
        )]
    } else {
        vec![Part::List(comparison.caveats.clone())]
    };
    Section { number: 5, id: "fair", title: "Is it fair?", parts }
}

fn method(comparison: &Comparison) -> Section {
    let mut table = Table::new(&["What", "#Seconds’ worth, A", "#Seconds’ worth, B"]);
    for d in &comparison.differences {
        let Some((a, b)) = d.sizes else { continue };
        table.row([d.name(), format::number(a), format::number(b)]);
    }
    let parts = vec![
        Part::Note(format!(
            "A and B in the table are numbers of the whole runs. Something is better or worse if it changed by more than {} \
             and if chance alone would bring such a difference in fewer than {} of comparisons. That is tested by the \
             seconds in which at least 95\u{a0}% of the users were there (all seconds where there are too few of these): \
             Welch’s t-test, of latencies on their logarithms. Seconds that resemble their neighbours count as fewer, by \
             their autocorrelation (Geyer’s initial monotone sequence); p-values are corrected for the number of tests \
             (Holm). What is counted exactly, as losses are, is compared as it is.",
            format::percent(comparison.tolerance, 1.0),
            format::percent(LEVEL, 1.0)
        )),
        Part::Folded("How many independent seconds each series is worth".into(), table),
    ];
    Section { number: 6, id: "method", title: "How it was compared", parts }
}
