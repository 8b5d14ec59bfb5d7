//! The table of tags.

/// Tags in a bucket.
const BUCKET: usize = 4;
/// Slots of the smallest table.
const SLOTS_MIN: usize = 256;
/// Tags that are moved to make room for one; a table that is 95 % full seldom needs so many.
const KICKS: usize = 500;
/// The tag of an empty slot, which no user has.
const EMPTY: u16 = 0;

/// Tags in buckets; how many is a power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    slots: Vec<u16>,
    /// Which of a full bucket's tags has to move: each in turn is as good as chance.
    turn: usize,
}

impl Table {
    /// An empty table in which so many users have room, and as many again.
    pub(super) fn for_users(users: usize) -> Self {
        let slots = (users * 2).next_power_of_two().max(SLOTS_MIN);
        Self { slots: vec![EMPTY; slots], turn: 0 }
    }

    /// A table with these tags; `None` if there can be none of this size.
    pub(super) fn with_slots(slots: Vec<u16>) -> Option<Self> {
        (slots.len().is_power_of_two() && slots.len() >= SLOTS_MIN).then_some(Self { slots, turn: 0 })
    }

    pub(super) fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Writes a slot; `false` if there is none.
    pub(super) fn write(&mut self, slot: u32, tag: u16) -> bool {
        let slot = self.slots.get_mut(slot as usize);
        slot.is_some_and(|slot| {
            *slot = tag;
            true
        })
    }

    /// Whether so many users are reason enough for a larger table: the next ones would move many others.
    pub(super) fn is_crowded(&self, users: usize) -> bool {
        users * 10 > self.slots.len() * 9
    }

    /// Whether so few users are reason enough for a smaller one.
    pub(super) fn is_roomy(&self, users: usize) -> bool {
        self.slots.len() > SLOTS_MIN && users * 16 < self.slots.len()
    }

    /// Whether the user may be there.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let (tag, buckets) = self.place(hash);
        buckets.iter().any(|bucket| self.slots[bucket * BUCKET..][..BUCKET].contains(&tag))
    }

    /// Puts a user in, noting which slots were written; `false` if there was no room, and then nothing has changed.
    pub(super) fn insert(&mut self, hash: u64, written: &mut Vec<u32>) -> bool {
        let (mut tag, buckets) = self.place(hash);
        if buckets.into_iter().any(|bucket| self.put(bucket, tag, written)) {
            return true;
        }
        let noted = written.len();
        let mut kicked: Vec<(usize, u16)> = Vec::new();
        let mut bucket = buckets[self.turn / BUCKET % 2];
        while kicked.len() < KICKS {
            let slot = bucket * BUCKET + self.turn % BUCKET;
            self.turn = self.turn.wrapping_add(1);
            let moved = std::mem::replace(&mut self.slots[slot], tag);
            kicked.push((slot, moved));
            written.push(slot as u32);
            (tag, bucket) = (moved, self.other(bucket, moved));
            if self.put(bucket, tag, written) {
                return true;
            }
        }
        // Everybody back to where he was.
        kicked.into_iter().rev().for_each(|(slot, tag)| self.slots[slot] = tag);
        written.truncate(noted);
        false
    }

    /// Takes a user out who was put in.
    pub(super) fn remove(&mut self, hash: u64, written: &mut Vec<u32>) {
        let (tag, buckets) = self.place(hash);
        let slots = buckets.into_iter().flat_map(|bucket| bucket * BUCKET..(bucket + 1) * BUCKET);
        if let Some(slot) = slots.into_iter().find(|slot| self.slots[*slot] == tag) {
            self.slots[slot] = EMPTY;
            written.push(slot as u32);
        }
    }

    fn put(&mut self, bucket: usize, tag: u16, written: &mut Vec<u32>) -> bool {
        let slots = bucket * BUCKET..(bucket + 1) * BUCKET;
        let Some(slot) = slots.into_iter().find(|slot| self.slots[*slot] == EMPTY) else { return false };
        self.slots[slot] = tag;
        written.push(slot as u32);
        true
    }

    fn mask(&self) -> usize {
        self.slots.len() / BUCKET - 1
    }

    /// A user's tag and his two buckets.
    fn place(&self, hash: u64) -> (u16, [usize; 2]) {
        let tag = ((hash >> 48) as u16).max(EMPTY + 1);
        let bucket = hash as usize & self.mask();
        (tag, [bucket, self.other(bucket, tag)])
    }

    /// The other bucket of a tag in this one.
    fn other(&self, bucket: usize, tag: u16) -> usize {
        let spread = u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        bucket ^ (spread as usize & self.mask())
    }
}
