//! The only file that reads time.
//!
//! Everything is stamped by the host's monotonic clock (`CLOCK_MONOTONIC`), which all processes of one host share, so
//! that latencies between two processes of a host need no correction at all. Between hosts the difference of two such
//! clocks is an estimated offset with an error bound; hosts are told apart by [`host_clock_id`].

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Nanoseconds on some monotonic clock; which clock, the context says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The timestamp `nanos` nanoseconds after the clock's zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed microseconds since `earlier`; negative if `earlier` is later, which between two hosts happens and must
    /// be seen.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        (self.0.wrapping_sub(earlier.0) as i64) / 1_000
    }

    /// The same instant on a clock that is `offset` nanoseconds ahead of this one; clamped at that clock's zero.
    pub const fn shifted(self, offset: i64) -> Self {
        Self(self.0.saturating_add_signed(offset))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Where time comes from: the host, or a test's hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The host's monotonic clock.
    #[default]
    System,
    /// The host's monotonic clock as another host's would be, so that a process can be tested as if it ran there.
    Skewed(Skew),
    /// A clock that moves only when [`Clock::advance`] is called; clones share it.
    Manual(Arc<AtomicU64>),
}

/// How a clock differs from the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// Nanoseconds ahead of the host's clock at `since`.
    pub ahead: i64,
    /// Nanoseconds gained with each second of the host's clock; more than -1,000,000,000, so that time goes on.
    pub drift: i64,
    /// The instant of the host's clock at which the drift began.
    pub since: Timestamp,
}

impl Skew {
    /// This clock's time when the host's clock shows `host`.
    pub const fn of(self, host: Timestamp) -> Timestamp {
        let passed = host.0.wrapping_sub(self.since.0) as i64;
        host.shifted(self.ahead.saturating_add(parts(passed, self.drift)))
    }

    /// The time of the host's clock when this clock shows `skewed`; to a nanosecond.
    pub fn host(self, skewed: Timestamp) -> Timestamp {
        let passed = i128::from(skewed.0) - i128::from(self.since.0) - i128::from(self.ahead);
        let passed = passed * 1_000_000_000 / i128::from(1_000_000_000 + self.drift).max(1);
        let host = (i128::from(self.since.0) + passed).clamp(0, i128::from(u64::MAX));
        Timestamp(u64::try_from(host).unwrap_or(u64::MAX))
    }
}

/// So many parts in a thousand million of a time in nanoseconds. Times of more than a day count as a day, so that it fits.
pub(crate) const fn parts(nanos: i64, per_billion: i64) -> i64 {
    const DAY: i64 = 86_400_000_000_000;
    let nanos = if nanos > DAY {
        DAY
    } else if nanos < -DAY {
        -DAY
    } else {
        nanos
    };
    // A rehearsal's clock gains many seconds a second, which is more than 64 bits hold of a day.
    let gained = nanos as i128 * per_billion as i128 / 1_000_000_000;
    if gained > i64::MAX as i128 {
        i64::MAX
    } else if gained < i64::MIN as i128 {
        i64::MIN
    } else {
        gained as i64
    }
}

impl Clock {
    /// This host's clock as it would be on a host whose clock is `ahead` nanoseconds ahead, and gains `drift` nanoseconds
    /// a second from now on.
    pub fn skewed(ahead: i64, drift: i64) -> Self {
        Self::Skewed(Skew { ahead, drift, since: Self::System.now() })
    }

    /// This host's clock as it would be if time went `speed` times faster from `since` on: what rehearsals run by.
    pub fn faster(since: Timestamp, speed: f64) -> Self {
        // A float cast saturates.
        Self::Skewed(Skew { ahead: 0, drift: ((speed - 1.0) * 1e9) as i64, since })
    }

    /// A manual clock that stands at `start`.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(start.as_nanos())))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                Timestamp(t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs())
            }
            Self::Skewed(skew) => skew.of(Self::System.now()),
            Self::Manual(nanos) => Timestamp(nanos.load(Ordering::Relaxed)),
        }
    }

    /// The instant of the host's `CLOCK_MONOTONIC` at which this clock shows `at`: what the kernel's timers are set to.
    pub fn on_host(&self, at: Timestamp) -> Timestamp {
        match self {
            Self::System | Self::Manual(_) => at,
            Self::Skewed(skew) => skew.host(at),
        }
    }

    /// Names this clock: [`host_clock_id`], and for one that isn't the host's another that nobody else has.
    pub fn id(&self) -> String {
        match self {
            Self::System => host_clock_id(),
            Self::Skewed(_) | Self::Manual(_) => format!("{}/process-{}", host_clock_id(), std::process::id()),
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On a clock that is no manual one: nobody moves it.
    pub fn advance(&self, by: Duration) {
        match self {
            Self::System | Self::Skewed(_) => panic!("the system clock can't be advanced"),
            Self::Manual(nanos) => {
                nanos.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        }
    }
}

/// The wall clock, for dates that people read; never for durations.
pub fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this file is the one that reads time")]
    SystemTime::now()
}

/// Names the monotonic clock of this host: two processes with the same id stamp by the same clock.
///
/// It is the kernel's boot id together with the time namespace. Where either can't be read, it is unique to the
/// process, so that a clock is never taken for another's.
pub fn host_clock_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/time");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{}/{}", boot.trim(), namespace.display()),
        (Ok(boot), Err(_)) => boot.trim().to_owned(),
        (Err(_), _) => format!("process-{}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_does_not_run_backwards() {
        let (a, b) = (Clock::System.now(), Clock::System.now());
        assert!(b >= a);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Timestamp::from_nanos(5));
        let twin = clock.clone();
        clock.advance(Duration::from_nanos(7));
        assert_eq!(twin.now(), Timestamp::from_nanos(12));
    }

    #[test]
    fn a_skewed_clock_is_another_clock() {
        let since = Timestamp::from_nanos(1_000_000_000_000);
        let skew = Skew { ahead: -250_000_000, drift: 30_000, since };
        assert_eq!(skew.of(since), since - Duration::from_millis(250));
        let later = since + Duration::from_secs(100);
        assert_eq!(skew.of(later).as_nanos(), later.as_nanos() - 250_000_000 + 3_000_000);
        assert!(skew.host(skew.of(later)).as_nanos().abs_diff(later.as_nanos()) <= 1);
        let clock = Clock::skewed(250_000_000, 0);
        assert!(clock.now().micros_since(Clock::System.now()) > 240_000);
        assert_ne!(clock.id(), Clock::System.id());
        assert_eq!(Clock::System.on_host(later), later);
    }

    #[test]
    fn a_faster_clock_agrees_at_one_instant_and_runs_ahead_after_it() {
        let since = Timestamp::from_nanos(1_000_000_000_000);
        let Clock::Skewed(skew) = Clock::faster(since, 10.0) else { panic!("it is a skewed one") };
        assert_eq!(skew.of(since), since);
        for seconds in [1_u64, 7, 3_600, 80_000] {
            let host = since + Duration::from_secs(seconds);
            assert_eq!(skew.of(host), since + Duration::from_secs(10 * seconds));
            assert_eq!(skew.host(skew.of(host)), host);
        }
        assert_eq!(skew.of(since - Duration::from_secs(1)), since - Duration::from_secs(10));
    }

    #[test]
    fn differences_keep_their_sign() {
        let (early, late) = (Timestamp::from_nanos(1_000), Timestamp::from_nanos(4_000));
        assert_eq!(late.micros_since(early), 3);
        assert_eq!(early.micros_since(late), -3);
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
