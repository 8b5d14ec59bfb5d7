//! The watchers of one shard, and their passes: one walk over a room's watchers that gives each of them all frames that
//! wait for it, in one go.
//!
//! What comes in while a pass is on its way waits in the room, so a busy room coalesces by itself. Passes are taken in
//! short quanta, room by room in turn, so that a huge room holds nobody up.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use slab::Slab;
use smallvec::SmallVec;

use super::{Batch, LineKey, Packed, RoomId};

/// Watchers of one room that are served before other rooms get their turn.
const QUANTUM: usize = 64;
/// So many new beginnings of other rooms' streams without one of its own, and a connection follows a busier room.
const OTHERS: u8 = 2;

/// Sends frames to a connection.
pub(crate) trait Send: FnMut(LineKey, &mut dyn Iterator<Item = &Bytes>) {}

impl<F: FnMut(LineKey, &mut dyn Iterator<Item = &Bytes>)> Send for F {}

/// A frame that waits in a room.
#[derive(Debug)]
struct Frame {
    plain: Bytes,
    packed: Option<Packed>,
    /// The connection that doesn't get it.
    except: Option<LineKey>,
}

/// The compressed stream that a connection follows. It has one window, so it follows one room at a time.
#[derive(Clone, Copy, Debug)]
struct Following {
    /// Whether it can at all.
    able: bool,
    room: Option<u32>,
    /// How often other rooms' streams began anew since its own did.
    others: u8,
}

impl Following {
    /// What a connection gets of a frame of a room.
    fn choose<'a>(&mut self, room: u32, frame: &'a Frame) -> &'a Bytes {
        let Some(packed) = frame.packed.as_ref().filter(|_| self.able) else { return &frame.plain };
        if packed.begins {
            if self.room != Some(room) && (self.room.is_none() || self.others >= OTHERS) {
                self.room = Some(room);
            }
            self.others = if self.room == Some(room) { 0 } else { self.others + 1 };
        }
        if self.room == Some(room) { &packed.frame } else { &frame.plain }
    }
}

#[derive(Debug)]
struct Watcher {
    line: LineKey,
    /// The number of the first frame that it has not got; numbers count frames of this room here, and wrap around.
    next: u32,
}

#[derive(Debug)]
struct Room {
    id: RoomId,
    watchers: Vec<Watcher>,
    /// Frames that somebody has not got yet.
    frames: Vec<Frame>,
    /// The number of the first of `frames`.
    base: u32,
    /// Whether it waits for its turn.
    dirty: bool,
    /// The watcher with whom the pass goes on; those before have got all frames before `target`.
    at: usize,
    target: u32,
}

impl Room {
    fn end(&self) -> u32 {
        self.base.wrapping_add(self.frames.len() as u32)
    }

    /// Gives a watcher what waits for it.
    fn serve(&mut self, index: u32, place: usize, known: &mut [Known], send: &mut impl Send) {
        let end = self.end();
        let Some(Watcher { line, next }) = self.watchers.get_mut(place) else { return };
        let waiting = end.wrapping_sub(*next) as usize;
        if waiting == 0 {
            return;
        }
        *next = end;
        let following = &mut known[*line as usize].following;
        let frames = self.frames[self.frames.len() - waiting..].iter();
        let mut frames = frames.filter(|frame| frame.except != Some(*line)).map(|frame| following.choose(index, frame));
        send(*line, &mut frames);
    }

    /// Goes on with the pass for at most `quantum` watchers. Answers how many it took, and how many frames are done
    /// with, which is zero until the pass is over.
    fn step(&mut self, index: u32, quantum: usize, known: &mut [Known], send: &mut impl Send) -> (usize, usize) {
        if self.at == 0 {
            self.target = self.end();
        }
        let to = self.watchers.len().min(self.at + quantum);
        let taken = to - self.at;
        for place in self.at..to {
            self.serve(index, place, known, send);
        }
        self.at = to;
        if to < self.watchers.len() {
            return (taken, 0);
        }
        self.at = 0;
        let done = self.target.wrapping_sub(self.base) as usize;
        self.base = self.target;
        if done == self.frames.len() {
            self.frames = Vec::new();
        } else {
            self.frames.drain(..done);
        }
        (taken, done)
    }
}

