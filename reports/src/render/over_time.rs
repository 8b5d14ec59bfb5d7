//! What all charts of section 4 share: the time axis, its bins, phases, and shaded windows.

use crate::RunResult;
use crate::charts::{Axis, Bins, Chart, EndLabel, Ink, Kind, Mark, Scale, Shade, Values};
use crate::format;

/// Points of a line at most; more can't be told apart at this width.
const MOST_BINS: usize = 360;

/// Rows of a table at most.
const MOST_ROWS: usize = 60;

/// The shared time axis.
pub(super) struct OverTime<'a> {
    pub(super) result: &'a RunResult,
    /// For charts.
    pub(super) bins: Bins,
    /// For tables.
    pub(super) rows: Bins,
    /// Where the axis ends, in seconds.
    pub(super) end: f64,
    shades: Vec<Shade>,
    rules: Vec<f64>,
}

impl<'a> OverTime<'a> {
    /// The time axis of a result.
    pub(super) fn new(result: &'a RunResult) -> Self {
        let seconds = &result.timeline.seconds;
        let bins = Bins::new(seconds, MOST_BINS);
        let last = seconds.iter().max().map_or(0.0, |last| f64::from(*last) + f64::from(bins.step));
        let lasted = if result.duration_s.is_finite() { result.duration_s } else { 0.0 };
        let end = last.max(lasted).max(1.0);
        let rules = result.phases.iter().map(|p| p.start_s).filter(|at| *at > 0.0 && *at < end).collect();
        Self { result, bins, rows: Bins::new(seconds, MOST_ROWS), end, shades: shades(result, end), rules }
    }

    /// How long a bin is, in words: `1 s`.
    pub(super) fn bin_words(&self) -> String {
        format::span(f64::from(self.bins.width))
    }

    /// What a point of a binned line is; empty while a bin is a second.
    pub(super) fn bin_note(&self, rule: &str) -> String {
        if self.bins.width == 1 { String::new() } else { format!(" Each point is {rule} of {}.", self.bin_words()) }
    }

    /// A chart on this axis.
    pub(super) fn chart(&self, y: Axis, marks: Vec<Mark>, labels: Vec<EndLabel>, height: f64) -> Chart {
        let x = Axis::new(Scale::Linear { low: 0.0, high: self.end }, Kind::Time, "");
        Chart { x, y, marks, shades: self.shades.clone(), rules: self.rules.clone(), labels, height }
    }

    /// A line of binned values.
    pub(super) fn line(&self, ink: Ink, values: &Values) -> Mark {
        Mark::Line(ink, self.bins.middles().into_iter().zip(values.iter().copied()).collect())
    }

    /// The area between two binned lines.
    pub(super) fn band(&self, ink: Ink, low: &Values, high: &Values) -> Mark {
        let between = low.iter().zip(high).map(|(low, high)| low.zip(*high));
        Mark::Band(ink, self.bins.middles().into_iter().zip(between).collect())
    }

    /// A line's name at its last value.
    pub(super) fn label(&self, ink: Ink, word: &str, values: &Values) -> Option<EndLabel> {
        let at = values.iter().rev().flatten().next().copied()?;
        Some(EndLabel { at, word: word.to_owned(), ink })
    }

    /// The start of each table row.
    pub(super) fn row_times(&self) -> Vec<String> {
        (0..self.rows.len).map(|i| format::run_time(self.rows.start(i))).collect()
    }
}

/// Counts as binned values want them.
pub(super) fn counts(values: &[u64]) -> impl Iterator<Item = Option<f64>> + Clone + '_ {
    values.iter().map(|n| Some(*n as f64))
}

/// Optional counts as binned values want them.
pub(super) fn gaps(values: &[Option<u64>]) -> impl Iterator<Item = Option<f64>> + Clone + '_ {
    values.iter().map(|n| n.map(|n| n as f64))
}

/// Windows in which something was missing: from a loss until it is back, or until the end.
fn shades(result: &RunResult, end: f64) -> Vec<Shade> {
    let mut shades: Vec<Shade> = result
        .events
        .iter()
        .filter_map(|event| {
            let what = event.kind.strip_suffix("_lost")?;
            let back = format!("{what}_back");
            let until = result.events.iter().find(|e| e.kind == back && e.at_s >= event.at_s).map_or(end, |e| e.at_s);
            let named = result.sources.iter().find(|s| !s.name.is_empty() && event.text.contains(&s.name));
            let word = named.map_or_else(|| words(what), |source| words(&source.name));
            Some(Shade { start: within(event.at_s, end), end: within(until, end), word })
        })
        .collect();
    for source in &result.sources {
        let Some(at) = source.lost_at_s else { continue };
        let word = words(&source.name);
        // The event may name no one, or another second than the source's last interval.
        if !shades.iter().any(|s| s.word == word || (s.start - at).abs() < 5.0) {
            shades.push(Shade { start: within(at, end), end, word });
        }
    }
    shades.sort_by(|a, b| a.start.total_cmp(&b.start));
    shades
}

/// A time on the axis.
fn within(at: f64, end: f64) -> f64 {
    if at.is_nan() { 0.0 } else { at.clamp(0.0, end) }
}

fn words(what: &str) -> String {
    format!("{} lost", what.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{EventInfo, SourceInfo};

    fn event(at_s: f64, kind: &str) -> EventInfo {
        EventInfo { at_s, kind: kind.into(), text: String::new() }
    }

    #[test]
    fn a_loss_is_shaded_until_it_is_mended() {
        let result = RunResult {
            duration_s: 60.0,
            events: vec![event(10.0, "data_plane_lost"), event(20.0, "data_plane_back"), event(30.0, "worker_lost")],
            ..RunResult::default()
        };
        let shades = shades(&result, 60.0);
        assert_eq!(shades[0], Shade { start: 10.0, end: 20.0, word: "data plane lost".into() });
        assert_eq!(shades[1], Shade { start: 30.0, end: 60.0, word: "worker lost".into() });
    }

    #[test]
    fn a_lost_source_is_shaded_without_an_event() {
        let lost = SourceInfo { name: "worker-2".into(), lost_at_s: Some(5.0), ..SourceInfo::default() };
        let result = RunResult { sources: vec![lost], ..RunResult::default() };
        assert_eq!(shades(&result, 9.0)[0].word, "worker-2 lost");
    }
}
