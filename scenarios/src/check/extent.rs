//! Over what a threshold must hold: a phase, every window, and whether a failure can stop the run in time.

use std::time::Duration;

use measure::Counter;

use super::Check;
use crate::decode::nearest;
use crate::diagnostic::quoted;
use crate::language::{self, ThresholdEntry};
use crate::leaf::Time;
use crate::model::{Subject, Threshold};
use crate::timeline::Timeline;

/// Measurements are taken once a second.
const SECOND: Duration = Duration::from_secs(1);

/// Over what a threshold must hold, and when a failure stops the run.
pub(super) struct Extent {
    pub(super) phase: Option<String>,
    pub(super) window: Option<u32>,
    pub(super) abort_after: Option<Duration>,
}

/// Names of phases that an error lists.
const LISTED: usize = 20;

impl Check<'_> {
    /// What was refused counts as left out.
    pub(super) fn extent(&mut self, extent: &language::Extent, timeline: &Timeline) -> Extent {
        let phase = self.phase_of(extent, timeline);
        let seconds = phase.as_deref().and_then(|name| timeline.seconds_of(name));
        let length = match &seconds {
            Some(seconds) => Duration::from_secs(seconds.len() as u64),
            // Of phases that were refused nobody knows how long they are.
            None if extent.phase.given || self.phases_are_vague() => Duration::MAX,
            None => timeline.end,
        };
        let what = phase.as_ref().map_or_else(|| "the run".to_owned(), |name| format!("the phase `{name}`"));
        let window = self.window_of(extent, length, &what);
        Extent { phase, window, abort_after: self.abort_of(extent, length, &what) }
    }

    fn phases_are_vague(&self) -> bool {
        let (hold, phases) = (&self.file.hold, &self.file.phases);
        let list = phases.get();
        (hold.given && hold.get().is_none())
            || (phases.given && list.is_none_or(|list| list.partial))
            || (!hold.given && !phases.given)
    }

    fn phase_of(&mut self, extent: &language::Extent, timeline: &Timeline) -> Option<String> {
        let name = &extent.phase.get()?.0;
        let Some(seconds) = timeline.seconds_of(name) else {
            if !self.phases_are_vague() && !self.errors.is_full() {
                let names = || timeline.phases.iter().map(|(name, ..)| name.as_str());
                let all = || names().take(LISTED).collect::<Vec<_>>().join(", ");
                let hint = nearest(name, names()).unwrap_or_else(|| format!("the phases are: {}", all()));
                self.error(extent.phase.span, format!("there is no phase {}", quoted(name)), hint);
            }
            return None;
        };
        if seconds.is_empty() && !self.phases_are_vague() {
            let message = format!("the phase {} has no whole second, so nothing can be judged in it", quoted(name));
            self.error(extent.phase.span, message, "let it last longer, or judge another phase");
            return None;
        }
        Some(name.clone())
    }

    fn window_of(&mut self, extent: &language::Extent, length: Duration, what: &str) -> Option<u32> {
        let Time(window) = *extent.window.get()?;
        let span = extent.window.span;
        if window < SECOND {
            self.error(span, "a window of less than 1s: measurements are taken once a second", "give at least `1s`");
        } else if window.subsec_nanos() > 0 {
            let hint = format!("write `{}s`", window.as_secs());
            self.error(span, "a window is of whole seconds: measurements are taken once a second", hint);
        } else if window > length {
            let message = format!("the window is longer than {what}, so there is never a full one");
            let whole = length.as_secs();
            let hint = match whole {
                0 => "leave `window` out".to_owned(),
                whole => format!("give at most `{whole}s`, or leave `window` out"),
            };
            self.error(span, message, hint);
        } else {
            return u32::try_from(window.as_secs()).ok();
        }
        None
    }

    fn abort_of(&mut self, extent: &language::Extent, length: Duration, what: &str) -> Option<Duration> {
        let (abort, after) = (extent.abort.get().is_some_and(|abort| abort.0), extent.after.get());
        let refused = extent.abort.given && extent.abort.get().is_none();
        if extent.after.given && !abort && !refused {
            let hint = "add `abort: true`, or remove `after`";
            self.error(extent.after.key, "`after` delays an abort, and this threshold has none", hint);
        }
        if let Some(Time(after)) = after
            && *after >= length
        {
            let hint = "give a shorter time, or remove `abort` and `after`";
            self.error(extent.after.span, format!("{what} is over by then, so nothing would be stopped"), hint);
        }
        abort.then(|| after.map_or(Duration::ZERO, |after| after.0))
    }

    /// What is only known when users leave or the run ends can't be told by phase or window, nor stop the run.
    pub(super) fn known_in_time(&mut self, entry: &ThresholdEntry, threshold: &Threshold, timeline: &Timeline) {
        let extent = &entry.extent;
        let part = match (threshold.window, &threshold.phase) {
            (Some(_), _) => Some(extent.window.key),
            (None, Some(_)) => Some(extent.phase.key),
            (None, None) => None,
        };
        if let (Subject::Counter(counter), Some(key)) = (threshold.subject, part)
            && matches!(counter, Counter::Expected | Counter::Delivered | Counter::Lost | Counter::Unsettled)
        {
            let name = counter.name();
            let message = format!("`{name}` is counted when a user stops watching, not when it happens");
            self.error(key, message, "judge it over the whole run; `messages_received` is counted at once");
            return;
        }
        let end = u32::try_from(timeline.end.as_secs()).unwrap_or(u32::MAX);
        let seconds = threshold.phase.as_deref().and_then(|name| timeline.seconds_of(name));
        let to_the_end = seconds.is_none_or(|seconds| seconds.end >= end);
        if threshold.abort_after.is_some() && threshold.window.is_none() && threshold.is_lower_bound() && to_the_end {
            let message = "whether there is enough is only known at the end, when there is nothing left to stop";
            self.error(extent.abort.key, message, "add a `window`, such as `window: 10s`, or remove `abort`");
        }
    }
}

/// Over what a threshold must hold, behind its condition.
pub(super) fn words(phase: Option<&str>, window: Option<u32>) -> String {
    let window = window.map(|seconds| format!(" in every {seconds}s")).unwrap_or_default();
    let joined = if window.is_empty() { " in" } else { " of" };
    let phase = phase.map(|name| format!("{joined} phase {name}")).unwrap_or_default();
    format!("{window}{phase}")
}
