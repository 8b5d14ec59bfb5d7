//! Values with units, as people write them: `20_000/s`, `1m30s`, `120..400B`, `2x`.
//!
//! Each has its parser, its pattern for editors and its examples in one place; a test holds them together.

use std::time::Duration;

use crate::decode::{Decode, text};
use crate::diagnostic::{Diagnostics, quoted};
use crate::model::{Popularity, Range};
use crate::tree::Node;

/// A value that is one word or number.
pub(crate) trait Leaf: Sized {
    /// With its article, for messages.
    const WHAT: &'static str;
    /// What editors check; nothing that [`Leaf::parse`] takes is left out.
    const PATTERN: &'static str;
    /// The first is offered in hints.
    const EXAMPLES: &'static [&'static str];

    /// Reads it, or says why it can't.
    fn parse(text: &str) -> Result<Self, String>;
}

/// Decodes a leaf. A value that came out of a variable is not quoted, nor the reason, which may quote it.
pub(crate) fn decode<T: Leaf>(node: &Node, errors: &mut Diagnostics) -> Option<T> {
    let examples = || {
        let shown: Vec<_> = T::EXAMPLES.iter().map(|example| format!("`{example}`")).collect();
        format!("for example {}", shown.join(", "))
    };
    let scalar = text(node, T::WHAT, examples, errors)?;
    match T::parse(scalar.value.trim()) {
        Ok(value) => Some(value),
        Err(_) if scalar.has_variables() => {
            errors.add(node.span, format!("the value of {} is not {}", quoted(&scalar.raw), T::WHAT), Some(examples()));
            None
        }
        Err(why) => {
            let why = if why.is_empty() { why } else { format!(": {why}") };
            errors.add(node.span, format!("{} is not {}{why}", quoted(&scalar.raw), T::WHAT), Some(examples()));
            None
        }
    }
}

/// A leaf's decoder and schema.
macro_rules! leaf {
    ($($type:ident),+) => {$(
        impl Decode for $type {
            fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
                decode(node, errors)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                crate::schema::leaf(Self::WHAT, Self::PATTERN, Self::EXAMPLES)
            }
        }
    )+};
}
pub(crate) use leaf;

leaf!(Whole, PerSecond, Time, TimeRange, Bytes, Factor, Percent, Spread);

/// A number without a unit, zero or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) u64);

impl Leaf for Whole {
    const WHAT: &'static str = "a whole number";
    const PATTERN: &'static str = r"^[0-9][0-9_]*$";
    const EXAMPLES: &'static [&'static str] = &["1_000", "5_000_000"];

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        if text.starts_with('-') {
            return Err("it is negative".into());
        }
        if !unit.is_empty() && !number.is_empty() {
            return Err(format!("it takes no unit, and nothing like {}", quoted(unit)));
        }
        digits(number)?.parse().map(Self).map_err(|_| too_large_or_none(number))
    }
}

/// Events a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PerSecond(pub(crate) f64);

impl Leaf for PerSecond {
    const WHAT: &'static str = "a rate";
    const PATTERN: &'static str = r"^[0-9][0-9_]*(\.[0-9]+)? ?/ ?(s|m|h)$";
    const EXAMPLES: &'static [&'static str] = &["20_000/s", "30/m", "2.5/s"];

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_once('/').ok_or_else(|| "it has no `/s`, `/m` or `/h`".to_owned())?;
        let per = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "min" => return Err("the unit is unknown: a minute is `/m`".into()),
            other => {
                return Err(format!("the unit {} is unknown: it is per `s`, `m` or `h`", quoted(&format!("/{other}"))));
            }
        };
        let rate = decimal(number.trim())? / per;
        if rate > 1e9 { Err("more than a billion a second".into()) } else { Ok(Self(rate)) }
    }
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl Leaf for Time {
    const WHAT: &'static str = "a duration";
    const PATTERN: &'static str = r"^([0-9][0-9_]*(\.[0-9]+)?(us|µs|ms|s|m|h|d) ?)+$";
    const EXAMPLES: &'static [&'static str] = &["10s", "250ms", "1m30s"];

    fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let (mut sum, mut last) = (0.0, f64::INFINITY);
        if rest.is_empty() {
            return Err("it is empty".into());
        }
        while !rest.is_empty() {
            let (number, behind) = split(rest);
            if rest.starts_with('-') {
                return Err("it is negative".into());
            }
            let end = behind.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(behind.len());
            let (unit, later) = behind.split_at(end);
            let value = decimal(number)?;
            let scale = match unit {
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                "" if later.trim_start().starts_with(char::is_alphabetic) => {
                    return Err("the number and its unit are written together, as in `10s`".into());
                }
                "" => return Err("it has no unit: `s`, `ms`, `m`, `h`".into()),
                other => return Err(format!("the unit {} is unknown: it is one of us, ms, s, m, h, d", quoted(other))),
            };
            if scale >= last {
                return Err("its units must go from large to small, each once".into());
            }
            (sum, last) = (sum + value * scale, scale);
            rest = later.trim_start();
        }
        if sum > 366.0 * 86_400.0 {
            return Err("longer than a year".into());
        }
        Ok(Self(Duration::from_nanos((sum * 1e9).round() as u64)))
    }
}

