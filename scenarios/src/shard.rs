//! A worker's share of a scenario.

use std::fmt;

/// The `index`-th of `count` shares: the users `u` with `u mod count == index`. The shards sum to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Which one, from 0; less than `count`.
    pub index: u32,
    /// Of how many; at least 1.
    pub count: u32,
}

/// There is no such shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no shard {index} of {count}: shards are numbered 0 to count − 1, and there is at least one")]
pub struct NoSuchShard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The `index`-th (from 0) of `count` shards.
    ///
    /// # Errors
    /// If `index` is not less than `count`.
    pub const fn new(index: u32, count: u32) -> Result<Self, NoSuchShard> {
        if index < count { Ok(Self { index, count }) } else { Err(NoSuchShard { index, count }) }
    }

    /// Whether a user of the run belongs to this shard.
    pub const fn holds(self, user: u64) -> bool {
        user % self.stride() == self.index as u64
    }

    /// How many of the run's first `users` users belong to this shard.
    pub const fn share_of(self, users: u64) -> u64 {
        let index = self.index as u64;
        if users > index { (users - index - 1) / self.stride() + 1 } else { 0 }
    }

    /// How many of the users `first..end` belong to this shard.
    pub(crate) const fn share_between(self, first: u64, end: u64) -> u64 {
        self.share_of(end).saturating_sub(self.share_of(first))
    }

    /// The first user of this shard that is not before `user`.
    pub(crate) const fn next_from(self, user: u64) -> u64 {
        let stride = self.stride();
        user + (self.index as u64 + stride - user % stride) % stride
    }

    /// The distance between two users of this shard.
    pub(crate) const fn stride(self) -> u64 {
        // The fields are public: a shard that is none must not divide by zero.
        if self.count == 0 { 1 } else { self.count as u64 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_real_shards_are_made() {
        assert!(Shard::new(0, 0).is_err());
        assert!(Shard::new(3, 3).is_err());
        assert_eq!(Shard::new(0, 1), Ok(Shard::WHOLE));
    }

    proptest! {
        #[test]
        fn shares_are_counted_as_they_are(count in 1_u32..20, index in 0_u32..20, first in 0_u64..100, more in 0_u64..100) {
            prop_assume!(index < count);
            let shard = Shard { index, count };
            let mine: Vec<u64> = (first..first + more).filter(|user| shard.holds(*user)).collect();
            prop_assert_eq!(shard.share_between(first, first + more), mine.len() as u64);
            if let Some(next) = mine.first() {
                prop_assert_eq!(shard.next_from(first), *next);
            }
        }
    }
}
