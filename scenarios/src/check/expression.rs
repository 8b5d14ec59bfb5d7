//! The conditions of thresholds: `p(99) < 250ms`, `mean <= 1s`, `count == 0`, `rate > 9_900/s`.

use std::ops::Range;

use crate::decode::nearest;
use crate::diagnostic::quoted;
use crate::leaf::{Leaf, PerSecond, Time, Whole};
use crate::model::{Aggregate, Comparison};

/// A condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) aggregate: Aggregate,
    pub(super) comparison: Comparison,
    /// Microseconds of a duration, a count, or a rate a second.
    pub(super) limit: f64,
}

/// What is wrong with a condition, and where in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wrong {
    /// What is compared, if that could be read.
    pub(super) aggregate: Option<Aggregate>,
    pub(super) part: Range<usize>,
    pub(super) message: String,
    pub(super) hint: String,
}

const AGGREGATES: [&str; 6] = ["p", "mean", "min", "max", "count", "rate"];
const GRAMMAR: &str = "a condition reads `p(99) < 250ms`, `max < 1s`, `count == 0` or `rate > 100/s`";

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Condition, Wrong> {
    let Some(start) = text.find(['<', '>', '=', '!', '≤', '≥']) else {
        let message = format!("{} compares nothing", quoted(text));
        return Err(Wrong { aggregate: None, part: 0..text.len(), message, hint: GRAMMAR.into() });
    };
    let length = text[start..].find(|c| !"<>=!≤≥".contains(c)).unwrap_or(text.len() - start);
    let (left, rest) = text.split_at(start);
    let (operator, right) = rest.split_at(length);
    let comparison = match operator {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "==" => Comparison::Equal,
        other => {
            let hint = if other == "=" { "equality is written `==`" } else { "it is one of <, <=, >, >=, ==" };
            let message = format!("{} is no comparison", quoted(other));
            return Err(Wrong { aggregate: None, part: start..start + length, message, hint: hint.into() });
        }
    };
    let aggregate = aggregate(left.trim()).map_err(|(message, hint)| Wrong {
        aggregate: None,
        part: trimmed(text, 0, start),
        message,
        hint,
    })?;
    let limit = limit(aggregate, right.trim()).map_err(|(message, hint)| Wrong {
        aggregate: Some(aggregate),
        part: trimmed(text, start + length, text.len()),
        message,
        hint,
    })?;
    Ok(Condition { aggregate, comparison, limit })
}

/// A stretch of a text without the spaces around it; if nothing is left, the stretch before.
fn trimmed(text: &str, from: usize, to: usize) -> Range<usize> {
    let part = &text[from..to];
    let start = from + part.len() - part.trim_start().len();
    let end = start + part.trim().len();
    if start < end { start..end } else { 0..text.len() }
}

type MessageAndHint = (String, String);

fn aggregate(text: &str) -> Result<Aggregate, MessageAndHint> {
    if let Some(inside) = text.strip_prefix('p').and_then(|rest| rest.trim_start().strip_prefix('(')) {
        let number = inside
            .strip_suffix(')')
            .ok_or_else(|| (format!("{} lacks its `)`", quoted(text)), "write `p(99)`".to_owned()))?;
        return match crate::leaf::decimal(number.trim()) {
            Ok(percent) if percent <= 100.0 => Ok(Aggregate::Percentile(percent)),
            _ => Err((
                format!("there is no percentile {}", quoted(number)),
                "it lies between 0 and 100, such as `p(99.9)`".into(),
            )),
        };
    }
    let hint = match text {
        "mean" => return Ok(Aggregate::Mean),
        "min" => return Ok(Aggregate::Min),
        "max" => return Ok(Aggregate::Max),
        "count" => return Ok(Aggregate::Count),
        "rate" => return Ok(Aggregate::Rate),
        "avg" | "average" => "the average is `mean`".to_owned(),
        "med" | "median" => "the median is `p(50)`".to_owned(),
        "" => GRAMMAR.to_owned(),
        other => match other.strip_prefix('p').filter(|digits| crate::leaf::decimal(digits).is_ok()) {
            Some(digits) => format!("write `p({digits})`"),
            None => nearest(other, AGGREGATES.into_iter())
                .unwrap_or_else(|| "it is one of p(…), mean, min, max, count, rate".into()),
        },
    };
    let message = if text.is_empty() {
        "the condition doesn't say what is compared".into()
    } else {
        format!("{} is nothing that can be compared", quoted(text))
    };
    Err((message, hint))
}

fn limit(aggregate: Aggregate, text: &str) -> Result<f64, MessageAndHint> {
    fn read<T: Leaf>(text: &str) -> Result<T, MessageAndHint> {
        T::parse(text).map_err(|why| {
            let why = if why.is_empty() { why } else { format!(": {why}") };
            (format!("{} is not {}{why}", quoted(text), T::WHAT), format!("for example `{}`", T::EXAMPLES[0]))
        })
    }
    if text.is_empty() {
        return Err(("the condition has nothing to compare with".into(), GRAMMAR.into()));
    }
    match aggregate {
        Aggregate::Count => read::<Whole>(text).map(|count| count.0 as f64),
        Aggregate::Rate => read::<PerSecond>(text).map(|rate| rate.0),
        Aggregate::Percentile(_) | Aggregate::Mean | Aggregate::Min | Aggregate::Max => {
            read::<Time>(text).map(|time| time.0.as_secs_f64() * 1e6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn conditions_are_read() {
        let check = |text, aggregate, comparison, limit| {
            assert_eq!(parse(text), Ok(Condition { aggregate, comparison, limit }), "{text}");
        };
        check("p(99) < 250ms", Aggregate::Percentile(99.0), Comparison::Less, 250_000.0);
        check("p( 99.9 )<=1m30s", Aggregate::Percentile(99.9), Comparison::LessOrEqual, 90_000_000.0);
        check("count == 0", Aggregate::Count, Comparison::Equal, 0.0);
        check("rate > 9_900/s", Aggregate::Rate, Comparison::Greater, 9_900.0);
        check("mean >= 5us", Aggregate::Mean, Comparison::GreaterOrEqual, 5.0);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |text: &str, part: &str, hint: &str| {
            let wrong = parse(text).expect_err(text);
            assert_eq!(&text[wrong.part.clone()], part, "{text}: {wrong:?}");
            assert!(wrong.hint.contains(hint), "{text}: {wrong:?}");
        };
        check("p99 < 250ms", "p99", "p(99)");
        check("p(101) < 1s", "p(101)", "between 0 and 100");
        check("p(99) < 250", "250", "10s");
        check("p(99) = 1s", "=", "`==`");
        check("avg < 1s", "avg", "`mean`");
        check("cuont == 0", "cuont", "`count`");
        check("count == 5ms", "5ms", "1_000");
        check("count ==", "count ==", "reads");
        check("< 5ms", "< 5ms", "reads");
        check("fast", "fast", "reads");
        check("p(99 < 1s", "p(99", "p(99)");
        check("mean ≤ 1s", "≤", "<=");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-p()0-9<>=!≤ .a-zµ/_]{0,16}") {
            if let Err(wrong) = parse(&text) {
                prop_assert!(text.get(wrong.part).is_some());
            }
        }
    }
}
