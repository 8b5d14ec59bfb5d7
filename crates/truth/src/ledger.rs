//! What the target really did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use measure::{MessageKey, Mishap, Timestamp};

use crate::outlet::Delivery;

/// Deliveries whose latency is kept one by one; 8 bytes each. Later ones are counted, and the truth says that it is not
/// whole.
const SAMPLES_MAX: usize = 8_000_000;
/// Messages that are remembered by their ids.
const HEARD_MAX: usize = 1_000_000;

/// Events that went wrong that are kept one by one.
const WRONG_MAX: usize = 1_000_000;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Messages that came, repeats of an id not among them.
    pub messages: u64,
    /// Messages that came with an id that was known: they were told to nobody.
    pub repeated: u64,
    /// Deliveries that were due: one for each message and each watcher it had.
    pub deliveries: u64,
    /// Of these, those that were written, each counted once.
    pub written: u64,
    /// Those that were left out.
    pub dropped: u64,
    /// Those whose connection was gone.
    pub undeliverable: u64,
    /// Deliveries that were written a second time.
    pub duplicated: u64,
    /// Deliveries that were written after a later one of the same channel and connection.
    pub swapped: u64,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// Its id.
    pub id: String,
    /// Who sent it, as the token says.
    pub user: String,
    /// Where to.
    pub cid: String,
    /// Its text.
    pub text: String,
    /// Its stamp, if it is throng's.
    pub stamp: Option<(u16, u64, u64)>,
}

/// What became of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Its id.
    pub id: String,
    /// Who watched its channel when it was numbered.
    pub deliveries: u64,
    /// How many of them had it written to them.
    pub written: u64,
}

/// All that the target did, as of now.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// What was counted.
    pub counts: Counts,
    /// Of each stamped message, from the moment it was due to the moment its frame was written, in microseconds, for each
    /// receiver. Negative if two clocks disagree.
    pub since_due: BTreeMap<MessageKey, Vec<i64>>,
    /// From the moment a message came to the moment its frame was written, in microseconds: the delay that was drawn, with
    /// what waiting in line and the timer's slack added to it.
    pub since_came: Vec<i64>,
    /// Messages in the order in which they came.
    pub heard: Vec<Heard>,
    /// What became of each, by channel and number there.
    pub events: BTreeMap<(String, u64), Fate>,
    /// What went wrong: how, for which user, in which channel, with which number.
    pub wrong: BTreeSet<(Mishap, String, String, u64)>,
    /// Who connected.
    pub users: BTreeSet<String>,
    /// Whether every delivery's latency was kept.
    pub whole: bool,
}

impl Truth {
    /// The latencies from due of all deliveries, rising, in microseconds.
    pub fn pooled(&self) -> Vec<i64> {
        let mut pooled: Vec<i64> = self.since_due.values().flatten().copied().collect();
        pooled.sort_unstable();
        pooled
    }

    /// Of each message the latency by which the fraction `part` (0 to 1) of its receivers had it (0: the first), rising.
    pub fn fan_out(&self, part: f64) -> Vec<i64> {
        let of = |micros: &Vec<i64>| {
            let mut micros = micros.clone();
            micros.sort_unstable();
            reached(&micros, part)
        };
        let mut all: Vec<i64> = self.since_due.values().filter_map(of).collect();
        all.sort_unstable();
        all
    }
}

impl Truth {
    fn went_wrong(&mut self, mishap: Mishap, user: &str, cid: &str, number: u64) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.insert((mishap, user.to_owned(), cid.to_owned(), number));
        } else {
            self.whole = false;
        }
    }
}

/// The value at the rank nearest to the fraction `part` (0 to 1) of rising values, halves up: what a report calls a
/// percentile of its samples (`measure::Histogram::quantile`). Among some dozens the rank above it can be far off.
pub fn quantile(rising: &[i64], part: f64) -> Option<i64> {
    let rank = (part.min(1.0) * 100.0 * rising.len() as f64 / 100.0 + 0.5).floor() as usize;
    rising.get(rank.max(1) - 1).copied()
}

/// The value by which at least the fraction `part` of rising values is reached: of one message's receivers, when so many
/// of them had it.
fn reached(rising: &[i64], part: f64) -> Option<i64> {
    let rank = (rising.len() as f64 * part).ceil() as usize;
    rising.get(rank.max(1) - 1).copied()
}

/// Keeps the truth.
#[derive(Debug)]
pub struct Ledger(Mutex<Truth>);

