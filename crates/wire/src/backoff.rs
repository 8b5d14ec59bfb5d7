//! How long a client waits before it reconnects.

use std::time::Duration;

/// No wait is longer.
pub const LONGEST: Duration = Duration::from_millis(25_000);

/// The wait before the next attempt after `failures` failures in a row (the first failure is 1; 0 counts as 1):
/// uniform in `[min(max(250, 2000(n-1)), 25000), min(500+2000n, 25000))` milliseconds.
///
/// `random` is uniform in `[0, 1)`; values outside are clamped, so that a bad generator can't make a bad wait.
pub fn reconnect_delay(failures: u32, random: f64) -> Duration {
    let n = u64::from(failures.max(1));
    let longest = LONGEST.as_millis() as u64;
    let from = (2_000 * (n - 1)).max(250).min(longest);
    let to = (500 + 2_000 * n).min(longest);
    let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.0 };
    let micros = (from * 1_000) as f64 + random * ((to - from) * 1_000) as f64;
    Duration::from_micros(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_in_their_range() {
        for (n, from, to) in
            [(1, 250, 2_500), (2, 2_000, 4_500), (12, 22_000, 24_500), (13, 24_000, 25_000), (14, 25_000, 25_000)]
        {
            assert_eq!(reconnect_delay(n, 0.0), Duration::from_millis(from), "failure {n}");
            let last = reconnect_delay(n, 1.0 - f64::EPSILON);
            assert!(last <= Duration::from_millis(to) && last >= Duration::from_millis(from), "failure {n}: {last:?}");
        }
        assert_eq!(reconnect_delay(0, 0.5), reconnect_delay(1, 0.5));
        assert_eq!(reconnect_delay(u32::MAX, 0.5), LONGEST);
        assert_eq!(reconnect_delay(1, f64::NAN), Duration::from_millis(250));
    }
}