/// A duration, or a range to draw one from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeRange(pub(crate) Range<Duration>);

impl Leaf for TimeRange {
    const WHAT: &'static str = "a duration or a range of durations";
    const PATTERN: &'static str =
        r"^([0-9][0-9_]*(\.[0-9]+)?(us|µs|ms|s|m|h|d) ?)+(\.\. ?([0-9][0-9_]*(\.[0-9]+)?(us|µs|ms|s|m|h|d) ?)+)?$";
    const EXAMPLES: &'static [&'static str] = &["30s..2m", "1m30s"];

    fn parse(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let (min, max) = (Time::parse(min)?.0, Time::parse(max)?.0);
        if min > max { Err("it begins after its end".into()) } else { Ok(Self(Range { min, max })) }
    }
}

/// A size, or a range to draw one from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bytes(pub(crate) Range<u32>);

impl Leaf for Bytes {
    const WHAT: &'static str = "a size or a range of sizes";
    const PATTERN: &'static str =
        r"^[0-9][0-9_]*(\.[0-9]+)? ?(B|KiB|MiB)?( ?\.\. ?[0-9][0-9_]*(\.[0-9]+)?)? ?(B|KiB|MiB)$";
    const EXAMPLES: &'static [&'static str] = &["120..400B", "200B", "1KiB..2KiB"];

    fn parse(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let (max, scale) = size(max.trim(), None)?;
        let (min, _) = size(min.trim(), Some(scale))?;
        if min > max { Err("it begins after its end".into()) } else { Ok(Self(Range { min, max })) }
    }
}

/// One size and the scale of its unit; without a unit, that of `fallback`.
fn size(text: &str, fallback: Option<f64>) -> Result<(u32, f64), String> {
    let (number, unit) = split(text);
    let scale = match (unit.trim(), fallback) {
        ("B", _) => 1.0,
        ("KiB", _) => 1024.0,
        ("MiB", _) => 1024.0 * 1024.0,
        ("", Some(scale)) => scale,
        ("", None) => return Err("it has no unit: `B`, `KiB`".into()),
        ("kB" | "KB" | "kb" | "Kb" | "k" | "K", _) => return Err("the unit is unknown: 1,024 bytes are `KiB`".into()),
        (other, _) => return Err(format!("the unit {} is unknown: it is one of B, KiB, MiB", quoted(other))),
    };
    let bytes = decimal(number)? * scale;
    if bytes > f64::from(u32::MAX) { Err("it is too large".into()) } else { Ok((bytes.round() as u32, scale)) }
}

/// A factor on the rates that the actions state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor(pub(crate) f64);

impl Leaf for Factor {
    const WHAT: &'static str = "a factor";
    const PATTERN: &'static str = r"^[0-9][0-9_]*(\.[0-9]+)?x$";
    const EXAMPLES: &'static [&'static str] = &["2x", "0.5x"];

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('x').ok_or_else(|| "it has no `x` at its end".to_owned())?;
        match decimal(number)? {
            factor if factor > 1e6 => Err("more than a million".into()),
            factor => Ok(Self(factor)),
        }
    }
}

/// A share of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(pub(crate) f64);

impl Leaf for Percent {
    const WHAT: &'static str = "a percentage";
    const PATTERN: &'static str = r"^[0-9][0-9_]*(\.[0-9]+)?%$";
    const EXAMPLES: &'static [&'static str] = &["5%", "0.5%"];

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').ok_or_else(|| "it has no `%` at its end".to_owned())?;
        match decimal(number)? {
            percent if percent > 100.0 => Err("more than the whole".into()),
            percent => Ok(Self(percent / 100.0)),
        }
    }
}

/// How users spread over channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread(pub(crate) Popularity);

