//! Deliveries that wait for their time, and the thread that waits with them.
//!
//! A thread of its own, because it wakes within some tens of microseconds of a deadline, which tokio's timers don't.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use measure::{Clock, Timestamp};

use crate::faults::Fault;
use crate::outlet::{Delivery, Outlet};
use crate::stall::Stall;

/// Deliveries that may wait; about 150 bytes each.
const WAITING_MAX: usize = 1_000_000;
/// A delivery that is to come after its successor waits so long for one.
const SUCCESSOR_WITHIN: Duration = Duration::from_secs(1);
/// How long the thread sleeps at most when nothing is due.
const IDLE: Duration = Duration::from_secs(1);

/// What is done when it is due.
#[derive(Debug)]
enum Work {
    Deliver(Delivery, Fault),
    Release(Bytes),
}

#[derive(Debug)]
struct Job {
    at: Timestamp,
    number: u64,
    outlet: Arc<Outlet>,
    work: Work,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Debug, Default)]
struct Queue {
    jobs: BinaryHeap<Reverse<Job>>,
    next: u64,
    closed: bool,
}

/// The deliveries that wait.
#[derive(Debug)]
pub(crate) struct Post {
    queue: Mutex<Queue>,
    changed: Condvar,
    stall: Arc<Stall>,
    clock: Clock,
}

impl Post {
    pub(crate) fn new(stall: Arc<Stall>, clock: Clock) -> Self {
        Self { queue: Mutex::default(), changed: Condvar::new(), stall, clock }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many more may wait.
    pub(crate) fn has_room(&self, for_more: usize) -> bool {
        self.lock().jobs.len().saturating_add(for_more) <= WAITING_MAX
    }

    /// Delivers at `at`. Of one connection's deliveries with the same instant, the one that was put first goes first.
    pub(crate) fn deliver(&self, at: Timestamp, outlet: Arc<Outlet>, delivery: Delivery, fault: Fault) {
        self.put(at, outlet, Work::Deliver(delivery, fault));
    }

    fn put(&self, at: Timestamp, outlet: Arc<Outlet>, work: Work) {
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        let first = queue.jobs.peek().is_none_or(|Reverse(job)| at < job.at);
        queue.jobs.push(Reverse(Job { at, number, outlet, work }));
        if first {
            self.changed.notify_one();
        }
    }

    /// Ends [`Post::run`]; what still waits is not delivered.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Delivers until closed.
    pub(crate) fn run(&self) {
        while let Some(Job { outlet, work, .. }) = self.next() {
            match work {
                Work::Deliver(delivery, fault) => {
                    let frame = delivery.frame.clone();
                    if outlet.deliver(delivery, fault) {
                        self.put(self.clock.now() + SUCCESSOR_WITHIN, outlet, Work::Release(frame));
                    }
                }
                Work::Release(frame) => outlet.release(&frame),
            }
        }
    }

    /// Waits for the next that is due; `None` when closed.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        while !queue.closed {
            let now = self.clock.now();
            let standing = self.stall.left(now);
            let due = queue.jobs.peek().map(|Reverse(job)| job.at);
            let wait = match due {
                _ if !standing.is_zero() => standing,
                Some(at) if at <= now => return queue.jobs.pop().map(|Reverse(job)| job),
                Some(at) => at.since(now),
                None => IDLE,
            };
            queue = self.changed.wait_timeout(queue, wait.min(IDLE)).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}
