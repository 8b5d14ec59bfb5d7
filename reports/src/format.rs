//! Numbers as people say them: units on each, three significant digits, thousands set apart by commas.
//!
//! Counts stay exact, because a report that says "999,999 of 1,000,000" must not round it away.

/// An exact count: `5,000,000`.
pub use measure::grouped as count;

/// Between a number and its unit, so that they never part at a line's end.
const NBSP: char = '\u{a0}';

/// A count with its noun, in the right number: `1 user`, `2 users`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{}{NBSP}{}", count(n), if n == 1 { one } else { many })
}

/// Three significant digits, thousands set apart: `0.0123`, `1.40`, `842`, `12,300`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let value = round3(value);
    let sign = sign(value);
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if size >= 100.0 {
        return format!("{sign}{}", count(size as u64));
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 9) as usize;
    format!("{sign}{size:.decimals$}")
}

/// A duration given in microseconds: `842 µs`, `12.4 ms`, `1.40 s`, `2 min 5 s`.
pub fn duration_us(us: f64) -> String {
    let rounded = round3(us);
    match rounded.abs() {
        size if size >= 60e6 => span(us / 1e6),
        size if size >= 1e6 => format!("{}{NBSP}s", number(rounded / 1e6)),
        size if size >= 1e3 => format!("{}{NBSP}ms", number(rounded / 1e3)),
        // Microseconds are what was counted: a whole one has no hidden digits.
        size if size < 100.0 && us.fract() == 0.0 => format!("{}{}{NBSP}µs", sign(us), count(size as u64)),
        _ => format!("{}{NBSP}µs", number(rounded)),
    }
}

/// A duration with the bound of its error: `12.4 ms ± 310 µs`; without one where it is exact.
pub fn bounded_us(us: f64, bound: f64) -> String {
    if bound > 0.0 {
        // On a phone the bound may stand in a line of its own.
        format!("{} ±{NBSP}{}", duration_us(us), duration_us(bound_us(bound)))
    } else {
        duration_us(us)
    }
}

/// An error bound to two significant digits, rounded up: what is promised is never less than what is known.
pub fn bound_us(bound: f64) -> f64 {
    let step = 10_f64.powf(bound.max(1.0).log10().floor() - 1.0);
    (bound / step).ceil() * step
}

/// As [`duration_us`], a dash where there is none.
pub fn maybe_us(us: Option<u64>) -> String {
    us.map_or_else(|| "–".into(), |us| duration_us(us as f64))
}

/// A duration on an axis, without needless zeros: `5 ms`, `200 µs`, `1 s`.
pub fn tick_us(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{}{NBSP}s", plain(us / 1e6)),
        us if us >= 1e3 => format!("{}{NBSP}ms", plain(us / 1e3)),
        us => format!("{}{NBSP}µs", plain(us)),
    }
}

/// A count on an axis, in the unit that the axis' `top` has: `500`, `20,000`, `1.5 M`.
pub fn tick_count(value: f64, top: f64) -> String {
    match top.abs() {
        _ if value == 0.0 => "0".into(),
        size if size >= 1e9 => format!("{}{NBSP}G", plain(value / 1e9)),
        size if size >= 1e6 => format!("{}{NBSP}M", plain(value / 1e6)),
        size if size >= 1e5 => format!("{}{NBSP}k", plain(value / 1e3)),
        _ if value >= 1e3 => count(value.round() as u64),
        _ => plain(value),
    }
}

/// Bytes on an axis, without needless zeros: `32 MiB`.
pub fn tick_bytes(value: f64) -> String {
    let text = bytes(value.round() as u64);
    let (digits, unit) = text.split_once(NBSP).unwrap_or((&text, ""));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{NBSP}{unit}")
}

/// A stretch of time given in seconds: `40 s`, `12 min 30 s`, `1 h 0 min`.
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".into();
    }
    if seconds < 60.0 {
        let digits = if seconds.fract() < 0.05 { plain(seconds.floor()) } else { format!("{seconds:.1}") };
        return format!("{digits}{NBSP}s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, 0) => format!("{minutes}{NBSP}min"),
        (0, minutes, seconds) => format!("{minutes}{NBSP}min{NBSP}{seconds}{NBSP}s"),
        (hours, minutes, _) => format!("{hours}{NBSP}h{NBSP}{minutes}{NBSP}min"),
    }
}

