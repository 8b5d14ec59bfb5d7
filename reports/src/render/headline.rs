//! Section 2: six numbers, each with where it is measured from and to.

use super::bound;
use crate::RunResult;
use crate::format;
use crate::lacking;
use crate::result::Latency;

/// A number, its name, and how it is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Its name.
    pub(super) name: &'static str,
    /// Its value or values: each with a small name, which may be empty.
    pub(super) values: Vec<(&'static str, String)>,
    /// From where to where.
    pub(super) measured: String,
    /// What must not be overlooked about it.
    pub(super) caveat: Option<String>,
}

/// The six numbers.
pub(super) fn of(result: &RunResult) -> Vec<Number> {
    vec![users(result), delivery(result), last(result), delivered(result), send(result), peak(result)]
}

fn users(result: &RunResult) -> Number {
    Number {
        name: "users at once",
        values: vec![("", format::count(result.users.connected_max))],
        measured: format!(
            "most users connected in the same second; {} planned",
            format::counted(result.users.planned, "user was", "users were")
        ),
        caveat: None,
    }
}

fn delivery(result: &RunResult) -> Number {
    let (values, measured) = match result.metrics.get("delivery").filter(|m| m.count > 0) {
        Some(m) => (
            with_word(m, &[("p50", m.p50_us), ("p99", m.p99_us), ("p99.9", m.p999_us)]),
            format!(
                "from the moment a message was due to the moment a receiver had it; all {}.{}",
                format::counted(m.count, "delivery", "deliveries"),
                bound::sentence(m)
            ),
        ),
        None => (vec![("", "–".to_owned())], "no message was delivered".to_owned()),
    };
    Number { name: "delivery", values, measured, caveat: None }
}

/// Numbers of a latency with their bounds, after the word if they are unusable.
fn with_word(m: &Latency, numbers: &[(&'static str, u64)]) -> Vec<(&'static str, String)> {
    let word = m.unusable.then(|| ("", bound::UNUSABLE.to_owned()));
    word.into_iter().chain(numbers.iter().map(|(name, us)| (*name, bound::us(m, *us)))).collect()
}

fn last(result: &RunResult) -> Number {
    let (values, measured) = match result.metrics.get("fanout_last").filter(|m| m.count > 0) {
        Some(m) => (
            with_word(m, &[("", m.p99_us)]),
            format!(
                "from the moment a message was due until its last receiver had it; {}.{}",
                format::counted(m.count, "message", "messages"),
                bound::sentence(m)
            ),
        ),
        None => (vec![("", "–".into())], "no message reached a receiver".into()),
    };
    let caveat = lacking::brief(&result.fanout);
    Number { name: "last receiver, p99", values, measured, caveat }
}

fn delivered(result: &RunResult) -> Number {
    let all = result.completeness;
    let measured = if super::running(result) && all.expected == 0 {
        "counted when users cease to watch".into()
    } else if all.expected == 0 {
        "no event was published while a user watched".into()
    } else {
        format!(
            "of {} expected, counted user by user, by sequence number; {} lost",
            format::count(all.expected),
            format::count(all.lost)
        )
    };
    Number {
        name: "delivered",
        values: vec![("", format::percent(all.delivered as f64, all.expected as f64))],
        measured,
        caveat: None,
    }
}

fn send(result: &RunResult) -> Number {
    let (value, measured) = match result.metrics.get("send").filter(|m| m.count > 0) {
        Some(m) => (
            format::duration_us(m.p99_us as f64),
            format!(
                "from the moment a message was due to the API’s answer; {}",
                format::counted(m.count, "message", "messages")
            ),
        ),
        None => ("–".into(), "no message was sent".into()),
    };
    Number { name: "send, p99", values: vec![("", value)], measured, caveat: None }
}

fn peak(result: &RunResult) -> Number {
    let deliveries = &result.timeline.deliveries;
    let peak = deliveries.iter().enumerate().max_by_key(|(i, n)| (**n, std::cmp::Reverse(*i)));
    let (value, measured) = match peak.filter(|(_, n)| **n > 0) {
        Some((i, n)) => {
            let at = result.timeline.seconds.get(i).copied().unwrap_or(0);
            let rate = format!("{}\u{a0}/s", format::count(*n));
            (rate, format!("deliveries in the busiest second, at {}", format::run_time(f64::from(at))))
        }
        None => ("–".into(), "no message was delivered".into()),
    };
    Number { name: "peak deliveries", values: vec![("", value)], measured, caveat: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_six_even_when_there_is_nothing() {
        let numbers = of(&RunResult::default());
        assert_eq!(numbers.len(), 6);
        assert!(numbers.iter().all(|n| !n.measured.is_empty() && !n.values.is_empty()));
    }
}