impl Leaf for Spread {
    const WHAT: &'static str = "a popularity";
    const PATTERN: &'static str = r"^(uniform|zipf\( ?[0-9]+(\.[0-9]+)? ?\))$";
    const EXAMPLES: &'static [&'static str] = &["uniform", "zipf(1.1)"];

    fn parse(text: &str) -> Result<Self, String> {
        if text == "uniform" {
            return Ok(Self(Popularity::Uniform));
        }
        let exponent = text.strip_prefix("zipf(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(String::new)?;
        match decimal(exponent.trim())? {
            exponent if exponent > 0.0 && exponent <= 10.0 => Ok(Self(Popularity::Zipf(exponent))),
            _ => Err("the exponent is more than 0 and at most 10".into()),
        }
    }
}

/// Parts a text after its leading number.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '_' | '.'))).unwrap_or(text.len());
    text.split_at(end)
}

/// The digits without their underscores.
fn digits(text: &str) -> Result<String, String> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(if text.starts_with('-') {
            "it is negative".into()
        } else if text.is_empty() {
            "it begins with no number".into()
        } else {
            format!("{} is no number", quoted(text))
        });
    }
    Ok(text.chars().filter(|c| *c != '_').collect())
}

/// A decimal number; never negative, infinite or nothing.
pub(crate) fn decimal(text: &str) -> Result<f64, String> {
    let digits = digits(text)?;
    match digits.parse::<f64>() {
        Ok(value)
            if value.is_finite()
                && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
                && !digits.ends_with('.') =>
        {
            Ok(value)
        }
        _ => Err(format!("{} is no number", quoted(text))),
    }
}

fn too_large_or_none(number: &str) -> String {
    if number.chars().all(|c| c.is_ascii_digit() || c == '_') {
        "it is too large".into()
    } else {
        format!("{} has a fraction", quoted(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Leaf + std::fmt::Debug>(good: &[&str], bad: &[&str]) {
        let pattern = regex::Regex::new(T::PATTERN).expect("a regular expression");
        for text in good.iter().chain(T::EXAMPLES) {
            assert!(T::parse(text).is_ok() && pattern.is_match(text), "{text} is {}: {:?}", T::WHAT, T::parse(text));
        }
        for text in bad {
            assert!(T::parse(text).is_err(), "{text} is not {}: {:?}", T::WHAT, T::parse(text));
        }
    }

    #[test]
    fn values_are_read_and_patterns_agree() {
        check::<Whole>(
            &["0", "18446744073709551615", "1_0"],
            &["", "-1", "1.5", "1e3", "5M", "_1", "18446744073709551616", "nan"],
        );
        check::<PerSecond>(
            &["3/s", "1/h", "0.1/m", "5 / s"],
            &["", "3", "/s", "3/", "3/d", "-3/s", "inf/s", "1e3/s", "1./s", "3/min"],
        );
        check::<Time>(
            &["0s", "1.5s", "1h 2m", "9µs", "1d"],
            &["", "10", "s", "10x", "1s1m", "1s1s", "-1s", "1m 30", "400d", "1.2.3s"],
        );
        check::<TimeRange>(&["1s..1s", "1s .. 2s"], &["2s..1s", "..1s", "1s..", "1..2s", "1s...2s"]);
        check::<Bytes>(
            &["2KiB", "80..300B", "1KiB..1.5KiB", "10 .. 20 B"],
            &["", "80", "80..B", "300..80B", "2kB", "2GB", "5GiB", "-1B"],
        );
        check::<Factor>(&["0x", "1.5x"], &["", "2", "x", "-1x", "2X", "2000000x"]);
        check::<Spread>(
            &["zipf(1)", "zipf( 0.9 )"],
            &["", "zipf", "zipf(0)", "zipf(-1)", "zipf(x)", "Uniform", "zipf(1.1"],
        );
    }

    #[test]
    fn values_mean_what_they_say() {
        assert_eq!(PerSecond::parse("30/m"), Ok(PerSecond(0.5)));
        assert_eq!(Time::parse("1m30s"), Ok(Time(Duration::from_secs(90))));
        assert_eq!(Bytes::parse("1..2KiB"), Ok(Bytes(Range { min: 1024, max: 2048 })));
        assert_eq!(Bytes::parse("512B..2KiB"), Ok(Bytes(Range { min: 512, max: 2048 })));
        assert_eq!(Factor::parse("0.5x"), Ok(Factor(0.5)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9_.smhxBKi/µ() a-z]{0,12}") {
            let _ = (Whole::parse(&text), PerSecond::parse(&text), Time::parse(&text), TimeRange::parse(&text));
            let _ = (Bytes::parse(&text), Factor::parse(&text), Spread::parse(&text));
        }
    }
}
