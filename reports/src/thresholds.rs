//! What a scenario asks for against what was measured.

mod numbers;
mod sliding;
mod track;
mod watches;

use scenarios::model::{Aggregate, Subject, Threshold};

pub(crate) use watches::{Abort, Watches};

use crate::format;
use crate::result::ThresholdResult;
use crate::run::{ABORTED, RunState};
use numbers::{Judged, Numbers};
use track::Track;

/// Judges all thresholds of a run that took `duration_s` seconds, or that `goes_on` so long already.
pub(crate) fn judge(run: &RunState, duration_s: f64, goes_on: bool) -> Vec<ThresholdResult> {
    let scenario = &run.opened.scenario;
    // Once a run is over, what came late belongs to its own second. The slots of a run of hours are too wide for that:
    // there it stays with the second in which it was judged first.
    let replayed = (!goes_on && run.slots.width_s() == 1).then(|| {
        let ended_s = duration_s.max(0.0) as u32;
        Watches::replay(scenario, &run.slots, Some(run.stopped_s().map_or(ended_s, |at| at.min(ended_s))))
    });
    let tracks = replayed.as_ref().unwrap_or(&run.watches).tracks();
    let abort = stopped_by(run);
    let judged = scenario.thresholds.iter().zip(tracks).enumerate().map(|(place, (threshold, track))| {
        let mut result = one(run, duration_s, threshold, track);
        if let Some(abort) = abort.filter(|abort| abort.threshold == place) {
            result.stopped_run = true;
            // What came after it stopped the run may have been better; it failed all the same.
            if result.held != Some(false) {
                (result.held, result.measured) = (Some(false), Some(abort.found.measured));
            }
            result.first_failed_at_s.get_or_insert(abort.found.over.end.saturating_sub(1));
        }
        result
    });
    judged.collect()
}

fn one(run: &RunState, duration_s: f64, threshold: &Threshold, track: &Track) -> ThresholdResult {
    let (measured, held) = if threshold.phase.is_none() && threshold.window.is_none() {
        let judged = Judged::by(threshold);
        let mut numbers: Numbers = judged.of(&run.totals);
        numbers.add(&judged.of(&run.fanouts));
        let measured = numbers.aggregate(threshold, duration_s);
        (measured, measured.map(|m| threshold.comparison.holds(m, threshold.limit)))
    } else {
        (track.measured(), track.held())
    };
    ThresholdResult {
        text: threshold.text.clone(),
        held,
        measured,
        limit: threshold.limit,
        unit: unit(threshold).to_owned(),
        first_failed_at_s: track.first_failed_s(),
        window: track.windows(),
        unjudged: measured.map_or_else(|| track.why_none(), |_| String::new()),
        ..ThresholdResult::default()
    }
}

/// The threshold that has stopped the run, if one has.
fn stopped_by(run: &RunState) -> Option<&Abort> {
    run.watches.abort().filter(|_| run.events.iter().any(|event| event.kind == ABORTED))
}

/// Why the run must stop, in words; empty if it need not.
pub(crate) fn abort(run: &RunState) -> String {
    let Some(Abort { threshold, found }) = run.watches.abort() else { return String::new() };
    let threshold = &run.opened.scenario.thresholds[*threshold];
    let measured = format::in_unit(found.measured, unit(threshold));
    let (from, to) = (format::run_time(found.over.start.into()), format::run_time(found.over.end.into()));
    format!("asked {}, measured {measured} from {from} to {to}", threshold.text)
}

fn unit(threshold: &Threshold) -> &'static str {
    match (threshold.aggregate, threshold.subject) {
        (Aggregate::Rate, _) => "per_s",
        (Aggregate::Count, _) | (_, Subject::Counter(_)) => "count",
        (_, Subject::Metric(_)) => "us",
    }
}

#[cfg(test)]
mod tests;
