//! How one threshold fares, second by second: the same for a run that goes on and for one that is over.

use std::ops::Range;
use std::time::Duration;

use measure::Counter;
use scenarios::Scenario;
use scenarios::model::{Aggregate, Comparison, Subject, Threshold};

use super::numbers::Numbers;
use super::sliding::Sliding;
use crate::result::WindowInfo;

/// What was measured over some seconds of the run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// In the unit of the limit.
    pub measured: f64,
    /// The seconds that it was measured over.
    pub over: Range<u32>,
}

/// A threshold and what has come of it so far.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    threshold: Threshold,
    /// The seconds that it is about; without end where it takes in what comes while the run drains.
    seconds: Range<u32>,
    /// No load is planned from this second on.
    load_end: u32,
    /// All seconds so far; unused with a window.
    sum: Numbers,
    sliding: Option<Sliding>,
    /// Seconds that were taken in.
    taken: u32,
    window: WindowInfo,
    first_failed_s: Option<u32>,
    /// The newest verdict, if it is that it doesn't hold.
    failing: Option<Found>,
}

impl Track {
    /// A threshold of a scenario, of which nothing has come yet.
    pub(crate) fn new(threshold: &Threshold, scenario: &Scenario) -> Self {
        let timeline = scenario.timeline();
        let whole = |d: Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
        let end = whole(timeline.end);
        let phase = threshold.phase.as_deref().and_then(|name| timeline.seconds_of(name));
        let (seconds, load_end) = match phase {
            Some(phase) if phase.end >= end => (phase.start..u32::MAX, phase.end),
            Some(phase) => (phase.clone(), phase.end),
            None => (0..u32::MAX, end),
        };
        Self {
            threshold: threshold.clone(),
            seconds,
            load_end,
            sum: Numbers::default(),
            sliding: threshold.window.map(Sliding::new),
            taken: 0,
            window: WindowInfo { length_s: threshold.window.unwrap_or(0), ..WindowInfo::default() },
            first_failed_s: None,
            failing: None,
        }
    }

    /// Takes the next second; after `stopped_s` there was no load any more.
    pub(crate) fn push(&mut self, second: u32, numbers: &Numbers, stopped_s: Option<u32>) {
        self.failing = None;
        let load_end = stopped_s.map_or(self.load_end, |at| self.load_end.min(at));
        if !self.seconds.contains(&second) || (second >= load_end && self.needs_load()) {
            return;
        }
        self.taken += 1;
        match self.sliding.as_mut().map(|window| window.push(numbers)) {
            Some(sum) => sum.into_iter().for_each(|sum| self.judge_window(second, &sum)),
            None => {
                self.sum.add(numbers);
                self.judge_so_far(second);
            }
        }
    }

    /// Whether seconds without load would be judged for what they can't have.
    fn needs_load(&self) -> bool {
        match self.threshold.window {
            Some(_) => self.threshold.is_lower_bound(),
            None => self.threshold.phase.is_some() && self.threshold.aggregate == Aggregate::Rate,
        }
    }

    fn judge_window(&mut self, second: u32, sum: &Numbers) {
        let length = self.window.length_s;
        let Some(measured) = sum.aggregate(&self.threshold, f64::from(length)) else {
            self.window.empty += 1;
            return;
        };
        let over = second + 1 - length..second + 1;
        self.window.judged += 1;
        if self.window.worst.is_none_or(|worst| self.is_worse(measured, worst)) {
            (self.window.worst, self.window.from_s, self.window.to_s) = (Some(measured), over.start, over.end);
        }
        if !self.threshold.comparison.holds(measured, self.threshold.limit) {
            self.window.failed += 1;
            self.fail(second, measured, over);
        }
    }

    /// What has come until now may be too much already. Whether it is enough is known at the end only; and so is a count
    /// that is told when watching ends.
    fn judge_so_far(&mut self, second: u32) {
        let Threshold { subject, comparison, limit, .. } = self.threshold;
        if matches!(subject, Subject::Counter(Counter::Expected | Counter::Delivered)) {
            return;
        }
        let Some(measured) = self.over_all() else { return };
        let is_over = second + 1 == self.seconds.end;
        let fails = match comparison {
            _ if is_over => !comparison.holds(measured, limit),
            Comparison::Less | Comparison::LessOrEqual => !comparison.holds(measured, limit),
            Comparison::Equal => measured > limit,
            Comparison::Greater | Comparison::GreaterOrEqual => false,
        };
        if fails {
            self.fail(second, measured, self.seconds.start..second + 1);
        }
    }

    fn fail(&mut self, second: u32, measured: f64, over: Range<u32>) {
        self.first_failed_s.get_or_insert(second);
        self.failing = Some(Found { measured, over });
    }

    fn is_worse(&self, measured: f64, than: f64) -> bool {
        match self.threshold.comparison {
            Comparison::Less | Comparison::LessOrEqual => measured > than,
            Comparison::Greater | Comparison::GreaterOrEqual => measured < than,
            Comparison::Equal => (measured - self.threshold.limit).abs() > (than - self.threshold.limit).abs(),
        }
    }

    /// Why the run must stop after this second, if it must.
    pub(crate) fn stops(&self, second: u32) -> Option<&Found> {
        let after = self.threshold.abort_after?;
        let since = Duration::from_secs(u64::from((second + 1).saturating_sub(self.seconds.start)));
        self.failing.as_ref().filter(|_| since >= after && second < self.load_end)
    }

    /// The number over all seconds that were taken in; of a threshold with a window, that of the worst one.
    pub(crate) fn measured(&self) -> Option<f64> {
        if self.sliding.is_some() { self.window.worst } else { self.over_all().filter(|_| self.taken > 0) }
    }

    /// Whether it held; `None` when there was nothing to judge.
    pub(crate) fn held(&self) -> Option<bool> {
        let holds = |measured| self.threshold.comparison.holds(measured, self.threshold.limit);
        match self.sliding {
            Some(_) => (self.window.judged > 0).then_some(self.window.failed == 0),
            None => self.measured().map(holds),
        }
    }

    fn over_all(&self) -> Option<f64> {
        self.sum.aggregate(&self.threshold, f64::from(self.taken))
    }

    /// The first second after which it did not hold.
    pub(crate) fn first_failed_s(&self) -> Option<u32> {
        self.first_failed_s
    }

    /// Its windows, if it has any.
    pub(crate) fn windows(&self) -> Option<WindowInfo> {
        self.sliding.is_some().then_some(self.window)
    }

    /// Why there is no number, in words.
    pub(crate) fn why_none(&self) -> String {
        let full = self.window.empty;
        match (&self.threshold.phase, self.threshold.window) {
            (Some(phase), _) if self.taken == 0 => format!("the run ended before a whole second of phase {phase}"),
            (_, Some(length)) if full == 0 => format!("the run ended before a full window of {length} s"),
            _ => "nothing was measured to judge it by".to_owned(),
        }
    }
}
