//! Rate limits: a fixed window for each endpoint, and for each endpoint and user.
//!
//! Counts lie in parts, each behind its own lock, which is held for one look-up. All calls of one endpoint meet in one
//! part, users in as many as there are.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;

use crate::config::Rates;
use crate::sharded::{Waits, lock_counted};

/// Enough that processors seldom meet but at an endpoint's own count.
const PARTS: usize = 64;

/// What the headers of an answer say, and whether the call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Calls in a window.
    pub(crate) limit: u32,
    /// Calls that are left.
    pub(crate) remaining: u32,
    /// When the next window begins, in Unix seconds.
    pub(crate) reset: i64,
    /// Whether this call is within the limit.
    pub(crate) allowed: bool,
}

/// A part of the counts. Aligned so that two processors in two parts don't share a line of their caches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    number: i64,
    /// By the hash of the endpoint, or of endpoint and user. Two that share a hash of 64 bits share a limit, which
    /// nobody will live to see.
    calls: HashMap<u64, u32>,
}

/// Counts calls.
#[derive(Debug)]
pub(crate) struct Limiter {
    rates: Rates,
    hasher: RandomState,
    parts: Box<[Part]>,
    /// How often a part's lock was taken already.
    pub(crate) waits: Waits,
}

impl Limiter {
    pub(crate) fn new(rates: Rates) -> Self {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        Self { rates, hasher: RandomState::new(), parts, waits: Waits::default() }
    }

    /// Counts a call at `now` (Unix seconds) and answers the tighter of its two limits.
    pub(crate) fn call(&self, endpoint: &str, user: Option<&str>, now: i64) -> Allowance {
        let length = i64::try_from(self.rates.window.as_secs()).unwrap_or(i64::MAX).max(1);
        let number = now.div_euclid(length);
        let count = |key: u64, limit: u32| {
            let window = &mut *lock_counted(&self.parts[key as usize % PARTS].0, &self.waits);
            // A caller whose clock was read before the window's end, and who comes after it, counts for the new one.
            if window.number < number {
                *window = Window { number, calls: HashMap::new() };
            }
            let calls = window.calls.entry(key).or_default();
            let allowed = *calls < limit;
            *calls = calls.saturating_add(1);
            let reset = (window.number + 1) * length;
            Allowance { limit, remaining: limit.saturating_sub(*calls), reset, allowed }
        };
        let app = count(self.hasher.hash_one(endpoint), self.rates.per_app);
        let (Some(limit), Some(user)) = (self.rates.per_user, user) else { return app };
        if !app.allowed {
            return app;
        }
        let user = count(self.hasher.hash_one((endpoint, user)), limit);
        if !user.allowed || user.remaining < app.remaining { user } else { app }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_user_and_the_app_have_a_window_for_each_endpoint() {
        let rates = Rates { window: Duration::from_secs(60), per_app: 5, per_user: Some(2) };
        let limiter = Limiter::new(rates);
        let call = |endpoint, user, now| limiter.call(endpoint, Some(user), now);
        assert_eq!(call("send", "ann", 61), Allowance { limit: 2, remaining: 1, reset: 120, allowed: true });
        assert!(call("send", "ann", 62).allowed);
        assert_eq!(call("send", "ann", 63), Allowance { limit: 2, remaining: 0, reset: 120, allowed: false });
        assert!(call("read", "ann", 63).allowed, "another endpoint");
        assert!(call("send", "bob", 63).allowed && call("send", "bob", 64).allowed);
        assert_eq!(call("send", "eve", 65), Allowance { limit: 5, remaining: 0, reset: 120, allowed: false });
        assert!(call("send", "ann", 120).allowed, "the next window");
    }

    #[test]
    fn without_a_users_limit_only_the_apps_counts() {
        let limiter = Limiter::new(Rates { per_app: 2, ..Rates::default() });
        assert!(limiter.call("send", Some("ann"), 0).allowed && limiter.call("send", None, 0).allowed);
        assert!(!limiter.call("send", Some("bob"), 0).allowed);
    }

    #[test]
    fn threads_together_get_as_many_calls_as_are_allowed() {
        let rates = Rates { window: Duration::from_secs(60), per_app: 5_000, per_user: Some(100) };
        let limiter = Limiter::new(rates);
        let allowed = |thread: u32| {
            let call = |n: u32| limiter.call("send", Some(&format!("user-{}", (thread + n) % 10)), 0).allowed;
            (0..3_000).filter(|n| call(*n)).count()
        };
        let sum: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || allowed(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(sum, 10 * 100, "each user's hundred, and no more");
    }

    #[test]
    fn a_lock_that_is_taken_is_counted() {
        let limiter = Limiter::new(Rates::default());
        let key = limiter.hasher.hash_one("send");
        let held = limiter.parts[key as usize % PARTS].0.lock().unwrap();
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| limiter.call("send", None, 0));
            while limiter.waits.count() == 0 {
                std::thread::yield_now();
            }
            drop(held);
            assert!(caller.join().unwrap().allowed);
        });
        assert_eq!(limiter.waits.count(), 1);
    }
}
