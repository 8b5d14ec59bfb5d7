//! Who does what when: every action as a stream of arrivals, open loop.

use std::time::Duration;

use measure::{Cohort, Profile, Schedule};

use crate::load::{ChannelRef, Purpose, Span, joined_until};
use crate::model::{Action, ActionKind, Arrivals, Scenario};
use crate::shard::Shard;

/// Something that a user does at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it is due, since the run's start.
    pub at: Duration,
    /// Its number among the action's arrivals in the whole run, from 0; no shard has another's.
    pub number: u64,
    /// Who does it.
    pub user: u64,
    /// Where.
    pub channel: ChannelRef,
    /// Bytes of text; 0 of what is no message.
    pub size: u32,
}

impl Scenario {
    /// The actions of all cohorts, numbered over the whole scenario.
    pub fn actions(&self) -> impl Iterator<Item = (u16, Cohort, &Action)> {
        self.cohorts
            .iter()
            .enumerate()
            .flat_map(|(cohort, spec)| spec.actions.iter().map(move |action| (cohort as Cohort, action)))
            .enumerate()
            .map(|(number, (cohort, action))| (number as u16, cohort, action))
    }

    /// What a shard's users do of an action, in the order of time. Instants and users are drawn for the whole run; the
    /// shard keeps those of its own users. Who acts is drawn evenly from those of the cohort that joined before that
    /// instant, and as long as nobody has, nothing is done. An unknown action has no arrivals.
    pub fn arrivals(&self, action: u16, shard: Shard) -> impl Iterator<Item = Arrival> + '_ {
        let found = self.actions().nth(usize::from(action)).and_then(|(_, cohort, spec)| {
            let span = self.spans().nth(usize::from(cohort))?;
            Some((spec, span))
        });
        found.into_iter().flat_map(move |(spec, span)| {
            let profile = self.rate_profile(spec);
            let schedule = match spec.arrivals {
                Arrivals::Even => Schedule::even(profile),
                Arrivals::Poisson => {
                    Schedule::poisson(profile, self.draws(Purpose::Instants, u64::from(action), 0).next_u64())
                }
            };
            schedule.zip(0..).filter_map(move |(at, number)| self.arrival(action, spec, span, shard, at, number))
        })
    }

    fn arrival(
        &self,
        action: u16,
        spec: &Action,
        span: Span<'_>,
        shard: Shard,
        at: Duration,
        number: u64,
    ) -> Option<Arrival> {
        let joined = joined_until(span.spec, at.checked_sub(Duration::from_nanos(1))?);
        let mut draws = self.draws(Purpose::Arrival, u64::from(action), number);
        let user = span.first + draws.below(joined);
        if joined == 0 || !shard.holds(user) {
            return None;
        }
        let channel = self.one_channel_of(user, spec.channel, &mut draws)?;
        let size = match spec.kind {
            ActionKind::Send { size } => {
                size.min + draws.below(u64::from(size.max.saturating_sub(size.min)) + 1) as u32
            }
            ActionKind::React | ActionKind::Typing | ActionKind::Read => 0,
        };
        Some(Arrival { at, number, user, channel, size })
    }

    /// The id of a message: the same in every run of the scenario with its seed. For a service that may know an earlier run,
    /// `run` tells the two apart, at the end: there a repeat of an id is the same message, and is delivered to nobody.
    pub fn message_id(&self, action: u16, number: u64, run: Option<&str>) -> String {
        let id = format!("{}-{}-{action}-{number}", self.name, self.seed);
        run.map_or(id.clone(), |run| format!("{id}-{run}"))
    }

    /// The rate of an action over the whole run, in events a second of the whole cohort.
    pub fn rate_profile(&self, action: &Action) -> Profile {
        self.load_profile(action.rate)
    }
}
