//! All thresholds of a run, fed second by second: as the seconds arrive, or from what is stored of them.

use std::collections::BTreeMap;

use measure::{Interval, Metric};
use scenarios::Scenario;
use scenarios::model::Subject;

use super::numbers::{Judged, Numbers};
use super::track::{Found, Track};
use crate::slots::Slots;

/// So many seconds after its first receiver a message counts in fan-out, at the soonest: then it is settled.
const FANOUT_LATE_S: u32 = crate::fanout::GRACE_S + 1;

/// A threshold with `abort` that failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Abort {
    /// Which, by its place in the scenario.
    pub threshold: usize,
    /// What was measured, and when.
    pub found: Found,
}

/// What some of the thresholds judge, by seconds that are not judged yet.
#[derive(Clone, Debug)]
struct Feed {
    judged: Judged,
    /// How many seconds it is behind what all sources have shipped.
    late_s: u32,
    /// The first second that was not judged.
    next: u32,
    pending: BTreeMap<u32, Numbers>,
    /// Its thresholds, by their place in the scenario.
    of: Vec<usize>,
}

impl Feed {
    fn second(&mut self, second: u32) -> &mut Numbers {
        // What comes after its second was judged counts in the next one.
        self.pending.entry(second.max(self.next)).or_default()
    }
}

/// The thresholds of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    feeds: Vec<Feed>,
    tracks: Vec<Track>,
    abort: Option<Abort>,
}

impl Watches {
    /// The thresholds of this scenario; nothing has come yet.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let mut watches = Self::default();
        for (place, threshold) in scenario.thresholds.iter().enumerate() {
            watches.tracks.push(Track::new(threshold, scenario));
            let judged = Judged::by(threshold);
            match watches.feeds.iter_mut().find(|feed| feed.judged == judged) {
                Some(feed) => feed.of.push(place),
                None => watches.feeds.push(Feed {
                    judged,
                    late_s: if is_fanout(judged.subject) { FANOUT_LATE_S } else { 0 },
                    next: 0,
                    pending: BTreeMap::new(),
                    of: vec![place],
                }),
            }
        }
        watches
    }

    /// The thresholds of this scenario, judged by stored seconds; slots must be of one second.
    pub(crate) fn replay(scenario: &Scenario, slots: &Slots, stopped_s: Option<u32>) -> Self {
        let mut watches = Self::of(scenario);
        for (slot, second) in slots.iter().zip(0..) {
            for feed in &watches.feeds {
                let numbers = feed.judged.in_slot(slot);
                feed.of.iter().for_each(|track| watches.tracks[*track].push(second, &numbers, stopped_s));
            }
        }
        watches
    }

    /// Adds what was measured in a second.
    pub(crate) fn add(&mut self, second: u32, interval: &Interval) {
        for feed in &mut self.feeds {
            let numbers = feed.judged.of(interval);
            if !numbers.is_empty() {
                feed.second(second).add(&numbers);
            }
        }
    }

    /// Adds a sample of what the data plane derives itself.
    pub(crate) fn record(&mut self, second: u32, metric: Metric, micros: u64) {
        let judged = Judged { subject: Subject::Metric(metric), cohort: None };
        for feed in self.feeds.iter_mut().filter(|feed| feed.judged == judged) {
            feed.second(second).record(micros);
        }
    }

    /// Judges the seconds before `complete`.
    pub(crate) fn advance(&mut self, complete: u32, stopped_s: Option<u32>) {
        self.judge(|feed| complete.saturating_sub(feed.late_s), stopped_s);
    }

    /// Judges all that has come; nothing more will.
    pub(crate) fn finish(&mut self, complete: u32, stopped_s: Option<u32>) {
        let newest = |feed: &Feed| feed.pending.keys().next_back().map_or(0, |second| second.saturating_add(1));
        self.judge(|feed| complete.max(newest(feed)), stopped_s);
    }

    fn judge(&mut self, end: impl Fn(&Feed) -> u32, stopped_s: Option<u32>) {
        for feed in &mut self.feeds {
            let none = Numbers::default();
            let end = end(feed).max(feed.next);
            for second in feed.next..end {
                let numbers = feed.pending.remove(&second);
                for place in &feed.of {
                    let track = &mut self.tracks[*place];
                    track.push(second, numbers.as_ref().unwrap_or(&none), stopped_s);
                    if self.abort.is_none() && stopped_s.is_none() {
                        let found = track.stops(second).cloned();
                        self.abort = found.map(|found| Abort { threshold: *place, found });
                    }
                }
            }
            feed.next = end;
        }
    }

    /// How each threshold fares, in the scenario's order.
    pub(crate) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The first threshold with `abort` that failed.
    pub(crate) fn abort(&self) -> Option<&Abort> {
        self.abort.as_ref()
    }
}

fn is_fanout(subject: Subject) -> bool {
    use Metric::{FanoutFirst, FanoutLast, FanoutMedian, FanoutP99};
    matches!(subject, Subject::Metric(FanoutFirst | FanoutMedian | FanoutP99 | FanoutLast))
}
