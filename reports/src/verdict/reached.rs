//! Whether the rates that the scenario asks for were reached, and whose doing it was if they were not.

use std::time::Duration;

use measure::{Cohort, Counter, Metric, Series};
use proto::telemetry::CloseRequest;
use scenarios::model::{Action, ActionKind, CohortSpec};

use super::Shortfall;
use crate::format::{count, counted, number, percent, span};
use crate::result::{GapInfo, RunResult};
use crate::run::RunState;

/// A run that reached less than this share of a rate says nothing about that rate. Users and starts are held to 99 %,
/// because they are the generator's to give; that a service refuses a few calls in a hundred under load is something that
/// is counted and can be asked for by a threshold, and makes another load of it only when it adds up.
const REACHED_MIN: f64 = 0.95;

/// Below this share readers should know.
const REACHED_FULLY: f64 = 0.99;

/// Arrivals are due to chance, unless they are even: so many standard deviations of their number are no shortfall. One run
/// in thirty thousand has fewer.
const SIGMAS: f64 = 4.0;

/// Levels are taken once a second, and the last to join may take another until they are connected.
const JOINED_LATE_S: f64 = 2.0;

/// Joining may take so many times as long as it should.
const JOINED_LATE: f64 = 1.1;

/// One kind of action of one cohort, as it was asked for and as it was reached.
struct Rate {
    cohort: Cohort,
    name: String,
    verb: &'static str,
    seconds: f64,
    asked: f64,
    reached: f64,
}

impl Rate {
    fn is_below(&self, share: f64) -> bool {
        self.asked > 0.0 && self.reached < self.asked * share - SIGMAS * self.asked.sqrt()
    }

    fn words(&self) -> String {
        format!(
            "{} were asked to {} {}/s, and reached {}/s ({})",
            self.name,
            self.verb,
            number(self.asked / self.seconds),
            number(self.reached / self.seconds),
            percent(self.reached, self.asked)
        )
    }
}

/// Rates so far below what was asked that the run is not the one that was meant.
pub(super) fn sends(run: &RunState, gaps: &[GapInfo], close: &CloseRequest) -> Vec<Shortfall> {
    let end = run.told_at(close.ended_ns);
    let below = rates(run, gaps, end).into_iter().filter(|rate| rate.is_below(REACHED_MIN));
    below.map(|rate| whose(run, &rate)).collect()
}

/// What stopped it: calls that the service refused or held back, or a generator that did not get to them.
fn whose(run: &RunState, rate: &Rate) -> Shortfall {
    let of = |counter: Counter| -> u64 {
        let counted = run.totals.counters.iter().filter(|(k, _)| k.counter == counter && k.cohort == Some(rate.cohort));
        counted.map(|(_, n)| n).sum()
    };
    let (failed, dropped) = (of(Counter::CallFailed), of(Counter::Dropped));
    let missing = rate.asked - rate.reached;
    let words = rate.words();
    if ((failed + dropped) as f64) < missing / 2.0 {
        return Shortfall::OfTheGenerator(format!(
            "{words}: the rest was not even tried. Add workers, or ask for less."
        ));
    }
    Shortfall::OfTheTarget(format!(
        "{words}: {} failed, {} not started because their user was not connected or too many were on their way. Find out why \
         the service refuses or holds back calls, or ask for less.",
        counted(failed, "call", "calls"),
        count(dropped)
    ))
}

/// What readers should know of rates, although the run counts.
pub(crate) fn doubts(run: &RunState, result: &RunResult) -> Vec<String> {
    let rates = rates(run, &result.gaps, result.duration_s).into_iter();
    let below = rates.filter(|rate| rate.is_below(REACHED_FULLY) && !rate.is_below(REACHED_MIN));
    below.map(|rate| format!("{}.", rate.words())).chain(joins(run, result)).collect()
}

/// What was asked and reached of each kind of action until the run's load ended. Not of reactions, which need a message to
/// react to, nor of cohorts whose users come and go, where who is away does nothing. Nothing is asked of users who are
/// without a worker: that is told as their gap.
fn rates(run: &RunState, gaps: &[GapInfo], ended_s: f64) -> Vec<Rate> {
    let scenario = &run.opened.scenario;
    let planned = scenario.timeline().end.as_secs_f64();
    let stopped = run.stopped_s().map_or(planned, f64::from);
    // What nobody shipped anything of is told as missing, and not as slow.
    let shipped = run.slots.iter().len() as f64 * f64::from(run.slots.width_s());
    let end = planned.min(stopped).min(shipped).min(ended_s.max(0.0));
    let mut rates = Vec::new();
    for (cohort, spec) in (0..).zip(&scenario.cohorts).filter(|(_, spec)| spec.lifetime.is_none() && spec.users > 0) {
        let begin = spec.ramp_delay.as_secs_f64();
        let asked = |actions: &mut dyn Iterator<Item = &Action>| {
            let between = |action: &Action| {
                let profile = scenario.rate_profile(action);
                let until = |s: f64| profile.expected_until(Duration::from_secs_f64(s.clamp(begin, end.max(begin))));
                let missing = |gap: &GapInfo| {
                    let share = gap.users as f64 / scenario.users().max(1) as f64;
                    share * (until(gap.to_s + returning(spec, share)) - until(gap.from_s))
                };
                until(end) - until(begin) - gaps.iter().map(missing).sum::<f64>()
            };
            actions.map(between).sum::<f64>()
        };
        for (metric, verb, is_kind) in KINDS {
            let asked = asked(&mut spec.actions.iter().filter(|action| is_kind(&action.kind)));
            let series = Series { metric, cohort: Some(cohort) };
            let reached = run.totals.histograms.get(&series).map_or(0, measure::Histogram::count) as f64;
            if end > begin && asked > 0.0 {
                rates.push(Rate { cohort, name: spec.name.clone(), verb, seconds: end - begin, asked, reached });
            }
        }
    }
    rates
}

