//! A message on its way to the users of a worker: it arrives over some time, which may reach into the next interval.

use std::time::Duration;

use measure::{Cohort, Counter, MessageKey, Place, Recorder};

use super::service::Published;

/// See the module.
#[derive(Debug)]
pub(super) struct Underway {
    key: MessageKey,
    place: Place,
    cohort: Cohort,
    /// When it was due, since the run's start.
    due: Duration,
    /// Sent so long after that, in microseconds.
    late: u64,
    bytes: u64,
    /// Microseconds since it was due, rising, and how many have it then.
    receivers: Vec<(u64, u64)>,
    /// Of these, so many have it.
    had: usize,
}

impl Underway {
    /// `event` was sent to `receivers`: microseconds since its sending, rising, and how many.
    pub(super) fn new(
        event: &Published,
        key: MessageKey,
        place: Place,
        cohort: Cohort,
        mut receivers: Vec<(u64, u64)>,
    ) -> Self {
        receivers.iter_mut().for_each(|(micros, _)| *micros += event.late);
        Self { key, place, cohort, due: event.at, late: event.late, bytes: event.bytes, receivers, had: 0 }
    }

    /// Whether everybody has it.
    pub(super) fn is_over(&self) -> bool {
        self.had == self.receivers.len()
    }

    /// Who has it before `until` gets it; how many these are.
    pub(super) fn arrive(&mut self, r: &mut Recorder, until: Duration) -> u64 {
        let rest = &self.receivers[self.had..];
        let left = until.saturating_sub(self.due).as_micros();
        let now = rest.partition_point(|(micros, _)| u128::from(*micros) < left);
        let now = if until == Duration::MAX { rest.len() } else { now };
        if now == 0 {
            return 0;
        }
        let had = &rest[..now];
        r.record_deliveries(self.key, Some(self.place), self.cohort, had, self.late);
        let n: u64 = had.iter().map(|(_, n)| n).sum();
        for (counter, n) in [
            (Counter::MessagesReceived, n),
            (Counter::Delivered, n),
            (Counter::FramesReceived, n),
            (Counter::BytesReceived, n * self.bytes),
        ] {
            r.count(counter, Some(self.cohort), n);
        }
        self.had += now;
        n
    }
}
