//! Dates as the protocol writes them: RFC 3339 in UTC, to the microsecond.

use jiff::Timestamp;

/// An instant of the wall clock in microseconds since 1970, and as text.
#[derive(Clone, Debug)]
pub(crate) struct Date {
    pub(crate) micros: i64,
    pub(crate) text: String,
}

impl Date {
    /// Now.
    pub(crate) fn now() -> Self {
        let now = Timestamp::try_from(measure::clock::wall_clock()).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { micros: now.as_microsecond(), text: format!("{now:.6}") }
    }
}

/// Seconds since 1970, for tokens and rate limits.
pub(crate) fn unix_seconds() -> i64 {
    measure::clock::wall_clock()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Reads a date in RFC 3339; microseconds since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// Ticks of a period; after a late one the next comes a whole period later.
pub(crate) fn ticks(period: std::time::Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period.max(std::time::Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_their_text() {
        let now = Date::now();
        assert_eq!(parse(&now.text), Some(now.micros));
        assert!(now.text.ends_with('Z') && now.text.len() == "2026-11-24T03:15:42.123456Z".len(), "{}", now.text);
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse("1970-01-01T01:00:00+01:00"), Some(0));
    }
}
