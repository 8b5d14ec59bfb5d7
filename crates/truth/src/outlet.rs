//! One connection's way out: frames in order, written at once where the system takes them, and stamped as they are.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use measure::{Clock, Timestamp};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use wire::Stamp;

use crate::faults::Fault;
use crate::ledger::Ledger;

/// Bytes that may wait for a connection that doesn't read; then it is cut.
const WAITING_MAX: usize = 16 << 20;

/// A delivery.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The whole frame.
    pub(crate) frame: Bytes,
    /// Its channel.
    pub(crate) cid: Arc<str>,
    /// Its message's stamp, if that is throng's.
    pub(crate) stamp: Option<Stamp>,
    /// When its message came.
    pub(crate) came: Timestamp,
}

/// What a frame that waits to be written is.
#[derive(Debug)]
enum What {
    /// None of a channel's: keep-alives, pongs.
    Plain,
    First(Delivery),
    Swapped(Delivery),
    Repeat,
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    what: What,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// Bytes of all that waits.
    bytes: usize,
    /// Bytes of the first that were taken already.
    done: usize,
    /// Deliveries that are to come after their successor.
    held: Vec<Delivery>,
    shut: bool,
}

/// The writing half of a connection.
#[derive(Debug)]
pub(crate) struct Outlet {
    stream: Arc<TcpStream>,
    ledger: Arc<Ledger>,
    clock: Clock,
    line: Mutex<Line>,
    /// Told when the system takes no more, or the connection is to end.
    pub(crate) stuck: Notify,
}

impl Outlet {
    pub(crate) fn new(stream: Arc<TcpStream>, ledger: Arc<Ledger>, clock: Clock) -> Self {
        Self { stream, ledger, clock, line: Mutex::default(), stuck: Notify::new() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Line) -> T) -> T {
        f(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A frame that is no channel's.
    pub(crate) fn say(&self, frame: Bytes) {
        self.with(|line| {
            line.put(frame, What::Plain);
            self.flush(line);
        });
    }

    /// It is time for a delivery. True if it is kept back until its successor has gone.
    pub(crate) fn deliver(&self, delivery: Delivery, fault: Fault) -> bool {
        self.with(|line| {
            if line.shut {
                self.ledger.undeliverable();
                return false;
            }
            let held = line.held.iter().position(|h| h.cid == delivery.cid);
            match fault {
                Fault::Drop => {
                    self.ledger.dropped();
                    return false;
                }
                // Its predecessor waits for it: it can't wait itself.
                Fault::Swap if held.is_none() => {
                    line.held.push(delivery);
                    return true;
                }
                Fault::Duplicate => {
                    let again = delivery.frame.clone();
                    line.put(delivery.frame.clone(), What::First(delivery));
                    line.put(again, What::Repeat);
                }
                Fault::Swap | Fault::None => line.put(delivery.frame.clone(), What::First(delivery)),
            }
            if let Some(at) = held {
                let late = line.held.remove(at);
                line.put(late.frame.clone(), What::Swapped(late));
            }
            self.flush(line);
            false
        })
    }

    /// Whoever still waits for a successor waits no longer, if it is this frame.
    pub(crate) fn release(&self, frame: &Bytes) {
        self.with(|line| {
            if let Some(at) = line.held.iter().position(|h| h.frame.as_ptr() == frame.as_ptr()) {
                let late = line.held.remove(at);
                line.put(late.frame.clone(), What::First(late));
                self.flush(line);
            }
        });
    }

    /// The system takes bytes again.
    pub(crate) fn go_on(&self) {
        self.with(|line| self.flush(line));
    }

    /// Whether something waits to be written.
    pub(crate) fn is_waiting(&self) -> bool {
        self.with(|line| !line.waiting.is_empty())
    }

    /// Whether the connection is over.
    pub(crate) fn is_shut(&self) -> bool {
        self.with(|line| line.shut)
    }

    /// The connection is over.
    pub(crate) fn shut(&self) {
        self.with(|line| {
            line.shut = true;
            let firsts = line.waiting.drain(..).filter(|w| matches!(w.what, What::First(_) | What::Swapped(_))).count();
            for _ in 0..firsts + line.held.drain(..).count() {
                self.ledger.undeliverable();
            }
        });
        self.stuck.notify_one();
    }

    fn flush(&self, line: &mut Line) {
        while let Some(first) = line.waiting.front() {
            // Before the call: on loopback the receiver may run before it returns.
            let at = self.clock.now();
            match self.stream.try_write(&first.bytes[line.done..]) {
                Ok(n) if line.done + n == first.bytes.len() => {
                    line.done = 0;
                    line.bytes -= first.bytes.len();
                    if let Some(gone) = line.waiting.pop_front() {
                        self.wrote(&gone.what, at);
                    }
                }
                Ok(n) => line.done += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && line.bytes <= WAITING_MAX => {
                    return self.stuck.notify_one();
                }
                Err(_) => {
                    // Its task finds it out, and shuts it.
                    line.shut = true;
                    return self.stuck.notify_one();
                }
            }
        }
    }

    fn wrote(&self, what: &What, at: Timestamp) {
        match what {
            What::Plain => {}
            What::First(d) => self.ledger.written(d.stamp.as_ref(), d.came, at, false),
            What::Swapped(d) => self.ledger.written(d.stamp.as_ref(), d.came, at, true),
            What::Repeat => self.ledger.duplicated(),
        }
    }
}

impl Line {
    fn put(&mut self, bytes: Bytes, what: What) {
        self.bytes += bytes.len();
        self.waiting.push_back(Waiting { bytes, what });
    }
}
