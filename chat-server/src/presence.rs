//! Whose presence matters to whom, and what they are told of it. Sans-I/O.
//!
//! A user is there if he has a connection on this node or on one of its edges. That he came is told at once, that he went
//! only after a while: whoever reconnects was never away. Only users whom somebody asked for are here.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use measure::Timestamp;
use smallvec::SmallVec;

/// Where a user may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// On this node.
    Here,
    /// On this edge.
    Edge(u64),
}

#[derive(Debug)]
struct Observed<L> {
    listeners: Vec<L>,
    sources: SmallVec<[Source; 2]>,
    /// What the listeners know.
    told: bool,
    /// When they will be told otherwise.
    due: Option<Timestamp>,
    /// Whether he is among those of whom something is due.
    queued: bool,
}

/// A change that must be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<L> {
    pub(crate) user: Arc<str>,
    pub(crate) online: bool,
    pub(crate) listeners: Vec<L>,
}

/// What beginning to observe a user has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Nobody asked for him before.
    pub(crate) first: bool,
    /// What the new listener must be told alone, since others have been told so and he was shown otherwise.
    pub(crate) correct: Option<bool>,
}

/// See the module; `L` is who wants to know.
#[derive(Debug)]
pub(crate) struct Presence<L> {
    users: HashMap<Arc<str>, Observed<L>>,
    /// Users by listener.
    asked: HashMap<L, Vec<Arc<str>>>,
    /// Users of whom something is due.
    due: Vec<Arc<str>>,
    grace: Duration,
}

impl<L: Clone + Eq + Hash> Presence<L> {
    /// Nobody asks yet. A user who went is told of after `grace`.
    pub(crate) fn new(grace: Duration) -> Self {
        Self { users: HashMap::new(), asked: HashMap::new(), due: Vec::new(), grace }
    }

    /// What is told of a user.
    pub(crate) fn told(&self, user: &str) -> Option<bool> {
        self.users.get(user).map(|observed| observed.told)
    }

    /// Somebody wants to know of a user, who is `here` or not, and was shown as `online` or not.
    pub(crate) fn observe(&mut self, now: Timestamp, user: &Arc<str>, listener: L, here: bool, online: bool) -> Begun {
        let first = !self.users.contains_key(user);
        let observed = self.users.entry(user.clone()).or_insert_with(|| {
            let sources = here.then_some(Source::Here).into_iter().collect();
            Observed { listeners: Vec::new(), sources, told: online, due: None, queued: false }
        });
        if !observed.listeners.contains(&listener) {
            observed.listeners.push(listener.clone());
            self.asked.entry(listener).or_default().push(user.clone());
        }
        let correct = Some(observed.told).filter(|told| *told != online);
        self.check(now, user);
        Begun { first, correct }
    }

    /// Somebody doesn't want to know of anybody any more. Answers whom nobody asks for now.
    pub(crate) fn forget_listener(&mut self, listener: &L) -> Vec<Arc<str>> {
        let asked = self.asked.remove(listener).unwrap_or_default();
        asked.into_iter().filter(|user| self.stop(user, listener)).collect()
    }

    /// Somebody doesn't want to know of one user any more. `true`: nobody does now.
    pub(crate) fn forget(&mut self, user: &str, listener: &L) -> bool {
        if let Some(asked) = self.asked.get_mut(listener) {
            asked.retain(|other| &**other != user);
            if asked.is_empty() {
                self.asked.remove(listener);
            }
        }
        self.stop(user, listener)
    }

    fn stop(&mut self, user: &str, listener: &L) -> bool {
        let Some(observed) = self.users.get_mut(user) else { return false };
        observed.listeners.retain(|other| other != listener);
        let last = observed.listeners.is_empty();
        if last {
            self.users.remove(user);
        }
        last
    }

    /// A user came to a place, or went from it.
    pub(crate) fn set(&mut self, now: Timestamp, user: &Arc<str>, source: Source, online: bool) {
        let Some(observed) = self.users.get_mut(user) else { return };
        observed.sources.retain(|other| *other != source);
        if online {
            observed.sources.push(source);
        }
        self.check(now, user);
    }

