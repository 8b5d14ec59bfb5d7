//! Everything that a thread measures, in the words of `measure`.

use std::cell::RefCell;

use agent::Known;
use client::{CallError, Closed, ConnectError, Timings};
use measure::{
    Clock, Cohort, Counter, Course, Gauge, MessageKey, Metric, Place, Recorder, Series, SharedRecorder, Timestamp,
};
use scenarios::model::ActionKind;
use tokio::sync::watch;
use wire::Stamp;

use crate::account::{Note, Tally, What};
use crate::frames::Head;
use crate::user::ChannelId;

/// A thread's recorder, and what it takes to stamp by run time.
#[derive(Debug)]
pub(crate) struct Book {
    recorder: SharedRecorder,
    clock: Clock,
    run_clock: RefCell<RunClock>,
}

/// The run's clock as the thread reads it: a course of its own, so that nobody is waited for. Whether there is a newer one
/// is the look at one number.
#[derive(Debug)]
struct RunClock {
    course: Course,
    known: watch::Receiver<Known>,
}

impl Book {
    /// A book on a recorder. What is known of the run's clock is followed.
    pub(crate) fn new(recorder: SharedRecorder, clock: Clock, mut known: watch::Receiver<Known>) -> Self {
        let course = known.borrow_and_update().course;
        Self { recorder, clock, run_clock: RefCell::new(RunClock { course, known }) }
    }

    /// Now, on this host's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An instant of this host in run time.
    pub(crate) fn run_time(&self, at: Timestamp) -> Timestamp {
        let RunClock { course, known } = &mut *self.run_clock.borrow_mut();
        // Without a sender, as on one host, there will be nothing newer.
        if known.has_changed().unwrap_or(false) {
            *course = known.borrow_and_update().course;
        }
        course.to_theirs(at)
    }

    /// Something fell due at `due` and is being started now.
    pub(crate) fn started(&self, cohort: Cohort, due: Timestamp) {
        let lag = self.now().micros_since(due);
        self.recorder.with(|r| {
            r.count(Counter::Due, Some(cohort), 1);
            r.record(of(Metric::Lag, cohort), lag);
        });
    }

    /// What fell due is a message.
    pub(crate) fn send_due(&self, cohort: Cohort) {
        self.recorder.with(|r| r.count(Counter::SendsDue, Some(cohort), 1));
    }

    /// What fell due was not started.
    pub(crate) fn dropped(&self, cohort: Cohort) {
        self.recorder.with(|r| r.count(Counter::Dropped, Some(cohort), 1));
    }

    /// A connection reached its first event. One that is polled has no parts to be timed.
    pub(crate) fn connected(&self, cohort: Cohort, due: Timestamp, timings: Option<Timings>, bytes: usize) {
        let since_due = self.now().micros_since(due);
        let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        self.recorder.with(|r| {
            r.record(of(Metric::Connect, cohort), since_due);
            if let Some(timings) = timings {
                r.record(of(Metric::ConnectTcp, cohort), micros(timings.tcp));
                if let Some(tls) = timings.tls {
                    r.record(of(Metric::ConnectTls, cohort), micros(tls));
                }
                r.record(of(Metric::ConnectUpgrade, cohort), micros(timings.upgrade));
                r.record(of(Metric::ConnectFirstEvent, cohort), micros(timings.first_event));
            }
            r.count(Counter::Connected, Some(cohort), 1);
            received(r, cohort, bytes);
        });
    }

    /// A connection failed before its first event.
    pub(crate) fn connect_failed(&self, cohort: Cohort, error: &ConnectError) {
        self.recorder.with(|r| {
            r.count(Counter::ConnectFailed, Some(cohort), 1);
            r.error(&format!("connect: {}", error.kind()), Some(cohort));
        });
    }

    /// A connection ended without being asked to.
    pub(crate) fn disconnected(&self, cohort: Cohort, closed: &Closed) {
        self.recorder.with(|r| {
            r.count(Counter::Disconnected, Some(cohort), 1);
            r.error(&format!("closed: {}", closed.kind()), Some(cohort));
        });
    }

    /// A frame came; `fresh` unless its user had the event already.
    pub(crate) fn frame(&self, cohort: Cohort, bytes: usize, head: &Head, fresh: bool, at: Timestamp) {
        let at = self.run_time(at);
        self.recorder.with(|r| {
            received(r, cohort, bytes);
            if !head.message || !fresh {
                return;
            }
            r.count(Counter::MessagesReceived, Some(cohort), 1);
            if let Some(Stamp { action, number, due, sent }) = head.stamp {
                let since = |then| at.micros_since(Timestamp::from_nanos(then));
                let place = head.channel.zip(head.seq);
                let sent_at = Timestamp::from_nanos(sent);
                let place = place.map(|(channel, number)| Place { channel, number, sent: sent_at });
                r.record_delivery(MessageKey::new(action, number), place, cohort, since(due), since(sent));
            }
        });
    }

