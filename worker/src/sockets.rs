//! A thread's open connections: no task and no buffer of their own.
//!
//! They stand behind an epoll of their own, which the thread's event loop sees as one file. What is readable is read
//! into one buffer that all share, and decoded where it lies. So an idle user is an entry of a table, and a busy room
//! is read hundreds of connections at a time.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use client::lean::{LeanSocket, Message};
use client::{Closed, keep_alive};
use measure::Timestamp;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use wire::deflate::Agreement;
use wire::frame::{FrameError, Opcode};

use crate::load::{Load, Local};
use crate::polled::Line;
use crate::session::{GOODBYE, LEEWAY, lost};
use crate::streams::{Place, Streams};

/// Bytes that are read at once; also the whole read memory of a thread.
const READ_BUFFER: usize = 64 << 10;
/// Connections that are read between two turns of the event loop.
const BATCH: usize = 128;
/// At most this much memory is set aside for connections that may never come.
const ROOM_MAX: usize = 1 << 16;

/// Names a connection of a thread. It is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketId {
    slot: u32,
    /// Slots are used again, numbers aren't.
    number: u32,
}

impl SocketId {
    const fn pack(self) -> u64 {
        (self.number as u64) << 32 | self.slot as u64
    }

    const fn unpack(packed: u64) -> Self {
        Self { slot: packed as u32, number: (packed >> 32) as u32 }
    }
}

/// One open connection.
pub(crate) struct Connection {
    pub(crate) socket: LeanSocket,
    /// How far it has come in the compressed stream that it follows, if it agreed to one.
    pub(crate) place: Option<Rc<Place>>,
    /// Names it in API calls.
    pub(crate) id: Box<str>,
    pub(crate) local: Local,
    pub(crate) epoch: u32,
    /// When we last said something, and heard something.
    pub(crate) said: Timestamp,
    pub(crate) heard: Timestamp,
}

struct Slot {
    connection: Connection,
    number: u32,
    /// Since when it waits for the other end's goodbye.
    closing: Option<Timestamp>,
    /// Whether it is also waited for that it can be written to.
    writing: bool,
}

/// The open connections of a thread.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    slots: RefCell<Slab<Slot>>,
    buffer: RefCell<Box<[u8]>>,
    pub(crate) streams: RefCell<Streams>,
    next: Cell<u32>,
}

