//! The filter's copy at the origin.

use super::table::Table;
use super::{Changes, hash};

/// Changes that don't fit what is here: the link must begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// What the origin knows of an edge's users; nothing at first, so everybody may be there.
#[derive(Debug, Default)]
pub(crate) struct Copy {
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    epoch: u64,
    number: u64,
    table: Table,
    stash: Vec<u64>,
}

impl Copy {
    /// Takes changes over.
    ///
    /// # Errors
    /// When they are not the next ones, or make no sense.
    pub(crate) fn apply(&mut self, changes: Changes) -> Result<(), Broken> {
        let Changes { epoch, number, slots, writes, stash } = changes;
        if let Some(slots) = slots {
            let tags = slots.chunks_exact(2).map(|tag| u16::from_le_bytes([tag[0], tag[1]])).collect();
            let table = Table::with_slots(tags).filter(|_| number == 1).ok_or(Broken)?;
            self.known = Some(Known { epoch, number, table, stash });
            return Ok(());
        }
        let known = self.known.as_mut().filter(|known| known.epoch == epoch && known.number + 1 == number);
        let known = known.ok_or(Broken)?;
        let (writes, []) = writes.as_chunks::<6>() else { return Err(Broken) };
        for [a, b, c, d, low, high] in writes {
            let slot = u32::from_le_bytes([*a, *b, *c, *d]);
            if !known.table.write(slot, u16::from_le_bytes([*low, *high])) {
                return Err(Broken);
            }
        }
        known.number = number;
        known.stash = stash;
        Ok(())
    }

    /// Whether the user may be there.
    pub(crate) fn may_hold(&self, user: &str) -> bool {
        let hash = hash(user);
        self.known.as_ref().is_none_or(|known| known.table.may_hold(hash) || known.stash.contains(&hash))
    }
}
