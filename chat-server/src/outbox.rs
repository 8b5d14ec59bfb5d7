//! What waits for a connection that polls: frames, shared by reference count and bounded in bytes.
//!
//! The connection's shard pushes; polls, which come over any socket of any shard, take. An idle outbox owns no memory
//! beside itself.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wire::close;

use crate::sharded::lock;

/// What became of a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// It will be sent, in order.
    Queued,
    /// It didn't fit any more: the outbox has just been closed as a slow reader's.
    Overflowed,
    /// The outbox was closed before.
    Closed,
}

/// Why and how an outbox ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// The close code that the peer gets.
    pub(crate) code: u16,
    /// Why, in words.
    pub(crate) reason: &'static str,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Bytes>,
    /// Bytes queued, and bytes taken but not yet written.
    bytes: usize,
    waker: Option<Waker>,
    closing: Option<Closing>,
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

/// What the sending side finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Frames were put into the given queue.
    Frames,
    /// Nothing more will come.
    Closed(Closing),
}

impl Outbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
    }

    /// Queues a frame and wakes the sender. The first frame always fits, whatever its size.
    pub(crate) fn push(&self, frame: &Bytes) -> Push {
        let mut inner = lock(&self.inner);
        if inner.closing.is_some() {
            return Push::Closed;
        }
        let bytes = inner.bytes + frame.len();
        let pushed = if bytes > self.bytes_max && inner.bytes > 0 {
            // The backlog is worth nothing to a client that has to reconnect and catch up anyway.
            inner.queue = VecDeque::new();
            inner.closing =
                Some(Closing { code: close::SLOW_READER, reason: "reading too slowly: reconnect, then POST /sync" });
            Push::Overflowed
        } else {
            inner.bytes = bytes;
            inner.queue.push_back(frame.clone());
            Push::Queued
        };
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        pushed
    }

    /// Ends it after what is queued. The first reason stands; `false` if there was one already.
    pub(crate) fn close(&self, code: u16, reason: &'static str) -> bool {
        let mut inner = lock(&self.inner);
        let first = inner.closing.is_none();
        if first {
            inner.closing = Some(Closing { code, reason });
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        first
    }

    /// Takes all frames into `into`, or waits for one.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, into: &mut VecDeque<Bytes>) -> Poll<Taken> {
        let mut inner = lock(&self.inner);
        if !inner.queue.is_empty() {
            if into.is_empty() {
                std::mem::swap(&mut inner.queue, into);
                inner.queue = VecDeque::new();
            } else {
                into.append(&mut inner.queue);
            }
            return Poll::Ready(Taken::Frames);
        }
        if let Some(closing) = inner.closing {
            return Poll::Ready(Taken::Closed(closing));
        }
        inner.wait(cx);
        Poll::Pending
    }

    /// Makes room: `bytes` of what was taken have been written.
    pub(crate) fn written(&self, bytes: usize) {
        let mut inner = lock(&self.inner);
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.inner).bytes
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    struct Count(std::sync::atomic::AtomicUsize);

    impl Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn frame(byte: u8, length: usize) -> Bytes {
        Bytes::from(vec![byte; length])
    }

    #[test]
    fn frames_leave_in_order_and_the_sender_is_woken_once() {
        let count = std::sync::Arc::new(Count(Default::default()));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let (outbox, mut taken) = (Outbox::new(100), VecDeque::new());
        assert!(outbox.poll_take(&cx, &mut taken).is_pending());
        for byte in 1..=3 {
            assert_eq!(outbox.push(&frame(byte, 10)), Push::Queued);
        }
        assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert_eq!(outbox.poll_take(&cx, &mut taken), Poll::Ready(Taken::Frames));
        assert_eq!(taken.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(outbox.bytes(), 30, "taken is not yet written");
        outbox.written(30);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_full_outbox_closes_as_slow_and_takes_nothing_more() {
        let cx = Context::from_waker(Waker::noop());
        let (outbox, mut taken) = (Outbox::new(100), VecDeque::new());
        assert_eq!(outbox.push(&frame(1, 500)), Push::Queued, "the first always fits");
        assert_eq!(outbox.push(&frame(2, 1)), Push::Overflowed);
        assert_eq!(outbox.push(&frame(3, 1)), Push::Closed);
        outbox.close(close::GOING_AWAY, "too late");
        let Poll::Ready(Taken::Closed(closing)) = outbox.poll_take(&cx, &mut taken) else { panic!("not closed") };
        assert_eq!(closing.code, close::SLOW_READER);
    }

    #[test]
    fn an_orderly_close_comes_after_what_is_queued() {
        let cx = Context::from_waker(Waker::noop());
        let (outbox, mut taken) = (Outbox::new(100), VecDeque::new());
        outbox.push(&frame(1, 10));
        outbox.close(close::NORMAL, "done");
        assert_eq!(outbox.push(&frame(2, 10)), Push::Closed);
        assert_eq!(outbox.poll_take(&cx, &mut taken), Poll::Ready(Taken::Frames));
        assert_eq!(
            outbox.poll_take(&cx, &mut taken),
            Poll::Ready(Taken::Closed(Closing { code: close::NORMAL, reason: "done" }))
        );
    }
}
