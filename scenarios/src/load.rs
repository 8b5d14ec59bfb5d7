//! Who joins when, stays how long, and watches what: pure functions of a scenario and its seed.
//!
//! Users are numbered over the whole run, cohort after cohort. Whatever is drawn for a user comes from the seed and the
//! user's number alone, so that every shard draws the same, and nothing is stored.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use measure::{Cohort, SplitMix64};

use crate::model::{CohortSpec, Range, Scenario};
use crate::popularity;
use crate::shard::{NoSuchShard, Shard};

/// What a draw is for: numbers drawn for one purpose say nothing about those for another.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Channels = 1,
    Stay = 2,
    Instants = 3,
    Arrival = 4,
}

/// One channel of a scenario: [`Scenario::channel_id`] and [`Scenario::cid`] name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelRef {
    /// The group, an index into [`Scenario::channels`].
    pub group: u16,
    /// The channel's number in its group, from 0.
    pub number: u32,
}

/// A user that is going to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedUser {
    /// Its number over the whole run.
    pub index: u64,
    /// Its cohort.
    pub cohort: Cohort,
    /// When it joins for the first time, since the run's start.
    pub joins_at: Duration,
}

/// How long a user stays, and stays away after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stay {
    /// From joining to leaving; `None`: until the run ends.
    pub stays_for: Option<Duration>,
    /// From leaving to joining again; `None`: it doesn't come back.
    pub away_for: Option<Duration>,
}

impl Scenario {
    /// The users of all cohorts.
    pub fn users(&self) -> u64 {
        self.cohorts.iter().map(|cohort| cohort.users).sum()
    }

    /// One of `count` workers' share of the users.
    ///
    /// # Errors
    /// If `index` is not less than `count`.
    pub fn shard(&self, index: u32, count: u32) -> Result<Shard, NoSuchShard> {
        Shard::new(index, count).map(|shard| shard.among(self.users()))
    }

    /// The users of a shard.
    pub fn users_in(&self, shard: Shard) -> u64 {
        shard.share_of(self.users())
    }

