//! A worker's share of a scenario.

use std::fmt;

/// Neighbours among the users of a large run stay together, at most so many: workers that let sixty users in and then rest
/// for a second take two fifths less processor than such as are woken for each, and the run's users join as evenly.
const NEIGHBOURS_MAX: u64 = 64;
/// No run has fewer blocks of neighbours than this, so that shares differ by little.
const BLOCKS_MIN: u64 = 1 << 14;

/// The `index`-th of `count` shares: the users `u` with `⌊u ÷ block⌋ mod count == index`. The shards sum to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Which one, from 0; less than `count`.
    pub index: u32,
    /// Of how many; at least 1.
    pub count: u32,
    /// So many users in a row are never parted.
    block: u64,
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
    pub const WHOLE: Self = Self { index: 0, count: 1, block: 1 };

    /// The `index`-th (from 0) of `count` shards of few users: every user is a block of one.
    ///
    /// # Errors
    /// If `index` is not less than `count`.
    pub const fn new(index: u32, count: u32) -> Result<Self, NoSuchShard> {
        if index < count { Ok(Self { index, count, block: 1 }) } else { Err(NoSuchShard { index, count }) }
    }

    /// The same of a run with so many users, of whom neighbours stay together if they are many.
    #[must_use]
    pub const fn among(self, users: u64) -> Self {
        let block = users / BLOCKS_MIN;
        Self {
            block: if block < 1 {
                1
            } else if block > NEIGHBOURS_MAX {
                NEIGHBOURS_MAX
            } else {
                block
            },
            ..self
        }
    }

    /// The `nth` (from 0) of so many equal parts of this shard, itself a shard of the run.
    #[must_use]
    pub const fn part(self, nth: u32, of: u32) -> Self {
        Self { index: self.index + self.count * nth, count: self.count.saturating_mul(of), block: self.block }
    }

    /// The most users that one of `count` shards of so many users has.
    pub const fn largest(count: u32, users: u64) -> u64 {
        Self { count, ..Self::WHOLE }.among(users).share_of(users)
    }

    /// Users that one shard of so many users may have more than another, at most.
    pub const fn uneven(users: u64) -> u64 {
        Self::WHOLE.among(users).block
    }

    /// Whether a user of the run belongs to this shard.
    pub const fn holds(self, user: u64) -> bool {
        (user / self.block) % self.stride() == self.index as u64
    }

    /// How many of the run's first `users` users belong to this shard.
    pub const fn share_of(self, users: u64) -> u64 {
        let round = self.block * self.stride();
        let rest = (users % round).saturating_sub(self.index as u64 * self.block);
        users / round * self.block + if rest < self.block { rest } else { self.block }
    }

    /// The shard's `n`-th user, from 0.
    pub const fn user(self, n: u64) -> u64 {
        (n / self.block * self.stride() + self.index as u64) * self.block + n % self.block
    }

    /// Which of the shard's users this one is, from 0.
    pub const fn number_of(self, user: u64) -> u64 {
        user / (self.block * self.stride()) * self.block + user % self.block
    }

    /// How many of the users `first..end` belong to this shard.
    pub(crate) const fn share_between(self, first: u64, end: u64) -> u64 {
        self.share_of(end).saturating_sub(self.share_of(first))
    }

    /// The first user of this shard that is not before `user`.
    pub(crate) const fn next_from(self, user: u64) -> u64 {
        if self.holds(user) {
            return user;
        }
        let (block, stride) = (user / self.block, self.stride());
        (block + (self.index as u64 + stride - block % stride) % stride) * self.block
    }

    /// The distance between two blocks of this shard, in blocks.
    const fn stride(self) -> u64 {
        // The field is public: a shard that is none must not divide by zero.
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

    fn shards(count: u32, users: u64) -> impl Iterator<Item = Shard> {
        (0..count).map(move |index| Shard::new(index, count).unwrap().among(users))
    }

    #[test]
    fn neighbours_stay_together_where_users_are_many() {
        assert_eq!([100, 32_767, 32_768, 1_000_000, 50_000_000].map(Shard::uneven), [1, 1, 2, 61, 64]);
        let shard = Shard::new(1, 51).unwrap().among(1_000_000);
        assert_eq!((shard.user(0), shard.user(60), shard.user(61)), (61, 121, 51 * 61 + 61));
        assert_eq!(Shard::largest(51, 1_000_000), shards(51, 1_000_000).map(|s| s.share_of(1_000_000)).max().unwrap());
    }

    proptest! {
        #[test]
        fn every_user_has_one_shard_and_a_number_there(
            (block, few) in (0_u64..70, 0_u64..3_000), count in 1_u32..20, threads in 1_u32..4
        ) {
            let users = block * BLOCKS_MIN;
            let mut numbers = vec![0; count as usize];
            for user in 0..few {
                let holders: Vec<Shard> = shards(count, users).filter(|shard| shard.holds(user)).collect();
                prop_assert_eq!(holders.len(), 1);
                let number = &mut numbers[holders[0].index as usize];
                prop_assert_eq!(holders[0].number_of(user), *number);
                prop_assert_eq!(holders[0].user(*number), user);
                *number += 1;
                let parts = (0..threads).map(|nth| holders[0].part(nth, threads));
                prop_assert_eq!(parts.filter(|part| part.holds(user)).count(), 1);
            }
            for (shard, number) in shards(count, users).zip(numbers) {
                prop_assert_eq!(shard.share_of(few), number);
            }
        }

        #[test]
        fn shares_are_counted_as_they_are(
            count in 1_u32..20, index in 0_u32..20, first in 0_u64..100, more in 0_u64..100, block in 0_u64..70
        ) {
            prop_assume!(index < count);
            let shard = Shard::new(index, count).unwrap().among(block * BLOCKS_MIN);
            let mine: Vec<u64> = (first..first + more).filter(|user| shard.holds(*user)).collect();
            prop_assert_eq!(shard.share_between(first, first + more), mine.len() as u64);
            if let Some(next) = mine.first() {
                prop_assert_eq!(shard.next_from(first), *next);
            }
        }
    }
}
