//! A clock that is wrong on purpose.

use clap::Args as ClapArgs;
use measure::Clock;

/// Makes a process of this host one of a host with another clock, to check what throng makes of that.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct SkewArgs {
    /// How far its clock is ahead: 250ms, -3s.
    #[arg(long, hide = true, default_value = "0s", value_name = "TIME", value_parser = nanos, allow_hyphen_values = true)]
    pub(crate) clock_skew: i64,
    /// How fast it gains: 30us/s.
    #[arg(long, hide = true, default_value = "0s/s", value_name = "TIME/s", value_parser = drift, allow_hyphen_values = true)]
    pub(crate) clock_drift: i64,
}

impl SkewArgs {
    /// The process's clock.
    pub(crate) fn clock(self) -> Clock {
        match (self.clock_skew, self.clock_drift) {
            (0, 0) => Clock::System,
            (ahead, drift) => Clock::skewed(ahead, drift),
        }
    }
}

/// A time with its unit in nanoseconds, either way: `250ms`, `-30us`.
pub(crate) fn nanos(text: &str) -> Result<i64, String> {
    let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    let nanos =
        units.iter().find_map(|(unit, nanos)| Some(text.strip_suffix(unit)?.trim().parse::<f64>().ok()? * nanos));
    let nanos = nanos.filter(|n| n.is_finite() && n.abs() <= 1e18);
    nanos.map(|n| n as i64).ok_or_else(|| "write a time such as 250ms or -30us".to_owned())
}

/// A drift in nanoseconds a second: `30us/s`.
pub(crate) fn drift(text: &str) -> Result<i64, String> {
    let drift = text.strip_suffix("/s").and_then(|time| nanos(time).ok()).filter(|ns| ns.abs() < 1_000_000_000);
    drift.ok_or_else(|| "write a drift such as 30us/s, less than a second a second".to_owned())
}