/// Where a connection stands in a room.
#[derive(Clone, Copy, Debug)]
struct Place {
    room: u32,
    place: u32,
}

/// What a floor knows of a connection.
#[derive(Debug)]
struct Known {
    places: SmallVec<[Place; 2]>,
    following: Following,
}

impl Known {
    const NOTHING: Self =
        Self { places: SmallVec::new_const(), following: Following { able: false, room: None, others: 0 } };
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    rooms: Slab<Room>,
    by_id: HashMap<RoomId, u32>,
    /// By connection.
    known: Vec<Known>,
    /// Rooms whose passes wait or are on their way, in turn.
    dirty: VecDeque<u32>,
    /// Frames in all rooms.
    waiting: usize,
    /// Passes that are over.
    passes: u64,
}

impl Floor {
    /// A connection starts to watch: it gets what is published from now on, compressed if it `follows` streams.
    pub(crate) fn watch(&mut self, id: RoomId, line: LineKey, follows: bool) {
        let index = *self.by_id.entry(id).or_insert_with(|| {
            let (watchers, frames) = (Vec::new(), Vec::new());
            let room = Room { id, watchers, frames, base: 0, dirty: false, at: 0, target: 0 };
            self.rooms.insert(room) as u32
        });
        if self.known.len() <= line as usize {
            self.known.resize_with(line as usize + 1, || Known::NOTHING);
        }
        let Known { places, following } = &mut self.known[line as usize];
        following.able = follows;
        if places.iter().any(|place| place.room == index) {
            return;
        }
        let room = &mut self.rooms[index as usize];
        places.push(Place { room: index, place: room.watchers.len() as u32 });
        let next = room.end();
        room.watchers.push(Watcher { line, next });
    }

    /// A connection stops watching: it gets what waits for it, and nothing of what is published from now on.
    pub(crate) fn unwatch(&mut self, id: RoomId, line: LineKey, send: &mut impl Send) {
        let Some(&index) = self.by_id.get(&id) else { return };
        let Some(Known { places, .. }) = self.known.get_mut(line as usize) else { return };
        let Some(nth) = places.iter().position(|place| place.room == index) else { return };
        let place = places.swap_remove(nth).place as usize;
        let room = &mut self.rooms[index as usize];
        room.serve(index, place, &mut self.known, send);
        let following = &mut self.known[line as usize].following;
        following.room = following.room.filter(|room| *room != index);
        room.watchers.swap_remove(place);
        if let Some(moved) = room.watchers.get(place) {
            let places = self.known[moved.line as usize].places.iter_mut();
            places.filter(|place| place.room == index).for_each(|moved| moved.place = place as u32);
            if place < room.at {
                // It stands now where the pass has been already.
                room.serve(index, place, &mut self.known, send);
            }
        }
        room.at = room.at.min(room.watchers.len());
        if room.watchers.is_empty() && !room.dirty {
            self.remove(index);
        }
    }

    /// Gives a connection all that waits for it in all its rooms.
    pub(crate) fn catch_up(&mut self, line: LineKey, send: &mut impl Send) {
        let places = self.known.get(line as usize).map(|known| known.places.clone()).unwrap_or_default();
        for Place { room, place } in places {
            self.rooms[room as usize].serve(room, place as usize, &mut self.known, send);
        }
    }

    /// A connection is gone, and watches nothing: its place may be another's.
    pub(crate) fn forget(&mut self, line: LineKey) {
        if let Some(known) = self.known.get_mut(line as usize) {
            *known = Known::NOTHING;
        }
    }

    fn remove(&mut self, index: u32) {
        let room = self.rooms.remove(index as usize);
        self.waiting -= room.frames.len();
        self.by_id.remove(&room.id);
    }

    /// Who watches a room.
    pub(crate) fn watchers(&self, id: RoomId) -> Vec<LineKey> {
        let room = self.by_id.get(&id).map(|index| &self.rooms[*index as usize]);
        room.map_or_else(Vec::new, |room| room.watchers.iter().map(|watcher| watcher.line).collect())
    }

