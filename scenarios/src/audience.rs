//! Who hears what is said in a group of channels: expectations, from how its members spread over its channels.

use crate::model::{ActionKind, ChannelGroup, Popularity, Scenario, Tokens};

/// Channels that are looked at one by one; the rest count as the last of them.
const CLOSE_LOOK: u32 = 1_000_000;

/// How the members of a group spread over its channels, once all of them are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'a> {
    group: &'a ChannelGroup,
    members: f64,
    /// The weights of all channels, added up.
    total: f64,
    /// Mean watchers of the channel in which somebody acts.
    pub(crate) mean: f64,
}

impl<'a> Audience<'a> {
    /// That of a group of a scenario.
    pub(crate) fn of(scenario: &Scenario, group: &'a ChannelGroup) -> Self {
        let members = Self::members(scenario, group);
        let near = group.count.min(CLOSE_LOOK);
        let far = f64::from(group.count - near);
        let mut audience = Self { group, members, total: 0.0, mean: members };
        if group.per_user >= group.count {
            return audience;
        }
        audience.total = (0..near).map(|number| audience.weight(number)).sum::<f64>() + far * audience.weight(near);
        // Crowded channels are acted in more often: it is the sum of squares over the sum of the channels' watchers.
        let rest = audience.watchers(near);
        let (sum, squares) = (0..near)
            .map(|number| audience.watchers(number))
            .fold((far * rest, far * rest * rest), |(sum, squares), n| (sum + n, squares + n * n));
        // Whoever acts is there.
        audience.mean = if sum > 0.0 { (squares / sum).max(1.0) } else { 0.0 };
        audience
    }

    /// Users that watch some of a group's channels.
    pub(crate) fn members(scenario: &Scenario, group: &ChannelGroup) -> f64 {
        let cohorts = group.members.iter().filter_map(|cohort| scenario.cohorts.get(usize::from(*cohort)));
        cohorts.map(|cohort| cohort.users as f64).sum()
    }

    fn weight(&self, number: u32) -> f64 {
        match self.group.popularity {
            Popularity::Uniform => 1.0,
            Popularity::Zipf(exponent) => (f64::from(number) + 1.0).powf(-exponent),
        }
    }

    /// Mean watchers of one channel: a user watches it unless all of the user's draws missed it.
    fn watchers(&self, number: u32) -> f64 {
        if self.group.per_user >= self.group.count {
            return self.members;
        }
        let missed = 1.0 - self.weight(number.min(CLOSE_LOOK)) / self.total;
        self.members * (1.0 - missed.powf(f64::from(self.group.per_user)))
    }
}

/// Messages that a user hears a second, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// From the cohorts, at load factor 1.
    pub from_cohorts: f64,
    /// From canaries, whatever the load factor is.
    pub from_canaries: f64,
}

impl Scenario {
    /// What a user of each cohort hears while everybody is there, its own messages included.
    pub fn messages_heard(&self) -> Vec<Heard> {
        let mut heard = vec![Heard::default(); self.cohorts.len()];
        for (index, group) in self.channels.iter().enumerate() {
            let actions = self.cohorts.iter().flat_map(|cohort| &cohort.actions).filter(|a| a.channel == index);
            let rate: f64 = actions.filter(|a| matches!(a.kind, ActionKind::Send { .. })).map(|a| a.rate).sum();
            let audience = Audience::of(self, group);
            if audience.members == 0.0 {
                continue;
            }
            let canaries = self.canary_rate() * self.canaries_hearers(&audience) / audience.members;
            for cohort in group.members.iter().map(|cohort| usize::from(*cohort)) {
                heard[cohort].from_cohorts += rate * audience.mean / audience.members;
                heard[cohort].from_canaries += canaries;
            }
        }
        heard
    }

    /// Messages a second that canaries send in each group: they talk in all groups in turn.
    fn canary_rate(&self) -> f64 {
        // Nobody could sign their tokens.
        if matches!(self.target.tokens, Tokens::Csv(_)) || self.probes.canaries == 0 {
            return 0.0;
        }
        self.probes.send_rate / self.channels.len() as f64
    }

    /// Mean watchers of the channels that canaries talk in: the n-th canary in the n-th channel, and around again.
    fn canaries_hearers(&self, audience: &Audience<'_>) -> f64 {
        let canaries = self.probes.canaries;
        let hearers: f64 = (0..canaries).map(|n| audience.watchers(n % audience.group.count.max(1))).sum();
        hearers / f64::from(canaries.max(1))
    }
}
