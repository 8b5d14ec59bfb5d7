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
    /// Its number there.
    pub(crate) number: u64,
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
    Repeat(Delivery),
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
    /// At most one a channel.
    held: Vec<Held>,
    shut: bool,
}

/// What waits for the next delivery of its channel.
#[derive(Debug)]
enum Held {
    /// It is to come after that one.
    Late(Delivery),
    /// It has come, and is to come again before that one: a receiver that has all it expects may be gone at once, and
    /// a repeat of the last frame would be a repeat that nobody could see.
    Again(Delivery),
}

impl Held {
    const fn delivery(&self) -> &Delivery {
        match self {
            Self::Late(delivery) | Self::Again(delivery) => delivery,
        }
    }
}

/// The writing half of a connection.
#[derive(Debug)]
pub(crate) struct Outlet {
    stream: Arc<TcpStream>,
    /// Whose connection it is.
    user: String,
    ledger: Arc<Ledger>,
    clock: Clock,
    line: Mutex<Line>,
    /// Told when the system takes no more, or the connection is to end.
    pub(crate) stuck: Notify,
}

impl Outlet {
    pub(crate) fn new(stream: Arc<TcpStream>, user: String, ledger: Arc<Ledger>, clock: Clock) -> Self {
        Self { stream, user, ledger, clock, line: Mutex::default(), stuck: Notify::new() }
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

    /// It is time for a delivery. True if something of it is kept back until its successor comes.
    pub(crate) fn deliver(&self, delivery: Delivery, fault: Fault) -> bool {
        self.with(|line| {
            if line.shut {
                self.ledger.undeliverable();
                return false;
            }
            if fault == Fault::Drop {
                self.ledger.dropped(&self.user, &delivery.cid, delivery.number);
                return false;
            }
            let held = line.held.iter().position(|h| h.delivery().cid == delivery.cid).map(|at| line.held.remove(at));
            let keeps = held.is_none() && matches!(fault, Fault::Swap | Fault::Duplicate);
            match (held, fault) {
                (None, Fault::Swap) => line.held.push(Held::Late(delivery)),
                (None, Fault::Duplicate) => {
                    line.put(delivery.frame.clone(), What::First(delivery.clone()));
                    line.held.push(Held::Again(delivery));
                }
                (None, _) => line.put(delivery.frame.clone(), What::First(delivery)),
                // Who was waited for waits for nobody.
                (Some(Held::Late(late)), _) => {
                    line.put(delivery.frame.clone(), What::First(delivery));
                    line.put(late.frame.clone(), What::Swapped(late));
                }
                (Some(Held::Again(known)), _) => {
                    line.put(known.frame.clone(), What::Repeat(known));
                    line.put(delivery.frame.clone(), What::First(delivery));
                }
            }
            self.flush(line);
            keeps
        })
    }

    /// What is kept back of this frame waits no longer: no successor came.
    pub(crate) fn release(&self, frame: &Bytes) {
        self.with(|line| {
            let held = line.held.iter().position(|h| h.delivery().frame.as_ptr() == frame.as_ptr());
            if let Some(Held::Late(late)) = held.map(|at| line.held.remove(at)) {
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
            let late = line.held.drain(..).filter(|h| matches!(h, Held::Late(_))).count();
            for _ in 0..firsts + late {
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
            What::First(d) => self.ledger.written(d, at),
            What::Swapped(d) => {
                self.ledger.written(d, at);
                self.ledger.swapped(&self.user, &d.cid, d.number);
            }
            What::Repeat(d) => self.ledger.duplicated(&self.user, &d.cid, d.number),
        }
    }
}

impl Line {
    fn put(&mut self, bytes: Bytes, what: What) {
        self.bytes += bytes.len();
        self.waiting.push_back(Waiting { bytes, what });
    }
}
