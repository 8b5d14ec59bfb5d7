//! Thresholds: what they judge, and whether that is measured at all.

use measure::{Counter, Metric};

use super::expression::{self, Condition};
use super::extent::{self, Extent};
use super::{Check, Kind, measured};
use crate::decode::nearest;
use crate::diagnostic::quoted;
use crate::language::ThresholdEntry;
use crate::model::{Aggregate, Comparison, Scenario, Subject, Threshold};
use crate::timeline::Timeline;

/// Conditions of a run.
const MOST_THRESHOLDS: usize = 1_000;
/// Where the histograms end, in microseconds: longer samples count as 60 s.
const HISTOGRAM_END: f64 = 60e6;

impl Check<'_> {
    pub(super) fn thresholds(&mut self, scenario: &Scenario) -> Vec<Threshold> {
        let field = &self.file.thresholds;
        let list = field.get().map(|list| &list.items);
        let timeline = scenario.timeline();
        if list.is_some_and(|items| items.len() > MOST_THRESHOLDS) {
            self.error(field.key, "there are too many thresholds", format!("{MOST_THRESHOLDS} are the most"));
            return Vec::new();
        }
        list.into_iter().flatten().filter_map(|item| self.threshold(&item.value, scenario, &timeline)).collect()
    }

    fn threshold(&mut self, entry: &ThresholdEntry, scenario: &Scenario, timeline: &Timeline) -> Option<Threshold> {
        let (name, cohort_name) = match entry.subject.split_once('.') {
            Some((name, cohort)) => (name, Some(cohort)),
            None => (entry.subject.as_str(), None),
        };
        let subject = self.subject(name, entry);
        let condition = self.condition(entry, subject);
        let Extent { phase, window, abort_after } = self.extent(&entry.extent, timeline);
        let cohort = match cohort_name {
            Some(cohort) => {
                let span = entry.subject_span.part(name.len() + 1, entry.subject.len());
                Some(self.resolve(Kind::Cohort, cohort, span).and_then(|index| u16::try_from(index).ok())?)
            }
            None => None,
        };
        let subject = subject?;
        // What was refused may be what would be measured.
        if !self.vague
            && let Err((message, hint)) = measured::check(subject, cohort, scenario)
        {
            self.error(entry.subject_span, message, hint);
        }
        let Condition { aggregate, comparison, limit } = condition?;
        self.fits(entry, subject, aggregate)?;
        self.possible(entry, aggregate, comparison, limit);
        let text = format!("{}: {}{}", entry.subject, entry.condition.raw, extent::words(phase.as_deref(), window));
        let threshold = Threshold { text, subject, cohort, aggregate, comparison, limit, phase, window, abort_after };
        self.known_in_time(entry, &threshold, timeline);
        Some(threshold)
    }

    fn condition(&mut self, entry: &ThresholdEntry, subject: Option<Subject>) -> Option<Condition> {
        let scalar = &entry.condition;
        if scalar.raw.is_empty() {
            return None;
        }
        match expression::parse(&scalar.value) {
            Ok(condition) => Some(condition),
            Err(_) if scalar.has_variables() => {
                let message = format!("the value of {} is not a condition", quoted(&scalar.raw));
                self.error(entry.condition_span, message, "a condition reads `p(99) < 250ms`");
                None
            }
            Err(wrong) => {
                // Whoever asks for a count's percentile has not got its limit's unit wrong.
                if let Some((subject, aggregate)) = subject.zip(wrong.aggregate) {
                    self.fits(entry, subject, aggregate)?;
                }
                let span = entry.condition_span;
                // Quotes shift the text by one; escapes and folded lines leave only the whole to point at.
                let span = match (span.end - span.start).checked_sub(scalar.raw.len()) {
                    Some(0) => span.part(wrong.part.start, wrong.part.end),
                    Some(2) => span.part(wrong.part.start + 1, wrong.part.end + 1),
                    _ => span,
                };
                self.error(span, wrong.message, wrong.hint);
                None
            }
        }
    }

    fn subject(&mut self, name: &str, entry: &ThresholdEntry) -> Option<Subject> {
        let metric = Metric::from_name(name).map(Subject::Metric);
        let found = metric.or_else(|| Counter::from_name(name).map(Subject::Counter));
        if found.is_none() {
            let names = || {
                Metric::ALL.iter().map(|metric| metric.name()).chain(Counter::ALL.iter().map(|counter| counter.name()))
            };
            let known = name.split_once(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(|(known, _)| known);
            let of_cohort = known.filter(|known| names().any(|name| name == *known));
            let hint = nearest(name, names())
                .or_else(|| of_cohort.map(|known| format!("what one cohort feels is written `{known}.COHORT`")))
                .unwrap_or_else(|| format!("these are measured: {}", names().collect::<Vec<_>>().join(", ")));
            let span = entry.subject_span.part(0, name.len());
            self.error(span, format!("nothing that is measured is called {}", quoted(name)), hint);
        }
        found
    }

    /// Counts have no percentiles.
    fn fits(&mut self, entry: &ThresholdEntry, subject: Subject, aggregate: Aggregate) -> Option<()> {
        match (subject, aggregate) {
            (Subject::Metric(_), _) | (Subject::Counter(_), Aggregate::Count | Aggregate::Rate) => Some(()),
            (Subject::Counter(counter), _) => {
                let message = format!(
                    "{} is a count, not a latency: it has no percentiles, mean, min or max",
                    quoted(counter.name())
                );
                self.error(entry.condition_span, message, "write `count == 0` or `rate > 100/s`");
                None
            }
        }
    }

    /// Conditions that hold never, or always.
    fn possible(&mut self, entry: &ThresholdEntry, aggregate: Aggregate, comparison: Comparison, limit: f64) {
        if limit == 0.0 && comparison == Comparison::Less {
            self.error(
                entry.condition_span,
                "nothing is less than 0: this can never hold",
                "write `== 0`, or a limit above 0",
            );
        } else if limit == 0.0 && comparison == Comparison::GreaterOrEqual {
            self.error(
                entry.condition_span,
                "everything is at least 0: this always holds",
                "write `> 0`, or a limit above 0",
            );
        }
        let is_time = !matches!(aggregate, Aggregate::Count | Aggregate::Rate);
        if is_time && limit > HISTOGRAM_END {
            let message = "latencies are measured up to 60s: longer ones count as 60s";
            self.error(entry.condition_span, message, "give a limit of at most `60s`");
        }
    }
}