    /// A shard's users, ordered by when they join.
    pub fn planned_users(&self, shard: Shard) -> impl Iterator<Item = PlannedUser> + '_ {
        let mut next: BinaryHeap<_> = self
            .spans()
            .filter_map(|span| {
                let first = shard.next_from(span.first);
                (first < span.end()).then(|| Reverse((span.joins_at(first), first, span.cohort)))
            })
            .collect();
        let spans: Vec<Span<'_>> = self.spans().collect();
        std::iter::from_fn(move || {
            let mut top = next.peek_mut()?;
            let Reverse((joins_at, index, cohort)) = *top;
            let span = &spans[usize::from(cohort)];
            let following = shard.next_from(index + 1);
            if following < span.end() {
                // Changed in place: the heap sifts once, when `top` is dropped.
                *top = Reverse((span.joins_at(following), following, cohort));
            } else {
                std::collections::binary_heap::PeekMut::pop(top);
            }
            Some(PlannedUser { index, cohort, joins_at })
        })
    }

    /// How many of a shard's users have joined by an instant (`at` included). Lifetimes are not subtracted.
    pub fn users_planned_at(&self, shard: Shard, at: Duration) -> u64 {
        self.spans().map(|span| shard.share_between(span.first, span.first + joined_until(span.spec, at))).sum()
    }

    /// The cohort of a user, and the user's number in it; `None` if there is no such user.
    pub fn cohort_of(&self, user: u64) -> Option<(Cohort, u64)> {
        self.spans().find(|span| user < span.end()).map(|span| (span.cohort, user - span.first))
    }

    /// `<cohort>-<number in the cohort>`, zeros in front so that all ids of a cohort have the same length.
    pub fn user_id(&self, index: u64) -> String {
        self.cohort_of(index).map_or_else(
            || format!("nobody-{index}"),
            |(cohort, number)| {
                let spec = &self.cohorts[usize::from(cohort)];
                let digits = spec.users.saturating_sub(1).checked_ilog10().unwrap_or(0) as usize + 1;
                format!("{}-{number:0digits$}", spec.name)
            },
        )
    }

    /// A channel's id: that of its group, and its number if the group has several.
    ///
    /// # Panics
    /// If the channel is of another scenario.
    pub fn channel_id(&self, channel: ChannelRef) -> String {
        let group = &self.channels[usize::from(channel.group)];
        if group.count == 1 { group.id.clone() } else { format!("{}-{}", group.id, channel.number) }
    }

    /// A channel's id as the protocol writes it, `type:id`.
    ///
    /// # Panics
    /// If the channel is of another scenario.
    pub fn cid(&self, channel: ChannelRef) -> String {
        format!("{}:{}", self.channels[usize::from(channel.group)].channel_type, self.channel_id(channel))
    }

    /// The channels that a user watches; of each group as many different ones as the group says.
    pub fn channels_of(&self, user: u64) -> Vec<ChannelRef> {
        let Some((cohort, _)) = self.cohort_of(user) else { return Vec::new() };
        let mut channels = Vec::new();
        for (index, group) in self.channels.iter().enumerate().filter(|(_, group)| group.members.contains(&cohort)) {
            let numbers = popularity::distinct(
                group.popularity,
                group.count,
                group.per_user,
                &mut self.channel_draws(user, index),
            );
            channels.extend(numbers.into_iter().map(|number| ChannelRef { group: index as u16, number }));
        }
        channels
    }

    /// One of the channels of a group that a user watches.
    pub(crate) fn one_channel_of(&self, user: u64, group: usize, choice: &mut SplitMix64) -> Option<ChannelRef> {
        let spec = &self.channels[group];
        let mut draws = self.channel_draws(user, group);
        let number = if spec.per_user == 1 || spec.count == 1 {
            popularity::draw(spec.popularity, spec.count, &mut draws)
        } else {
            let numbers = popularity::distinct(spec.popularity, spec.count, spec.per_user, &mut draws);
            *numbers.get(choice.below(numbers.len() as u64) as usize)?
        };
        Some(ChannelRef { group: group as u16, number })
    }

    fn channel_draws(&self, user: u64, group: usize) -> SplitMix64 {
        self.draws(Purpose::Channels, user, group as u64)
    }

    /// When a user joins for the first time, since the run's start; `None` if there is no such user.
    pub fn joins_at(&self, user: u64) -> Option<Duration> {
        self.spans().find(|span| user < span.end()).map(|span| span.joins_at(user))
    }

    /// How long a user stays on its `visit`-th visit (from 0), and how long it stays away after that.
    pub fn stays(&self, user: u64, visit: u32) -> Stay {
        let Some((cohort, _)) = self.cohort_of(user) else { return Stay::default() };
        let spec = &self.cohorts[usize::from(cohort)];
        let mut draws = self.draws(Purpose::Stay, user, u64::from(visit));
        let stays_for = spec.lifetime.map(|range| draw_duration(range, &mut draws));
        // Who never leaves never comes back.
        let away_for = stays_for.and(spec.rejoin).map(|range| draw_duration(range, &mut draws));
        Stay { stays_for, away_for }
    }

    /// The random numbers for a purpose, told apart by two words.
    pub(crate) fn draws(&self, purpose: Purpose, first: u64, second: u64) -> SplitMix64 {
        SplitMix64::of(&[self.seed, purpose as u64, first, second])
    }

    /// The cohorts with the numbers of their users.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let mut first = 0;
        self.cohorts.iter().enumerate().map(move |(index, spec)| {
            let span = Span { cohort: index as Cohort, spec, first };
            first = span.end();
            span
        })
    }
}

/// A cohort and its users' numbers.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) cohort: Cohort,
    pub(crate) spec: &'a CohortSpec,
    pub(crate) first: u64,
}

impl Span<'_> {
    fn end(&self) -> u64 {
        self.first + self.spec.users
    }

    fn joins_at(&self, user: u64) -> Duration {
        joins_at(self.spec, user - self.first)
    }
}

/// When the `number`-th user of a cohort joins.
pub(crate) fn joins_at(spec: &CohortSpec, number: u64) -> Duration {
    // A float cast saturates.
    spec.ramp_delay + Duration::from_nanos((number as f64 * 1e9 / spec.ramp_rate) as u64)
}

/// How many users of a cohort have joined by an instant, `at` included.
pub(crate) fn joined_until(spec: &CohortSpec, at: Duration) -> u64 {
    let Some(since) = at.checked_sub(spec.ramp_delay) else { return 0 };
    let mut number = ((since.as_nanos() as f64 * spec.ramp_rate / 1e9) as u64).saturating_add(1).min(spec.users);
    // The product may round the other way than `joins_at`, by one user.
    while number > 0 && joins_at(spec, number - 1) > at {
        number -= 1;
    }
    while number < spec.users && joins_at(spec, number) <= at {
        number += 1;
    }
    number
}

fn draw_duration(range: Range<Duration>, draws: &mut SplitMix64) -> Duration {
    let width = range.max.saturating_sub(range.min).as_nanos();
    range.min + Duration::from_nanos(draws.below(u64::try_from(width).unwrap_or(u64::MAX).saturating_add(1)))
}
