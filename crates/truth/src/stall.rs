//! The one time at which the whole server stands still, as a process does that the system has stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use measure::{Clock, Timestamp};

use crate::config::StallSpec;

/// Nobody has sent a message yet.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Stall {
    spec: Option<StallSpec>,
    clock: Clock,
    first: AtomicU64,
}

impl Stall {
    pub(crate) fn new(spec: Option<StallSpec>, clock: Clock) -> Self {
        Self { spec, clock, first: AtomicU64::new(NEVER) }
    }

    /// A message came; the first one decides when the server stands still.
    pub(crate) fn message(&self, at: Timestamp) {
        self.first.fetch_min(at.as_nanos(), Ordering::Relaxed);
    }

    /// How long from `now` on the server still stands.
    pub(crate) fn left(&self, now: Timestamp) -> Duration {
        let first = self.first.load(Ordering::Relaxed);
        let Some(spec) = self.spec.filter(|_| first != NEVER) else { return Duration::ZERO };
        let start = Timestamp::from_nanos(first) + spec.after;
        if now < start { Duration::ZERO } else { (start + spec.lasts).since(now) }
    }

    /// Waits while the server stands.
    pub(crate) async fn passed(&self) {
        loop {
            let left = self.left(self.clock.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_once_and_counts_from_the_first_message() {
        let spec = StallSpec { lasts: Duration::from_secs(2), after: Duration::from_secs(10) };
        let stall = Stall::new(Some(spec), Clock::manual(Timestamp::default()));
        let at = |seconds: u64| Timestamp::default() + Duration::from_secs(seconds);
        assert_eq!(stall.left(at(1_000)), Duration::ZERO, "nobody has said anything");
        stall.message(at(5));
        stall.message(at(9));
        let left: Vec<u64> = [14, 15, 16, 17, 30].map(|s| stall.left(at(s)).as_secs()).into();
        assert_eq!(left, [0, 2, 1, 0, 0]);
    }
}
