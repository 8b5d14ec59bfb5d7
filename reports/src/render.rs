//! One self-contained HTML file from a [`RunResult`]: the finished report and the live page are this same code.
//!
//! Each section is a function from the result to a [`Section`] value; one template turns sections into HTML. No
//! section reads anything but the result, so an old `result.json` renders the same again.

mod again;
mod bound;
pub mod comparison;
mod completeness;
mod errors;
mod everybody;
mod examples;
mod figure;
mod flat;
mod headline;
mod joining;
mod latency;
mod machines;
mod over_time;
mod rates;
mod script;
mod shape;
mod sources;
pub mod text;
mod thresholds;
mod timeline;
mod trust;
mod verdict;

use askama::Template;
use measure::Metric;

use crate::RunResult;
use crate::format;
use crate::result::Outcome;
use figure::{Part, Section};

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    style: &'static str,
    script: &'static str,
    /// Renews the page of a run that goes on.
    live: &'static str,
    running: bool,
    /// What of a run that goes on is shown.
    until: String,
    data: String,
    verdict: verdict::Verdict,
    numbers: Vec<headline::Number>,
    sections: Vec<Section>,
    footer: String,
}

/// The whole report as one HTML file that needs nothing else.
///
/// # Panics
/// Never: writing to a string can't fail.
pub fn html(result: &RunResult) -> String {
    let sections = sections(result);
    let page = Page {
        title: format!("{} · {}", name(result), verdict::word(result)),
        style: include_str!("../assets/report.css"),
        script: include_str!("../assets/report.js"),
        live: include_str!("../assets/live.js"),
        running: running(result),
        until: format::span(result.duration_s),
        data: script::data(result, &sections),
        verdict: verdict::of(result),
        numbers: headline::of(result),
        sections,
        footer: format!("throng {} · run {} · {}", result.version, result.run, result.schema),
    };
    page.render().expect("writing to a string can't fail")
}

/// Whether the run goes on.
fn running(result: &RunResult) -> bool {
    result.verdict.outcome == Outcome::Running
}

/// Sections 3 to 12; the template writes the first two itself.
fn sections(result: &RunResult) -> Vec<Section> {
    vec![
        thresholds::section(result),
        timeline::section(result),
        flat::section(result),
        shape::section(result),
        everybody::section(result),
        completeness::section(result),
        joining::section(result),
        sources::section(result),
        trust::section(result),
        again::section(result),
    ]
}

/// From where to where a metric is measured, as the start of a caption.
fn measured(metric: Metric) -> String {
    let meaning = plain(metric.meaning());
    if meaning.starts_with("from") {
        return format!("Measured {meaning}");
    }
    let mut letters = meaning.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Doc comments as prose.
fn plain(meaning: &str) -> String {
    meaning.replace('`', "").replace('\'', "’")
}

/// What the run calls itself.
fn name(result: &RunResult) -> &str {
    if result.scenario.name.is_empty() { "A run without a name" } else { &result.scenario.name }
}