impl Default for Ledger {
    fn default() -> Self {
        Self(Mutex::new(Truth { whole: true, ..Truth::default() }))
    }
}

impl Ledger {
    /// All that happened until now.
    pub fn truth(&self) -> Truth {
        self.with(|truth| truth.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Truth) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A user connected.
    pub(crate) fn connected(&self, user: &str) {
        self.with(|t| t.users.insert(user.to_owned()));
    }

    /// A message came, got this number in its channel, and is to be delivered so often.
    pub(crate) fn heard(&self, heard: Heard, number: u64, deliveries: u64) {
        self.with(|t| {
            t.counts.messages += 1;
            t.counts.deliveries += deliveries;
            if t.heard.len() < HEARD_MAX {
                t.events.insert((heard.cid.clone(), number), Fate { id: heard.id.clone(), deliveries, written: 0 });
                t.heard.push(heard);
            } else {
                t.whole = false;
            }
        });
    }

    /// A message came that is known.
    pub(crate) fn repeated(&self) {
        self.with(|t| t.counts.repeated += 1);
    }

    /// A delivery was written, for the first time.
    pub(crate) fn written(&self, delivery: &Delivery, at: Timestamp) {
        let Delivery { stamp, came, .. } = delivery;
        self.with(|t| {
            t.counts.written += 1;
            if let Some(fate) = t.events.get_mut(&(delivery.cid.to_string(), delivery.number)) {
                fate.written += 1;
            }
            if t.since_came.len() >= SAMPLES_MAX {
                t.whole = false;
                return;
            }
            t.since_came.push(at.micros_since(*came));
            if let Some(stamp) = stamp {
                let key = MessageKey::new(stamp.action, stamp.number);
                t.since_due.entry(key).or_default().push(at.micros_since(Timestamp::from_nanos(stamp.due)));
            }
        });
    }

    /// A delivery was written after a later one.
    pub(crate) fn swapped(&self, user: &str, cid: &str, number: u64) {
        self.with(|t| {
            t.counts.swapped += 1;
            t.went_wrong(Mishap::Reordered, user, cid, number);
        });
    }

    /// A delivery was written again.
    pub(crate) fn duplicated(&self, user: &str, cid: &str, number: u64) {
        self.with(|t| {
            t.counts.duplicated += 1;
            t.went_wrong(Mishap::Duplicated, user, cid, number);
        });
    }

    /// A delivery was left out.
    pub(crate) fn dropped(&self, user: &str, cid: &str, number: u64) {
        self.with(|t| {
            t.counts.dropped += 1;
            t.went_wrong(Mishap::Lost, user, cid, number);
        });
    }

    /// A delivery's connection is gone.
    pub(crate) fn undeliverable(&self) {
        self.with(|t| t.counts.undeliverable += 1);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::Stamp;

    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<i64> = (1..=1_000).collect();
        let at = |part| quantile(&values, part);
        assert_eq!((at(0.0), at(0.5), at(0.999), at(1.0)), (Some(1), Some(500), Some(999), Some(1_000)));
        assert_eq!(quantile(&[], 0.5), None);
        // Of 84, 99 % are 83.16: the report takes the 83rd, and not the slowest.
        let values: Vec<i64> = (1..=84).collect();
        assert_eq!((quantile(&values, 0.99), reached(&values, 0.99)), (Some(83), Some(84)));
        let mut histogram = measure::Histogram::new();
        for n in 1..=1_000 {
            histogram.record(n);
            let values: Vec<i64> = (1..=n as i64).collect();
            for part in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
                assert_eq!(quantile(&values, part), Some(histogram.quantile(part) as i64), "{part} of {n}");
            }
        }
    }

    #[test]
    fn a_message_has_one_sample_for_each_receiver() {
        let ledger = Ledger::default();
        let at = |micros: u64| Timestamp::from_nanos(micros * 1_000);
        for micros in [900, 300, 700] {
            let stamp = Stamp { action: 2, number: 5, due: 100_000, sent: 0 };
            let delivery =
                Delivery { frame: Bytes::new(), cid: "a:b".into(), number: 1, stamp: Some(stamp), came: at(250) };
            ledger.written(&delivery, at(micros));
        }
        let truth = ledger.truth();
        assert_eq!(truth.pooled(), [200, 600, 800]);
        assert_eq!((truth.fan_out(0.0), truth.fan_out(0.5), truth.fan_out(1.0)), (vec![200], vec![600], vec![800]));
        assert_eq!(truth.since_came, [650, 50, 450]);
    }
}
