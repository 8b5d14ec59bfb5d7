//! What a node counts about itself, for `GET /stats`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sharded::Waits;

/// Counters since the start. Each is read and written on its own; they are not a snapshot of one instant.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Sockets that were accepted.
    pub(crate) accepted: AtomicU64,
    /// Sockets and users that were refused since there were too many.
    pub(crate) refused: AtomicU64,
    /// Guests that were sent away since there were too many, or since they had waited too long.
    pub(crate) sent_away: AtomicU64,
    /// API calls.
    pub(crate) requests: AtomicU64,
    /// Answers that were not 2xx.
    pub(crate) failed: AtomicU64,
    /// Calls over the rate limit.
    pub(crate) rate_limited: AtomicU64,
    /// Events that were published to a channel's watchers.
    pub(crate) published: AtomicU64,
    /// Connections closed as slow readers.
    pub(crate) closed_slow: AtomicU64,
    /// Connections closed for silence.
    pub(crate) closed_silent: AtomicU64,
    /// Connections closed for broken frames, binary, oversize or malformed messages.
    pub(crate) closed_protocol: AtomicU64,
    /// Channels' locks that were taken already.
    pub(crate) cell_waits: Waits,
}

/// What one shard counts; nobody else writes to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardStats {
    /// Sockets that live here.
    pub(crate) sockets: AtomicU64,
    /// Frames for watchers, counted watcher by watcher.
    pub(crate) fanned_out: AtomicU64,
    /// Bytes of such frames.
    pub(crate) fanned_out_bytes: AtomicU64,
    /// Frames that were handed to the kernel.
    pub(crate) frames_written: AtomicU64,
    /// Writes that it took.
    pub(crate) writes: AtomicU64,
    /// Bytes of frames that the kernel took; what was compressed counts as it left.
    pub(crate) written_bytes: AtomicU64,
    /// Walks over a room's watchers.
    pub(crate) passes: AtomicU64,
    /// Frames that wait in rooms for their pass.
    pub(crate) waiting: AtomicU64,
    /// Bytes that wait for sockets that are full, and for polls.
    pub(crate) outbox_bytes: AtomicU64,
    /// By how much timers were late at worst in the last second, in microseconds.
    pub(crate) loop_delay_us: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Takes from a gauge.
pub(crate) fn take(gauge: &AtomicU64, n: u64) {
    gauge.fetch_sub(n, Ordering::Relaxed);
}

/// Sets a gauge.
pub(crate) fn set(gauge: &AtomicU64, n: u64) {
    gauge.store(n, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