    /// On an edge: the origin has said how it is with a user. Answers who must hear of it.
    pub(crate) fn hear(&mut self, user: &str, online: bool) -> Vec<L> {
        let Some(observed) = self.users.get_mut(user) else { return Vec::new() };
        observed.sources = online.then_some(Source::Here).into_iter().collect();
        observed.told = online;
        observed.due = None;
        observed.listeners.clone()
    }

    /// An edge is gone: nobody is known to be there.
    pub(crate) fn forget_edge(&mut self, now: Timestamp, edge: u64) {
        let there = |(_, observed): &(&Arc<str>, &Observed<L>)| observed.sources.contains(&Source::Edge(edge));
        let users: Vec<Arc<str>> = self.users.iter().filter(there).map(|(user, _)| user.clone()).collect();
        users.iter().for_each(|user| self.set(now, user, Source::Edge(edge), false));
    }

    /// Whoever is asked for.
    pub(crate) fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.keys()
    }

    /// What must be told by now.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<Change<L>> {
        let mut changes = Vec::new();
        for user in std::mem::take(&mut self.due) {
            let Some(observed) = self.users.get_mut(&user) else { continue };
            match observed.due {
                None => observed.queued = false,
                Some(due) if due > now => self.due.push(user),
                Some(_) => {
                    (observed.due, observed.queued) = (None, false);
                    observed.told = !observed.told;
                    changes.push(Change { user, online: observed.told, listeners: observed.listeners.clone() });
                }
            }
        }
        changes
    }

    /// Sets when the listeners are told, if they know what is no longer so.
    fn check(&mut self, now: Timestamp, user: &Arc<str>) {
        let Some(observed) = self.users.get_mut(user) else { return };
        let online = !observed.sources.is_empty();
        if online == observed.told {
            observed.due = None;
        } else if observed.due.is_none() {
            observed.due = Some(if online { now } else { now + self.grace });
            if !std::mem::replace(&mut observed.queued, true) {
                self.due.push(user.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn told(presence: &mut Presence<u32>, now: u64) -> Vec<(bool, Vec<u32>)> {
        presence.take_due(at(now)).into_iter().map(|change| (change.online, change.listeners)).collect()
    }

    #[test]
    fn coming_is_told_at_once_and_going_after_a_while() {
        let mut presence = Presence::new(GRACE);
        let ann: Arc<str> = "ann".into();
        assert_eq!(presence.observe(at(0), &ann, 1, false, false), Begun { first: true, correct: None });
        assert_eq!(presence.observe(at(0), &ann, 2, false, true), Begun { first: false, correct: Some(false) });
        presence.set(at(10), &ann, Source::Edge(7), true);
        assert_eq!(told(&mut presence, 10), [(true, vec![1, 2])]);
        presence.set(at(20), &ann, Source::Edge(7), false);
        assert_eq!(told(&mut presence, 1_000), []);
        presence.set(at(1_500), &ann, Source::Here, true);
        assert_eq!(told(&mut presence, 5_000), [], "who comes back was never away");
        presence.set(at(6_000), &ann, Source::Here, false);
        assert_eq!(told(&mut presence, 8_000), [(false, vec![1, 2])]);
        assert_eq!(told(&mut presence, 9_000), []);
    }

    #[test]
    fn what_was_shown_wrongly_is_corrected() {
        let mut presence = Presence::new(GRACE);
        presence.observe(at(0), &"ann".into(), 1, false, true);
        presence.observe(at(0), &"bob".into(), 1, true, false);
        assert_eq!(told(&mut presence, 0), [(true, vec![1])], "bob is there");
        assert_eq!(told(&mut presence, 2_000), [(false, vec![1])], "ann is not");
    }

    #[test]
    fn whoever_is_gone_is_told_nothing_and_an_edge_takes_its_users_along() {
        let mut presence = Presence::new(GRACE);
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        for (user, listener) in [(&ann, 1), (&bob, 1), (&bob, 2)] {
            presence.observe(at(0), user, listener, false, true);
            presence.set(at(0), user, Source::Edge(7), true);
        }
        presence.forget_edge(at(100), 7);
        assert_eq!(presence.forget_listener(&1), [ann]);
        assert_eq!(told(&mut presence, 2_100), [(false, vec![2])]);
        assert!(presence.forget("bob", &2) && presence.users().count() == 0 && presence.asked.is_empty());
    }
}