/// A time of the run, from its start: `12 s`, `1:30`, `1:00:00`.
pub fn run_time(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".into();
    }
    let whole = seconds.max(0.0).floor() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds}{NBSP}s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Bytes: `512 B`, `1.25 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while round3(value) >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 { count(n) } else { number(value) };
    format!("{digits}{NBSP}{}", UNITS[unit])
}

/// A rate: `12,300 /s`.
pub fn per_second(rate: f64) -> String {
    format!("{}{NBSP}/s", number(rate))
}

/// A share: `99.9 %`. Never `100 %` or `0 %` unless it is all or nothing.
pub fn percent(part: f64, whole: f64) -> String {
    if whole.is_nan() || whole <= 0.0 {
        return "–".into();
    }
    let share = part / whole * 100.0;
    let text = if share == 100.0 || share == 0.0 {
        plain(share)
    } else if share > 99.0 && share < 100.0 {
        // As many decimals as show the first digit that isn't a nine, cut off, for rounding up would hide it.
        let nines = (-(1.0 - part / whole).log10() - 1e-9).ceil();
        let decimals = (nines - 2.0).clamp(1.0, 9.0) as usize;
        let scale = 10f64.powi(decimals as i32);
        format!("{:.decimals$}", (share * scale + 1e-6).floor() / scale)
    } else {
        number(share)
    };
    format!("{text}{NBSP}%")
}

/// A threshold's value in its unit: `us`, `count` or `per_s`.
pub fn in_unit(value: f64, unit: &str) -> String {
    match unit {
        "us" => duration_us(value),
        "per_s" => per_second(value),
        _ if value.fract() == 0.0 && value >= 0.0 => count(value as u64),
        _ => number(value),
    }
}

fn sign(value: f64) -> &'static str {
    if value < 0.0 { "−" } else { "" }
}

/// Rounds to three significant digits.
fn round3(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let power = 2 - value.abs().log10().floor() as i32;
    if power >= 0 {
        let scale = 10f64.powi(power);
        (value * scale).round() / scale
    } else {
        let scale = 10f64.powi(-power);
        (value / scale).round() * scale
    }
}

/// Few digits, no trailing zeros.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breakable spaces are easier to type in expectations.
    fn spaced(text: &str) -> String {
        text.replace(NBSP, " ")
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (us, said) in [
            (0.0, "0 µs"),
            (1.0, "1 µs"),
            (12.0, "12 µs"),
            (0.5, "0.500 µs"),
            (842.0, "842 µs"),
            (999.7, "1.00 ms"),
            (1_000.0, "1.00 ms"),
            (12_449.0, "12.4 ms"),
            (999_600.0, "1.00 s"),
            (1_400_000.0, "1.40 s"),
            (59_900_000.0, "59.9 s"),
            (125_000_000.0, "2 min 5 s"),
            (-1_250.0, "−1.25 ms"),
        ] {
            assert_eq!(spaced(&duration_us(us)), said, "{us}");
        }
    }

    #[test]
    fn counts_are_exact_and_numbers_have_three_digits() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(number(12_345.0), "12,300");
        assert_eq!(number(99.95), "100");
        assert_eq!(number(0.012_34), "0.0123");
        assert_eq!(spaced(&counted(1, "user", "users")), "1 user");
    }

    #[test]
    fn a_share_is_whole_only_when_it_is_all() {
        assert_eq!(spaced(&percent(10.0, 10.0)), "100 %");
        assert_eq!(spaced(&percent(999_999.0, 1_000_000.0)), "99.9999 %");
        assert_eq!(spaced(&percent(5_063_082.0, 5_063_119.0)), "99.9992 %");
        assert_eq!(spaced(&percent(995.0, 1_000.0)), "99.5 %");
        assert_eq!(spaced(&percent(0.0, 10.0)), "0 %");
        assert_eq!(spaced(&percent(1.0, 3.0)), "33.3 %");
        assert_eq!(percent(0.0, 0.0), "–");
    }

    #[test]
    fn times_bytes_and_ticks() {
        assert_eq!(spaced(&span(40.0)), "40 s");
        assert_eq!(spaced(&span(41.27)), "41.3 s");
        assert_eq!(spaced(&span(750.0)), "12 min 30 s");
        assert_eq!(spaced(&span(3_600.0)), "1 h 0 min");
        assert_eq!(run_time(90.0), "1:30");
        assert_eq!(run_time(3_600.0), "1:00:00");
        assert_eq!(spaced(&bytes(512)), "512 B");
        assert_eq!(spaced(&bytes(1_310_720)), "1.25 MiB");
        assert_eq!(spaced(&tick_us(200.0)), "200 µs");
        assert_eq!(spaced(&tick_us(5_000.0)), "5 ms");
        assert_eq!(spaced(&tick_count(1_500_000.0, 2e6)), "1.5 M");
        assert_eq!(spaced(&tick_bytes(33_554_432.0)), "32 MiB");
        assert_eq!(tick_count(20_000.0, 90_000.0), "20,000");
        assert_eq!(spaced(&tick_count(50_000.0, 200_000.0)), "50 k");
    }
}