    /// Events for a room's watchers. Answers how many frames they are, counted watcher by watcher, and their bytes.
    pub(crate) fn publish(&mut self, id: RoomId, events: Batch, except: Option<LineKey>) -> (u64, u64) {
        let Some(&index) = self.by_id.get(&id) else { return (0, 0) };
        let room = &mut self.rooms[index as usize];
        let count = events.len() as u64;
        let bytes: usize = events.iter().map(|event| event.frame.len()).sum();
        self.waiting += events.len();
        room.frames.extend(events.into_iter().map(|event| Frame { plain: event.frame, packed: event.packed, except }));
        if !room.dirty {
            room.dirty = true;
            self.dirty.push_back(index);
        }
        let watchers = (room.watchers.len() as u64).saturating_sub(u64::from(except.is_some()));
        (watchers * count, watchers * bytes as u64)
    }

    /// Serves about `budget` watchers. `true` if there are more to be served.
    pub(crate) fn pass(&mut self, mut budget: usize, send: &mut impl Send) -> bool {
        while budget > 0 {
            let Some(index) = self.dirty.pop_front() else { return false };
            let room = &mut self.rooms[index as usize];
            let (taken, done) = room.step(index, QUANTUM.min(budget), &mut self.known, send);
            budget -= taken.clamp(1, budget);
            self.waiting -= done;
            self.passes += u64::from(done > 0);
            if !room.frames.is_empty() {
                self.dirty.push_back(index);
                continue;
            }
            room.dirty = false;
            if room.watchers.is_empty() {
                self.remove(index);
            }
        }
        !self.dirty.is_empty()
    }

    /// Frames that wait in all rooms.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Passes since the start.
    pub(crate) fn passes(&self) -> u64 {
        self.passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Outgoing;

    fn event(byte: u8) -> Batch {
        Batch::from_iter([Outgoing::new(None, Bytes::from(vec![byte]))])
    }

    /// Serves so many watchers; what they got, in order.
    fn pass(floor: &mut Floor, budget: usize) -> (Vec<(LineKey, Vec<u8>)>, bool) {
        let mut got = Vec::new();
        let more = floor.pass(budget, &mut |line, frames: &mut dyn Iterator<Item = &Bytes>| {
            got.push((line, frames.map(|frame| frame[0]).collect()));
        });
        (got, more)
    }

    #[test]
    fn a_huge_room_holds_a_small_one_up_for_a_quantum_only() {
        let mut floor = Floor::default();
        (0..10_000).for_each(|line| floor.watch(RoomId(1), line, false));
        floor.watch(RoomId(2), 10_000, false);
        assert_eq!(floor.publish(RoomId(1), event(1), Some(3)), (9_999, 9_999));
        floor.publish(RoomId(2), event(2), None);
        let (got, more) = pass(&mut floor, QUANTUM + 1);
        assert_eq!((&got[QUANTUM], more), (&(10_000, vec![2]), true));
        assert_eq!((&got[0], &got[3]), (&(0, vec![1]), &(3, vec![])), "all but one");
    }

    #[test]
    fn what_comes_in_during_a_pass_leaves_with_it_or_in_the_next() {
        let mut floor = Floor::default();
        (0..100).for_each(|line| floor.watch(RoomId(1), line, false));
        floor.publish(RoomId(1), event(1), None);
        pass(&mut floor, 64);
        for byte in 2..5 {
            floor.publish(RoomId(1), event(byte), None);
        }
        assert_eq!(pass(&mut floor, 36).0, (64..100).map(|line| (line, vec![1, 2, 3, 4])).collect::<Vec<_>>());
        let (got, more) = pass(&mut floor, 1_000);
        assert_eq!((got, more), ((0..64).map(|line| (line, vec![2, 3, 4])).collect::<Vec<_>>(), false));
        assert_eq!((floor.waiting(), floor.passes()), (0, 2));
        assert!(floor.rooms[0].frames.capacity() == 0, "an idle room keeps nothing");
    }
}