/// How long users of a cohort who were taken over took to return, on average: all of them as fast as its ramp lets them join.
fn returning(spec: &CohortSpec, share: f64) -> f64 {
    spec.users as f64 * share / spec.ramp_rate / 2.0
}

type IsKind = fn(&ActionKind) -> bool;

/// The kinds of actions whose number follows from the schedule alone.
const KINDS: [(Metric, &str, IsKind); 3] = [
    (Metric::Send, "send", |kind| matches!(kind, ActionKind::Send { .. })),
    (Metric::Typing, "type", |kind| matches!(kind, ActionKind::Typing)),
    (Metric::Read, "mark as read", |kind| matches!(kind, ActionKind::Read)),
];

/// Users who were there in the end, but much later than they should have been.
fn joins(run: &RunState, result: &RunResult) -> Option<String> {
    let line = &result.timeline;
    let comes_and_goes = run.opened.scenario.cohorts.iter().any(|cohort| cohort.lifetime.is_some());
    let most = line.users_planned.iter().copied().max().filter(|most| *most > 0 && !comes_and_goes)?;
    let enough = (most as f64 * REACHED_FULLY).ceil() as u64;
    let when = |levels: &[u64]| {
        let at = levels.iter().position(|level| *level >= enough)?;
        Some(f64::from(*line.seconds.get(at)? + run.slots.width_s()))
    };
    let (asked, reached) = (when(&line.users_planned)?, when(&line.users_connected)?);
    (reached > asked * JOINED_LATE + JOINED_LATE_S).then(|| {
        let (rate, was) = (most as f64 / asked, most as f64 / reached);
        format!(
            "Users were asked to join at {}/s, and joined at {}/s ({}): {} were connected after {} instead of {}. Find out why \
             the service takes connections so slowly, or lower the ramp's rate.",
            number(rate),
            number(was),
            percent(was, rate),
            counted(enough, "user", "users"),
            span(reached),
            span(asked)
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::result::{Outcome, RunResult};
    use crate::testing::{count, healthy, level, result, run};
    use measure::{Counter, Gauge, Interval, Metric};

    fn judged(change: impl Fn(usize, &mut Interval)) -> RunResult {
        let second = |i| {
            let mut interval = healthy();
            change(i, &mut interval);
            interval
        };
        result(&run("  - lost: count == 0\n", (0..10).map(second)))
    }

    /// Of 50 messages 28 are more than chance takes away; none at all from the fifth second on are not.
    fn short(from: usize) -> impl Fn(usize, &mut Interval) {
        move |s, i| {
            if s >= from {
                i.histograms.retain(|series, _| series.metric != Metric::Send);
            }
        }
    }

    #[test]
    fn chance_is_no_shortfall() {
        let result = judged(short(6));
        assert_eq!(result.verdict.outcome, Outcome::Passed, "{:?}", result.verdict);
    }

    #[test]
    fn a_rate_that_was_not_reached_says_so_and_whose_doing_it_was() {
        let result = judged(short(3));
        assert_eq!(result.verdict.outcome, Outcome::Invalid);
        let reason = result.verdict.reasons[0].replace('\u{a0}', " ");
        assert!(
            reason.starts_with("fans were asked to send 5.00/s, and reached 1.50/s (30.0 %): the rest was not"),
            "{reason}"
        );
        let result = judged(|s, i| {
            short(3)(s, i);
            count(i, Counter::CallFailed, if s >= 3 { 5 } else { 0 });
        });
        assert_eq!(result.verdict.outcome, Outcome::Failed);
        assert!(result.verdict.reasons[0].contains("35"), "{:?}", result.verdict);
    }

    #[test]
    fn nothing_is_asked_of_users_without_a_worker() {
        let run = run(
            "  - lost: count == 0\n",
            (0..10).map(|s| {
                let mut interval = healthy();
                short(2)(s, &mut interval);
                interval
            }),
        );
        let judged = |to_s: f64| super::rates(&run, &[super::GapInfo { users: 10, from_s: 2.0, to_s }], 10.0).remove(0);
        assert!(judged(2.0).is_below(super::REACHED_MIN), "the gap of nobody");
        let rate = judged(10.0);
        assert!(
            (rate.asked - 10.0).abs() < 0.01 && !rate.is_below(super::REACHED_FULLY),
            "{} {}",
            rate.asked,
            rate.reached
        );
    }

    #[test]
    fn joining_slowly_is_told() {
        let slowly = |s: usize, i: &mut Interval| level(i, Gauge::UsersConnected, (s as i64 + 2).min(10));
        let result = judged(slowly);
        assert_eq!(result.verdict.outcome, Outcome::Passed);
        let doubts: Vec<_> = result.doubts.iter().map(|d| d.replace('\u{a0}', " ")).collect();
        assert!(
            doubts.iter().any(|d| d.starts_with("Users were asked to join at 10.0/s, and joined at 1.11/s")),
            "{doubts:?}"
        );
    }
}
