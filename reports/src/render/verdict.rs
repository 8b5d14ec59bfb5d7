//! Section 1: passed, failed, or invalid, and what it is the verdict of.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::name;
use crate::RunResult;
use crate::format;
use crate::result::Outcome;

/// The verdict with its surroundings, ready to be shown.
pub(super) struct Verdict {
    /// `passed`, `failed`, `invalid`, `running`: also its class.
    pub(super) class: &'static str,
    /// Its mark, for those who see no colours.
    pub(super) mark: &'static str,
    /// The word, with `interrupted` where it was.
    pub(super) word: String,
    /// The first reason, in the same line.
    pub(super) line: String,
    /// Further reasons.
    pub(super) more: Vec<String>,
    /// The scenario's name.
    pub(super) name: String,
    /// What the scenario is for.
    pub(super) description: String,
    /// That it was a rehearsal, and what that means.
    pub(super) rehearsed: Option<String>,
    /// Scenario, target, when, how long, users: names and values.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// The verdict of a result.
pub(super) fn of(result: &RunResult) -> Verdict {
    let (class, mark) = match result.verdict.outcome {
        Outcome::Passed => ("passed", "✓"),
        Outcome::Failed => ("failed", "✗"),
        Outcome::Invalid => ("invalid", "?"),
        Outcome::Running => ("running", "▸"),
    };
    let mut reasons = result.verdict.reasons.clone();
    if result.verdict.interrupted && reasons.is_empty() {
        reasons.push("stopped before its end; what was measured until then is below".into());
    }
    let line = match (reasons.is_empty(), result.verdict.outcome) {
        (false, _) => reasons.remove(0),
        (true, Outcome::Passed) => all_held(result),
        (true, Outcome::Failed) => "a threshold did not hold".into(),
        (true, Outcome::Running) => "nothing is judged before the end".into(),
        (true, Outcome::Invalid) => "nothing was measured that could be judged".into(),
    };
    Verdict {
        class,
        mark,
        word: word(result),
        line,
        more: reasons,
        name: name(result).to_owned(),
        description: result.scenario.description.clone(),
        rehearsed: result.rehearsed.as_ref().map(|rehearsed| rehearsed.note.clone()),
        facts: facts(result),
    }
}

/// The verdict in a word or two.
pub(super) fn word(result: &RunResult) -> String {
    let word = match result.verdict.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Invalid => "invalid",
        Outcome::Running => "running",
    };
    let word = if result.rehearsed.is_some() { format!("rehearsed, {word}") } else { word.to_owned() };
    if result.verdict.interrupted { format!("{word}, interrupted") } else { word }
}

/// What a passed run has to say for itself.
pub(super) fn all_held(result: &RunResult) -> String {
    if result.rehearsed.is_some() {
        return "simulated users would have passed, and everything that ran for them held".into();
    }
    match (result.thresholds.len(), result.completeness.lost) {
        (0, 0) => "it asked for nothing; nothing was lost".into(),
        (0, _) => "it asked for nothing".into(),
        (1, _) => "its threshold held, and the measurement can be trusted".into(),
        (n, _) => format!("all {n} thresholds held, and the measurement can be trusted"),
    }
}

fn facts(result: &RunResult) -> Vec<(&'static str, String)> {
    let target = match (result.bundled, result.target.is_empty()) {
        _ if result.rehearsed.is_some() => "none: a rehearsal".into(),
        (true, true) => "the bundled chat server".into(),
        (true, false) => format!("the bundled chat server, {}", result.target),
        (false, true) => "not known".into(),
        (false, false) => result.target.clone(),
    };
    vec![
        ("Target", target),
        ("Started", when(&result.started_at)),
        (if super::running(result) { "So far" } else { "Lasted" }, format::span(result.duration_s)),
        ("Users", reached(result)),
    ]
}

fn reached(result: &RunResult) -> String {
    let (planned, reached) = (result.users.planned, result.users.connected_max);
    if planned == 0 && reached == 0 {
        "none planned, none connected".into()
    } else if super::running(result) && reached < planned {
        format!("{} planned, {} connected until now", format::count(planned), format::count(reached))
    } else if planned == reached {
        format!("{} planned, all connected at once", format::count(planned))
    } else {
        format!("{} planned, at most {} connected at once", format::count(planned), format::count(reached))
    }
}

/// An instant as people write it, in UTC; the text itself where it isn't one.
pub(super) fn when(instant: &str) -> String {
    match instant.parse::<Timestamp>() {
        Ok(at) => at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y, %H:%M:%S UTC").to_string(),
        Err(_) if instant.is_empty() => "never".into(),
        Err(_) => instant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::VerdictInfo;

    #[test]
    fn an_instant_is_written_as_people_do() {
        assert_eq!(when("2026-11-24T03:04:05.678Z"), "24 November 2026, 03:04:05 UTC");
        assert_eq!(when(""), "never");
        assert_eq!(when("yesterday"), "yesterday");
    }

    #[test]
    fn a_rehearsal_is_never_taken_for_a_run() {
        let verdict = VerdictInfo { outcome: Outcome::Passed, ..VerdictInfo::default() };
        let rehearsed = Some(crate::result::Rehearsed::at(10.0));
        let result = RunResult { verdict, rehearsed, ..RunResult::default() };
        let verdict = of(&result);
        assert_eq!(verdict.word, "rehearsed, passed");
        assert!(verdict.rehearsed.is_some_and(|note| note.contains("no service was measured")));
        assert!(!verdict.line.contains("trusted"), "{}", verdict.line);
        assert!(super::super::text::summary(&result).contains("no service was measured"));
    }

    #[test]
    fn an_empty_result_is_invalid_and_says_why() {
        let verdict = of(&RunResult::default());
        assert_eq!((verdict.class, verdict.word.as_str()), ("invalid", "invalid"));
        assert!(verdict.line.contains("nothing was measured"), "{}", verdict.line);
    }
}