impl Sockets {
    /// Room for so many.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub(crate) fn new(room: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: RefCell::new(Slab::with_capacity(room.min(ROOM_MAX))),
            buffer: RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()),
            streams: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Takes a connection in; what comes over it is given to its user from now on.
    ///
    /// # Errors
    /// When the system can't watch one file more.
    pub(crate) fn insert(&self, connection: Connection) -> io::Result<SocketId> {
        let mut slots = self.slots.borrow_mut();
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let entry = slots.vacant_entry();
        let id = SocketId { slot: entry.key() as u32, number };
        let slot = entry.insert(Slot { connection, number, closing: None, writing: false });
        let added = epoll::add(
            &self.epoll,
            &slot.connection.socket,
            epoll::EventData::new_u64(id.pack()),
            epoll::EventFlags::IN,
        );
        if let Err(error) = added {
            slots.remove(id.slot as usize);
            return Err(error.into());
        }
        Ok(id)
    }

    /// What a connection is called in API calls.
    pub(crate) fn name(&self, id: SocketId) -> Option<String> {
        self.with(id, |slot| slot.connection.id.to_string())
    }

    fn with<T>(&self, id: SocketId, read: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(id.slot as usize).filter(|slot| slot.number == id.number)?;
        let read = read(slot);
        let waits = slot.connection.socket.is_waiting();
        if waits != slot.writing {
            slot.writing = waits;
            let flags = if waits { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
            let data = epoll::EventData::new_u64(id.pack());
            if let Err(error) = epoll::modify(&self.epoll, &slot.connection.socket, data, flags) {
                tracing::warn!("a connection can't be watched: {error}");
            }
        }
        Some(read)
    }

    /// Lets a connection go, which closes it.
    fn remove(&self, id: SocketId) -> Option<Slot> {
        let mut slots = self.slots.borrow_mut();
        let known = slots.get(id.slot as usize).is_some_and(|slot| slot.number == id.number);
        known.then(|| slots.remove(id.slot as usize))
    }

    /// Those that can be read or written now, at most a batch of them.
    fn ready(&self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Load {
    /// A user's connection is there; its first event has been read, and `early` came behind it.
    ///
    /// # Errors
    /// When the system can't watch one file more.
    pub(crate) fn connected(self: &Rc<Self>, connection: Connection, early: &mut [u8]) -> io::Result<()> {
        let (local, epoch) = (connection.local, connection.epoch);
        let id = self.sockets.insert(connection)?;
        self.opened();
        self.attach(local, Line::Socket(id));
        self.step(local, crate::user::Event::Connected { epoch });
        // Over TLS more can be there than what is to be read.
        self.receive(id, Some(early));
        self.receive(id, None);
        Ok(())
    }

    /// Says goodbye over a user's connection; the user has none from now on.
    pub(crate) fn hang_up(&self, local: Local) {
        let Some(line) = self.line(local) else { return };
        self.detach(local, &line);
        let id = match line {
            Line::Socket(id) => id,
            Line::Polled(polled) => return polled.hang_up(),
        };
        let now = self.book.now();
        self.sockets.with(id, |slot| {
            slot.closing = Some(now);
            slot.connection.socket.goodbye(wire::close::NORMAL);
        });
    }

    /// Reads what there is for a connection, or takes what came already.
    fn receive(self: &Rc<Self>, id: SocketId, came: Option<&mut [u8]>) {
        let received = self.sockets.with(id, |slot| {
            let Connection { socket, place, local, epoch, heard, .. } = &mut slot.connection;
            let mut at = None;
            let mut take = |message: Message<'_>| {
                let at = *at.get_or_insert_with(|| self.book.now());
                self.message(*local, *epoch, place, message, at)
            };
            let received = match came {
                Some(came) => socket.take(came, &mut take),
                None => socket.receive(&mut self.sockets.buffer.borrow_mut(), &mut take),
            };
            *heard = at.unwrap_or(*heard);
            received
        });
        if let Some(Err(closed)) = received {
            self.ended(id, &closed);
        }
    }

    fn message(
        self: &Rc<Self>,
        local: Local,
        epoch: u32,
        place: &mut Option<Rc<Place>>,
        message: Message<'_>,
        at: Timestamp,
    ) -> Result<(), FrameError> {
        match message {
            Message::Plain(_, bytes) => self.frame(local, epoch, bytes, bytes.len(), at),
            Message::Deflated(_, payload) => {
                let place = place.as_mut().ok_or(FrameError::NotDeflate)?;
                let next = self.sockets.streams.borrow_mut().follow(place, payload)?;
                self.frame(local, epoch, next.said(), payload.len(), at);
            }
        }
        Ok(())
    }

    /// A connection is over.
    fn ended(self: &Rc<Self>, id: SocketId, closed: &Closed) {
        let Some(slot) = self.sockets.remove(id) else { return };
        self.shut();
        if slot.closing.is_none() {
            let Connection { local, epoch, .. } = slot.connection;
            self.detach(local, &Line::Socket(id));
            lost(self, local, epoch, closed);
        }
    }

    /// Keeps a connection alive, or finds that it is not. Looked at in turn, each says so after 23 to 27 seconds.
    pub(crate) fn look_after(self: &Rc<Self>, id: SocketId, now: Timestamp) {
        let over = self.sockets.with(id, |slot| {
            let connection = &mut slot.connection;
            if slot.closing.is_some_and(|since| now.since(since) >= GOODBYE) {
                return Err(Closed::broken("no goodbye"));
            }
            if slot.closing.is_some() {
                return Ok(());
            }
            if now.since(connection.heard) >= client::SILENCE {
                return Err(Closed::broken("35 s of silence"));
            }
            if now.since(connection.said) < client::KEEP_ALIVE - LEEWAY {
                return Ok(());
            }
            connection.said = now;
            connection.socket.send(Opcode::Text, keep_alive(&connection.id).as_bytes())
        });
        if let Some(Err(closed)) = over {
            self.ended(id, &closed);
        }
    }

    /// One of so many parts of all connections, those that say goodbye included.
    pub(crate) fn some_sockets(&self, part: usize, parts: usize) -> Vec<SocketId> {
        let slots = self.sockets.slots.borrow();
        let each = slots.capacity().div_ceil(parts);
        let part = (part * each..(part + 1) * each).filter_map(|slot| Some((slot, slots.get(slot)?)));
        part.map(|(slot, entry)| SocketId { slot: slot as u32, number: entry.number }).collect()
    }

    /// Where a connection begins on which this was agreed.
    pub(crate) fn start_of_stream(&self, agreed: Option<Agreement>) -> Option<Rc<Place>> {
        agreed.map(|agreed| self.sockets.streams.borrow_mut().start(&agreed))
    }
}

/// Reads the connections of a thread, for as long as the thread lives.
///
/// # Errors
/// When the system fails to say which of them can be read.
#[expect(deprecated, reason = "its successor is unsafe; a file that is owned keeps to what that asks for")]
pub(crate) async fn serve(load: Rc<Load>) -> io::Result<()> {
    let epoll = AsyncFd::with_interest(load.sockets.epoll.try_clone()?, Interest::READABLE)?;
    let mut events = Vec::with_capacity(BATCH);
    loop {
        let mut guard = epoll.readable().await?;
        load.sockets.ready(&mut events)?;
        if events.is_empty() {
            guard.clear_ready();
            continue;
        }
        for event in &events {
            let id = SocketId::unpack(event.data.u64());
            let flags = event.flags;
            if flags.contains(epoll::EventFlags::OUT)
                && let Some(Err(closed)) = load.sockets.with(id, |slot| slot.connection.socket.flush())
            {
                load.ended(id, &closed);
            }
            if flags != epoll::EventFlags::OUT {
                load.receive(id, None);
            }
        }
        // Actions that are due must not wait for a whole crowd's frames.
        yield_now().await;
    }
}
