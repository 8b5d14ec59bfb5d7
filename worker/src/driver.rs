//! The open loop: what is due when, whatever became of what was due before. No I/O, no clock.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use measure::Cohort;
use scenarios::model::ActionKind;
use scenarios::{Arrival, PlannedUser, Scenario, Shard};

/// Something that is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Due {
    /// Since the run's start.
    pub(crate) at: Duration,
    /// What.
    pub(crate) work: Work,
}

/// What a user is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Join, for the `visit`-th time (from 0).
    Join { user: u64, cohort: Cohort, visit: u32 },
    /// Come back after the loss of its worker: it has joined already, and how long it stays is settled.
    Return { user: u64, cohort: Cohort },
    /// Leave.
    Leave { user: u64, cohort: Cohort, visit: u32 },
    /// An action of the scenario.
    Act { action: u16, cohort: Cohort, kind: ActionKind, arrival: Arrival },
}

impl Work {
    /// Who joins comes before who acts, at the same instant.
    const fn rank(&self) -> (u8, u64) {
        match self {
            Self::Join { user, .. } | Self::Return { user, .. } => (0, *user),
            Self::Act { arrival, .. } => (1, arrival.number),
            Self::Leave { user, .. } => (2, *user),
        }
    }
}

/// The queue holds the earliest on top.
#[derive(Debug)]
struct Queued(Due);

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.0.at, other.0.work.rank()).cmp(&(self.0.at, self.0.work.rank()))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

type Stream<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

/// All that is due for the users of a shard, in the order of time.
///
/// Holds one event of each stream (joins, each action) and one for each user who is going to leave or to come back.
pub(crate) struct Driver<'a> {
    scenario: &'a Scenario,
    end: Duration,
    queue: BinaryHeap<Queued>,
    joins: Stream<'a, PlannedUser>,
    /// By action number: whose, what, when.
    actions: Vec<(Cohort, ActionKind, Stream<'a, Arrival>)>,
}

impl<'a> Driver<'a> {
    /// The events of a shard from the run's start to its end.
    pub(crate) fn new(scenario: &'a Scenario, shard: Shard) -> Self {
        let stream = |number| Box::new(scenario.arrivals(number, shard)) as Stream<'a, Arrival>;
        let actions: Vec<_> =
            scenario.actions().map(|(number, cohort, action)| (cohort, action.kind, stream(number))).collect();
        let mut driver = Self {
            scenario,
            end: scenario.timeline().end,
            queue: BinaryHeap::new(),
            joins: Box::new(scenario.planned_users(shard)),
            actions,
        };
        driver.next_join();
        for action in 0..driver.actions.len() {
            driver.next_arrival(action as u16);
        }
        driver
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.queue.peek().map(|q| q.0.at)
    }

    /// The next event, if it is due by `now`.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Due> {
        if self.next_at()? > now {
            return None;
        }
        let Queued(due) = self.queue.pop()?;
        match due.work {
            Work::Join { user, cohort, visit } => {
                if visit == 0 {
                    self.next_join();
                }
                if let Some(stays_for) = self.scenario.stays(user, visit).stays_for {
                    self.push(due.at + stays_for, Work::Leave { user, cohort, visit });
                }
            }
            Work::Leave { user, cohort, visit } => {
                if let Some(away_for) = self.scenario.stays(user, visit).away_for {
                    self.push(due.at + away_for, Work::Join { user, cohort, visit: visit + 1 });
                }
            }
            Work::Return { .. } => {}
            Work::Act { action, .. } => self.next_arrival(action),
        }
        Some(due)
    }

    /// Passes over everything that is due until now, without doing it: that is the gap of users who have lost their worker.
    /// Who should be here returns from then on, each cohort `apart` from one user to the next, and before it would leave.
    pub(crate) fn take_up(&mut self, now: impl Fn() -> Duration, apart: impl Fn(Cohort, u64) -> Duration) {
        let mut here = BTreeMap::new();
        while let Some(due) = self.pop(now()) {
            match due.work {
                Work::Join { user, cohort, .. } => drop(here.insert(user, cohort)),
                Work::Leave { user, .. } => drop(here.remove(&user)),
                Work::Return { .. } | Work::Act { .. } => {}
            }
        }
        let leaves: HashMap<u64, Duration> = self
            .queue
            .iter()
            .filter_map(|Queued(due)| match due.work {
                Work::Leave { user, .. } => Some((user, due.at)),
                _ => None,
            })
            .collect();
        let (from, mut before) = (now(), HashMap::<Cohort, u64>::new());
        for (user, cohort) in here {
            let number = before.entry(cohort).or_default();
            let at = from + apart(cohort, *number);
            *number += 1;
            let at = leaves.get(&user).map_or(at, |leaves| at.min(*leaves));
            self.push(at, Work::Return { user, cohort });
        }
    }

    /// Who is going to return, and when.
    pub(crate) fn returns(&self) -> HashMap<u64, Duration> {
        let returns = self.queue.iter().filter_map(|Queued(due)| match due.work {
            Work::Return { user, .. } => Some((user, due.at)),
            _ => None,
        });
        returns.collect()
    }

    /// What would be due after the end never is.
    fn push(&mut self, at: Duration, work: Work) {
        if at < self.end {
            self.queue.push(Queued(Due { at, work }));
        }
    }

    fn next_join(&mut self) {
        if let Some(PlannedUser { index, cohort, joins_at }) = self.joins.next() {
            self.push(joins_at, Work::Join { user: index, cohort, visit: 0 });
        }
    }

    fn next_arrival(&mut self, action: u16) {
        let (cohort, kind, arrivals) = &mut self.actions[usize::from(action)];
        if let Some(arrival) = arrivals.next() {
            let work = Work::Act { action, cohort: *cohort, kind: *kind, arrival };
            self.push(arrival.at, work);
        }
    }
}

#[cfg(test)]
mod tests;