    /// A frame that is no event.
    pub(crate) fn unreadable(&self, cohort: Cohort, bytes: usize) {
        self.recorder.with(|r| {
            received(r, cohort, bytes);
            r.error("frame: not an event", Some(cohort));
        });
    }

    /// A channel's number in notes, and its name.
    pub(crate) fn channel(&self, channel: ChannelId, name: &str) {
        self.recorder.with(|r| r.channel(channel, name));
    }

    /// Adds to the account of events, at once for users and for events: an interval has both or none.
    pub(crate) fn account(
        &self,
        user: u64,
        cohort: Cohort,
        tally: Tally,
        notes: Vec<(ChannelId, Note)>,
        at: Timestamp,
    ) {
        if tally == Tally::default() && notes.is_empty() {
            return;
        }
        let at = self.run_time(at);
        let counts = [
            (Counter::Expected, tally.expected),
            (Counter::Delivered, tally.delivered),
            (Counter::Lost, tally.lost),
            (Counter::Duplicated, tally.duplicated),
            (Counter::Reordered, tally.reordered),
            (Counter::Recovered, tally.recovered),
        ];
        self.recorder.with(|r| {
            for (counter, n) in counts.into_iter().filter(|(_, n)| *n > 0) {
                r.count(counter, Some(cohort), n);
            }
            for (channel, (what, first, last)) in notes {
                match what {
                    What::Covered(covered) => r.cover(channel, covered, first, last),
                    What::Mishap(mishap) => r.example(mishap, at, user, channel, (first, last)),
                }
            }
        });
    }

    /// Visits ended in channels whose last number nobody told.
    pub(crate) fn unsettled(&self, cohort: Cohort, channels: u64) {
        if channels > 0 {
            self.recorder.with(|r| r.count(Counter::Unsettled, Some(cohort), channels));
        }
    }

    /// An action's call was answered, or not.
    pub(crate) fn acted(&self, kind: ActionKind, cohort: Cohort, due: Timestamp, result: &Result<Answer, CallError>) {
        let (metric, word) = match kind {
            ActionKind::Send { .. } => (Metric::Send, "send"),
            ActionKind::React => (Metric::React, "react"),
            ActionKind::Typing => (Metric::Typing, "typing"),
            ActionKind::Read => (Metric::Read, "read"),
        };
        let Ok(Answer { sent, answered }) = result else {
            return result.as_ref().err().into_iter().for_each(|e| self.failed(word, cohort, e));
        };
        self.recorder.with(|r| {
            r.record(of(metric, cohort), answered.micros_since(due));
            if metric == Metric::Send {
                r.record(of(Metric::SendService, cohort), answered.micros_since(*sent));
                r.count(Counter::Sent, Some(cohort), 1);
            } else {
                r.count(Counter::Acted, Some(cohort), 1);
            }
        });
    }

    /// Watching a channel took so long.
    pub(crate) fn watched(&self, cohort: Cohort, asked: Timestamp) {
        let took = self.now().micros_since(asked);
        self.recorder.with(|r| r.record(of(Metric::Watch, cohort), took));
    }

    /// A call failed.
    pub(crate) fn failed(&self, word: &str, cohort: Cohort, error: &CallError) {
        self.recorder.with(|r| {
            r.count(Counter::CallFailed, Some(cohort), 1);
            r.error(&format!("{word}: {}", error.kind()), Some(cohort));
        });
    }

    /// Moves a level.
    pub(crate) fn add(&self, gauge: Gauge, cohort: Option<Cohort>, by: i64) {
        if by != 0 {
            self.recorder.with(|r| r.add(gauge, cohort, by));
        }
    }
}

/// When a call was sent and answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// When it was given to a connection.
    pub(crate) sent: Timestamp,
    /// When the answer was there.
    pub(crate) answered: Timestamp,
}

fn of(metric: Metric, cohort: Cohort) -> Series {
    Series { metric, cohort: Some(cohort) }
}

fn received(r: &mut Recorder, cohort: Cohort, bytes: usize) {
    r.count(Counter::FramesReceived, Some(cohort), 1);
    r.count(Counter::BytesReceived, Some(cohort), bytes as u64);
}
