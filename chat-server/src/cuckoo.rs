//! A cuckoo filter of the users that are online on an edge, and its copy at the origin: an event for a user goes only to
//! edges that may hold him. "No" is always true; "maybe" is wrong about once in eight thousand times.
//!
//! After B. Fan et al., "Cuckoo Filter: Practically Better Than Bloom" (2014): tags of 16 bits in buckets of 4, each user
//! in one of two buckets, each found from the other and the tag. What is new here: the edge keeps the hashes themselves
//! too (it has the users anyway), so a table that is full is made anew, twice as large, under a new epoch, and a user
//! whose buckets are full in any table goes into a stash instead: names chosen to collide make the filter slower, never
//! wrong. The copy gets the slots that were written, all those of one change at once, so it is never between two kicks.

mod copy;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub(crate) use copy::{Broken, Copy};
use table::Table;

/// Users by hash, so that it makes no difference where the filter is asked.
pub(crate) fn hash(user: &str) -> u64 {
    // FNV-1a, and MurmurHash3's finalizer, since tag and bucket are taken from both of its ends.
    let fnv = user
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// What has changed, for the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Which table; another one begins with [`Changes::slots`].
    pub(crate) epoch: u64,
    /// 1, 2, 3, … within an epoch.
    pub(crate) number: u64,
    /// All tags of a new table, each as two bytes, low byte first.
    pub(crate) slots: Option<Vec<u8>>,
    /// Written slots and their tags, each as four bytes and two, low bytes first.
    pub(crate) writes: Vec<u8>,
    /// The whole stash.
    pub(crate) stash: Vec<u64>,
}

/// The edge's side: see the module.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Connections of each user that is online.
    users: HashMap<u64, u32>,
    table: Table,
    /// Users for whom the table had no room.
    stash: Vec<u64>,
    epoch: u64,
    number: u64,
    /// Slots that were written since the last changes were taken.
    written: Vec<u32>,
    /// Whether the copy needs everything.
    whole: bool,
    stash_changed: bool,
}

impl Filter {
    /// A filter that holds nobody.
    pub(crate) fn new() -> Self {
        Self {
            users: HashMap::new(),
            table: Table::for_users(0),
            stash: Vec::new(),
            epoch: 1,
            number: 0,
            written: Vec::new(),
            whole: true,
            stash_changed: false,
        }
    }

    /// A connection of a user came.
    pub(crate) fn add(&mut self, user: &str) {
        let hash = hash(user);
        let connections = self.users.entry(hash).or_default();
        *connections += 1;
        if *connections > 1 {
            return;
        }
        if self.table.is_crowded(self.users.len()) {
            self.rebuild();
        } else if !self.table.insert(hash, &mut self.written) {
            self.stash.push(hash);
            self.stash_changed = true;
        }
        self.bound();
    }

    /// A connection of a user went.
    pub(crate) fn remove(&mut self, user: &str) {
        let hash = hash(user);
        let Some(connections) = self.users.get_mut(&hash) else { return };
        *connections -= 1;
        if *connections > 0 {
            return;
        }
        self.users.remove(&hash);
        match self.stash.iter().position(|stashed| *stashed == hash) {
            Some(place) => {
                self.stash.swap_remove(place);
                self.stash_changed = true;
            }
            None => self.table.remove(hash, &mut self.written),
        }
        if self.table.is_roomy(self.users.len()) {
            self.rebuild();
        }
        self.bound();
    }

    /// Forgets what was written when the whole table is shipped anyway: a link may be down for long.
    fn bound(&mut self) {
        // Six bytes a written slot, two a slot of the whole table.
        self.whole |= self.written.len() * 3 > self.table.slots().len();
        if self.whole {
            self.written.clear();
        }
    }

    /// Users that are online.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// The copy is lost, or never was: the next changes hold everything.
    pub(crate) fn begin_anew(&mut self) {
        self.whole = true;
    }

    /// What has changed since the last time; `None`: nothing.
    pub(crate) fn take_changes(&mut self) -> Option<Changes> {
        if !self.whole && self.written.is_empty() && !self.stash_changed {
            return None;
        }
        let mut written = std::mem::take(&mut self.written);
        let whole = std::mem::take(&mut self.whole);
        if whole {
            self.epoch += 1;
            self.number = 0;
        }
        self.number += 1;
        self.stash_changed = false;
        written.sort_unstable();
        written.dedup();
        let slots = whole.then(|| self.table.slots().iter().flat_map(|tag| tag.to_le_bytes()).collect());
        let write = |slot: &u32| {
            let (slot, tag) = (slot.to_le_bytes(), self.table.slots()[*slot as usize].to_le_bytes());
            [slot[0], slot[1], slot[2], slot[3], tag[0], tag[1]]
        };
        let writes = if whole { Vec::new() } else { written.iter().flat_map(write).collect() };
        Some(Changes { epoch: self.epoch, number: self.number, slots, writes, stash: self.stash.clone() })
    }

    /// Another table, of the right size.
    fn rebuild(&mut self) {
        self.table = Table::for_users(self.users.len());
        self.written = Vec::new();
        let table = &mut self.table;
        self.stash = self.users.keys().copied().filter(|hash| !table.insert(*hash, &mut self.written)).collect();
        self.written = Vec::new();
        self.whole = true;
    }
}
