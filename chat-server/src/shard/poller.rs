//! Which of a shard's sockets have news: an epoll of its own, which the runtime's watches as one file.
//!
//! So a connection costs no task and no registration of the runtime's, some 500 bytes, and a thousand sockets with news
//! are one wake-up.

use std::cell::RefCell;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::hub::LineKey;

/// Sockets that are taken at once.
const BATCH: usize = 256;

/// What there is to know of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    pub(super) line: LineKey,
    /// Something can be read, be it the end.
    pub(super) readable: bool,
    /// Something can be written after it could not.
    pub(super) writable: bool,
    /// The peer has ended its side, or the socket is broken.
    pub(super) ended: bool,
}

/// See the module.
pub(super) struct Poller {
    epoll: AsyncFd<OwnedFd>,
    events: RefCell<Vec<Event>>,
}

impl Poller {
    /// Must be called within the shard's runtime.
    pub(super) fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "the newer ones are unsafe, for files that others may close; ours is owned")]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll, events: RefCell::new(Vec::with_capacity(BATCH)) })
    }

    /// Watches a socket, edge by edge: each news is told once.
    pub(super) fn add(&self, stream: &TcpStream, line: LineKey) -> std::io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(self.epoll.get_ref(), stream, EventData::new_u64(u64::from(line)), flags)?)
    }

    /// Watches it no more; closing it does the same.
    pub(super) fn remove(&self, stream: &TcpStream) {
        if let Err(error) = epoll::delete(self.epoll.get_ref(), stream) {
            tracing::warn!("can't stop waiting for a socket: {error}");
        }
    }

    /// Hands out what is known by now. `true` if there may be more.
    pub(super) fn take(&self, mut each: impl FnMut(News)) -> bool {
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = self.events.borrow_mut();
        events.clear();
        let count = match epoll::wait(self.epoll.get_ref(), rustix::buffer::spare_capacity(&mut events), Some(&NOW)) {
            Ok(count) => count,
            // Interrupted: to be asked again, or what there is would never be heard of.
            Err(_) => return true,
        };
        for event in events.iter() {
            let (flags, data) = (event.flags, event.data);
            let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            each(News {
                line: data.u64() as LineKey,
                readable: ended || flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
                ended,
            });
        }
        count == BATCH
    }

    /// Waits until there is news.
    pub(super) async fn ready(&self) {
        match self.epoll.readable().await {
            // Cleared before it is looked at, so that news in between are not missed.
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }
}
