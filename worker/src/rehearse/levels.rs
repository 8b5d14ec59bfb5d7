//! What the host of a simulated worker would say of itself: processor time, memory, files, and its event loop.

use std::time::Duration;

use measure::{Gauge, Metric, Recorder};

use super::latency::Latency;

/// Cores that a simulated worker's host has.
pub const CORES: u32 = 8;
/// Processor time of a frame that comes in, in nanoseconds.
const NANOS_A_FRAME: u64 = 1_500;
/// Resident memory of a worker without users, and of a user.
const BYTES: i64 = 20 << 20;
const BYTES_A_USER: i64 = 1 << 10;
/// Open files beside users.
const FILES: i64 = 100;
/// Looks at the event loop's delay in a second.
const LOOKS: u64 = 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Levels {
    worker: u32,
    users: i64,
    frames: u64,
    until: Duration,
    looks: u64,
}

impl Levels {
    pub(super) fn new(worker: u32) -> Self {
        Self { worker, users: 0, frames: 0, until: Duration::ZERO, looks: 0 }
    }

    /// More or fewer users are connected.
    pub(super) fn users(&mut self, by: i64) {
        self.users += by;
    }

    /// So many frames came in.
    pub(super) fn frames_came(&mut self, n: u64) {
        self.frames += n;
    }

    /// Sets the levels at `until`; so many frames came by then that were not told yet.
    pub(super) fn set(&mut self, r: &mut Recorder, latency: &Latency, until: Duration, frames: u64) {
        let frames = std::mem::take(&mut self.frames) + frames;
        let Some(passed) = until.checked_sub(self.until).filter(|passed| !passed.is_zero()) else { return };
        self.until = until;
        let busy = u128::from(frames * NANOS_A_FRAME) * 1_000 / passed.as_nanos();
        let most = i64::from(CORES) * 900;
        r.set(Gauge::ProcessCpuMilli, None, i64::try_from(busy).unwrap_or(most).min(most));
        r.set(Gauge::ProcessRssBytes, None, BYTES + self.users * BYTES_A_USER);
        r.set(Gauge::ProcessFiles, None, FILES + self.users);
        let looks = (until.as_secs_f64() * LOOKS as f64) as u64;
        for look in self.looks..looks {
            let delay = latency.loop_delay(self.worker, look);
            r.record(Metric::LoopDelay, i64::try_from(delay).unwrap_or(i64::MAX));
        }
        self.looks = self.looks.max(looks);
    }
}
