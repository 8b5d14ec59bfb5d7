//! A map in shards, each behind its own lock, for look-ups from many threads. Locks are held for the look-up only.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use measure::Clock;

use crate::stats::{add, get};

/// Locks, and goes on after a panic elsewhere: what the locks guard is whole between any two statements that can
/// panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a lock was taken already, and for how long that had to be waited for in all.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Waits {
    /// How often.
    pub(crate) fn count(&self) -> u64 {
        get(&self.count)
    }

    /// For how long, once it was over.
    pub(crate) fn micros(&self) -> u64 {
        get(&self.nanos) / 1_000
    }
}

/// Locks like [`lock`], counting whether and how long that had to be waited for.
pub(crate) fn lock_counted<'a, T>(mutex: &'a Mutex<T>, waits: &Waits) -> MutexGuard<'a, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            let since = Clock::System.now();
            add(&waits.count, 1);
            let guard = lock(mutex);
            let waited = Clock::System.now().since(since).as_nanos();
            add(&waits.nanos, u64::try_from(waited).unwrap_or(u64::MAX));
            guard
        }
    }
}

/// Enough that two processors seldom meet, few enough to walk over.
const SHARDS: usize = 64;

/// A map in shards. Values are cloned out, so they are `Arc`s or small.
#[derive(Debug)]
pub(crate) struct Sharded<K, V> {
    shards: Box<[Mutex<HashMap<K, V>>]>,
    hasher: RandomState,
}

impl<K: Eq + Hash, V: Clone> Sharded<K, V> {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, HashMap<K, V>> {
        lock(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.shard(key).get(key).cloned()
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.shard(&key).insert(key, value);
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.shard(key).remove(key)
    }

    /// Removes a value if it is as it should be.
    pub(crate) fn remove_if<Q: Hash + Eq + ?Sized>(&self, key: &Q, is_right: impl FnOnce(&V) -> bool)
    where
        K: Borrow<Q>,
    {
        let mut shard = self.shard(key);
        if shard.get(key).is_some_and(is_right) {
            shard.remove(key);
        }
    }

    /// The value, and whether this call has put it there.
    pub(crate) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> (V, bool) {
        match self.shard(&key).entry(key) {
            Entry::Occupied(entry) => (entry.get().clone(), false),
            Entry::Vacant(entry) => (entry.insert(make()).clone(), true),
        }
    }

    /// Values that `pick` wants, collected shard by shard, so that no lock is held while they are used.
    pub(crate) fn collect(&self, mut pick: impl FnMut(&V) -> bool) -> Vec<V> {
        let mut picked = Vec::new();
        for shard in &self.shards {
            picked.extend(lock(shard).values().filter(|value| pick(value)).cloned());
        }
        picked
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}
