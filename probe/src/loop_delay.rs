//! How late the event loop wakes up: a process that is late for itself is late for everybody.

use std::time::Duration;

use measure::{Clock, Metric, Recorder, SharedRecorder};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often the loop is asked.
const PERIOD: Duration = Duration::from_millis(50);

/// Measures the delay of the runtime in which it was started, for as long as it lives.
#[derive(Debug)]
pub struct LoopDelay {
    recorder: SharedRecorder,
    _running: DropGuard,
}

impl LoopDelay {
    /// Starts to measure in the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(clock: Clock) -> Self {
        let recorder = SharedRecorder::new(Recorder::new(0, clock.now()));
        let (ours, running) = (recorder.clone(), CancellationToken::new());
        let end = running.clone();
        tokio::spawn(async move {
            loop {
                let due = clock.now() + PERIOD;
                tokio::select! {
                    () = tokio::time::sleep(PERIOD) => {}
                    () = end.cancelled() => return,
                }
                let late = clock.now().micros_since(due);
                ours.with(|r| r.record(Metric::LoopDelay, late.max(0)));
            }
        });
        Self { recorder, _running: running.drop_guard() }
    }

    /// What it records into, for a shipper.
    pub fn recorder(&self) -> SharedRecorder {
        self.recorder.clone()
    }
}
