//! The channel's durable events, for those who missed some. Bounded by count and by bytes.

use std::collections::VecDeque;

use bytes::Bytes;

/// The log doesn't reach back so far: the client must query the channel again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    /// The oldest event that is still there.
    pub(crate) oldest: u64,
}

/// Events in order, each as the frame that watchers got.
#[derive(Debug)]
pub(crate) struct EventLog {
    events: VecDeque<(i64, Bytes)>,
    /// The number of the first event in `events`.
    oldest: u64,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
    /// What the last push dropped.
    dropped: std::ops::Range<u64>,
}

impl EventLog {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { events: VecDeque::new(), oldest: 1, bytes: 0, events_max: events_max.max(1), bytes_max, dropped: 0..0 }
    }

    /// The number of the newest event; 0 if there was none.
    pub(crate) fn newest(&self) -> u64 {
        self.oldest + self.events.len() as u64 - 1
    }

    /// Sets where it begins, when it is filled from a store.
    pub(crate) fn start_at(&mut self, seq: u64) {
        debug_assert!(self.events.is_empty(), "only an empty log can be told where it begins");
        self.oldest = seq;
    }

    /// Appends the event with the number after [`EventLog::newest`].
    pub(crate) fn push(&mut self, at: i64, frame: Bytes) {
        self.bytes += frame.len();
        self.events.push_back((at, frame));
        let from = self.oldest;
        while self.events.len() > self.events_max || (self.bytes > self.bytes_max && self.events.len() > 1) {
            if let Some((_, frame)) = self.events.pop_front() {
                self.bytes -= frame.len();
                self.oldest += 1;
            }
        }
        self.dropped = from..self.oldest;
    }

    /// Numbers that the last push has dropped.
    pub(crate) fn forgotten(&self) -> std::ops::Range<u64> {
        self.dropped.clone()
    }

    /// Frames of all events after `seq`.
    pub(crate) fn after(&self, seq: u64) -> Result<impl Iterator<Item = &Bytes>, TooOld> {
        // A client may claim any number, the largest there is too.
        let first = seq.saturating_add(1);
        if first < self.oldest {
            return Err(TooOld { oldest: self.oldest });
        }
        let skip = usize::try_from(first - self.oldest).unwrap_or(usize::MAX);
        Ok(self.events.iter().skip(skip).map(|(_, frame)| frame))
    }

    /// The number before the first event that is not older than `at`: what [`EventLog::after`] wants.
    pub(crate) fn before(&self, at: i64) -> Result<u64, TooOld> {
        let place = self.events.partition_point(|(then, _)| *then < at);
        if place == 0 && self.oldest > 1 {
            return Err(TooOld { oldest: self.oldest });
        }
        Ok(self.oldest + place as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events_max: usize, bytes_max: usize, n: u8) -> EventLog {
        let mut log = EventLog::new(events_max, bytes_max);
        for i in 1..=n {
            log.push(i64::from(i) * 10, Bytes::from(vec![i; 10]));
        }
        log
    }

    fn after(log: &EventLog, seq: u64) -> Result<Vec<u8>, TooOld> {
        log.after(seq).map(|frames| frames.map(|frame| frame[0]).collect())
    }

    #[test]
    fn what_came_later_is_found_by_number_and_by_date() {
        let log = log(100, 10_000, 5);
        assert_eq!(log.newest(), 5);
        assert_eq!(after(&log, 0), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(after(&log, 3), Ok(vec![4, 5]));
        assert_eq!(after(&log, 5), Ok(vec![]));
        assert_eq!((after(&log, 99), after(&log, u64::MAX)), (Ok(vec![]), Ok(vec![])));
        assert_eq!((log.before(0), log.before(30), log.before(31), log.before(99)), (Ok(0), Ok(2), Ok(3), Ok(5)));
        assert_eq!(EventLog::new(1, 1).newest(), 0);
    }

    #[test]
    fn what_was_forgotten_is_said_and_never_skipped() {
        for log in [log(3, 10_000, 5), log(100, 30, 5)] {
            assert_eq!(log.newest(), 5);
            assert_eq!(after(&log, 2), Ok(vec![3, 4, 5]));
            assert_eq!(after(&log, 1), Err(TooOld { oldest: 3 }));
            assert_eq!(log.before(30), Err(TooOld { oldest: 3 }));
            assert_eq!(log.before(31), Ok(3));
            assert_eq!(log.forgotten(), 2..3);
        }
    }
}
