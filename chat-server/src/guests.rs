//! Sockets that nobody has vouched for yet: they wait for a request's head, or for their peer to read an answer.
//!
//! A user's handshake takes an instant, an attacker's half-open connection takes for ever. So when there are too many, the
//! one that has waited longest goes, strangers before those whose calls were good: whoever comes to speak is let in,
//! however many come to be silent, and no reserve has to be kept for him. Each shard has a list of its own, which other
//! threads take only in that case.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use measure::Timestamp;
use tokio::sync::Notify;

use crate::sharded::lock;

/// Whether a good call came from it, and its number: who goes first comes first.
type Key = (bool, u64);

#[derive(Debug, Default)]
struct List {
    /// The next guest's number: they are in order of the time since which they wait.
    next: u64,
    waiting: BTreeMap<Key, (Timestamp, Arc<Notify>)>,
}

/// The guests of one shard.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    list: Mutex<List>,
    count: AtomicU64,
}

impl Guests {
    /// Those that wait.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Sends those away that have waited longest, `most` at most. Answers how many.
    pub(crate) fn send_away(&self, most: u64) -> u64 {
        let mut list = lock(&self.list);
        self.send_away_from(&mut list, (false, 0), |sent, _| sent < most)
    }

    /// Sends those away that have waited since `then` or longer, `most` at most. Answers how many.
    pub(crate) fn send_away_since(&self, then: Timestamp, most: u64) -> u64 {
        let mut list = lock(&self.list);
        let mut from = |first, most| self.send_away_from(&mut list, first, |sent, since| sent < most && since <= then);
        let strangers = from((false, 0), most);
        strangers + from((true, 0), most - strangers)
    }

    /// Sends away, from `first` on, as long as they are `wanted`.
    fn send_away_from(&self, list: &mut List, first: Key, wanted: impl Fn(u64, Timestamp) -> bool) -> u64 {
        let mut sent = 0;
        while let Some((&key, (since, _))) = list.waiting.range(first..).next() {
            if !wanted(sent, *since) {
                break;
            }
            if let Some((_, leave)) = list.waiting.remove(&key) {
                leave.notify_one();
            }
            sent += 1;
        }
        self.count.fetch_sub(sent, Ordering::Relaxed);
        sent
    }

    fn add(&self, is_known: bool, now: Timestamp, leave: Arc<Notify>) -> Key {
        let mut list = lock(&self.list);
        let key = (is_known, list.next);
        list.next += 1;
        list.waiting.insert(key, (now, leave));
        self.count.fetch_add(1, Ordering::Relaxed);
        key
    }

    fn remove(&self, key: Key) {
        if lock(&self.list).waiting.remove(&key).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One socket, as the list knows it.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    guests: &'a Guests,
    leave: Arc<Notify>,
    /// Its place in the list while it waits.
    waits: Cell<Option<Key>>,
    is_known: Cell<bool>,
}

impl<'a> Guest<'a> {
    /// A newcomer, who waits.
    pub(crate) fn new(guests: &'a Guests, now: Timestamp) -> Self {
        let guest = Self { guests, leave: Arc::default(), waits: Cell::default(), is_known: Cell::default() };
        guest.waits(now);
        guest
    }

    /// A request has come: until [`Guest::waits`] its socket is not sent away.
    pub(crate) fn is_served(&self) {
        if let Some(key) = self.waits.take() {
            self.guests.remove(key);
        }
    }

    /// A good call has come from it.
    pub(crate) fn is_known(&self) {
        self.is_known.set(true);
    }

    /// It waits from now on: for its next request, or for its peer to read.
    pub(crate) fn waits(&self, now: Timestamp) {
        self.is_served();
        self.waits.set(Some(self.guests.add(self.is_known.get(), now, self.leave.clone())));
    }

    /// Returns when it is sent away.
    pub(crate) async fn sent_away(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.is_served();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it has been sent away.
    fn is_away(guest: &Guest<'_>) -> bool {
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(guest.sent_away()).as_mut().poll(cx).is_ready()
    }

    #[test]
    fn who_has_waited_longest_goes_and_who_is_served_stays() {
        let guests = Guests::default();
        let at = Timestamp::from_nanos;
        let all: Vec<Guest<'_>> = (0..5).map(|n| Guest::new(&guests, at(n))).collect();
        all[0].is_served();
        all[1].waits(at(5));
        assert_eq!((guests.count(), guests.send_away(2)), (4, 2));
        assert_eq!(all.iter().map(is_away).collect::<Vec<_>>(), [false, false, true, true, false]);
        assert_eq!((guests.send_away_since(at(4), 9), is_away(&all[4]), is_away(&all[1])), (1, true, false));
        assert_eq!((guests.count(), guests.send_away(9)), (1, 1), "the served one is not in the list");
        all[0].waits(at(6));
        drop(all);
        assert_eq!((guests.count(), guests.send_away(9)), (0, 0));
    }

    #[test]
    fn strangers_go_before_those_whose_calls_were_good() {
        let guests = Guests::default();
        let at = Timestamp::from_nanos;
        let known = Guest::new(&guests, at(0));
        known.is_known();
        known.waits(at(1));
        let strangers = [Guest::new(&guests, at(2)), Guest::new(&guests, at(3))];
        assert_eq!((guests.send_away(1), is_away(&strangers[0]), is_away(&known)), (1, true, false));
        assert_eq!((guests.send_away_since(at(1), 9), is_away(&strangers[1]), is_away(&known)), (1, false, true));
    }
}
