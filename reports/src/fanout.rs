//! From receipts to fan-out: when the first, half, 99 % and the last of its receivers had each message.

use std::collections::BTreeMap;

use measure::{MessageKey, Receipt};

/// Messages that wait for more receipts. With more of them the oldest are settled early, to bound memory.
const PENDING_MAX: usize = 200_000;

/// The slowest messages that the report names.
const SLOWEST: usize = 10;

/// A message may be received for so many seconds after its newest receipt before it is settled.
pub(crate) const GRACE_S: u32 = 3;

/// A message that is still being received, or was.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    /// Its deliveries.
    pub receipt: Receipt,
    /// The second of its first receipt.
    pub first_s: u32,
    /// The second of its newest receipt.
    pub newest_s: u32,
}

/// The messages of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fanout {
    pending: BTreeMap<MessageKey, Message>,
    settled: Settled,
    slowest: Vec<(MessageKey, Message)>,
    late: u64,
}

impl Fanout {
    /// Adds a source's receipt of a message.
    pub(crate) fn add(&mut self, key: MessageKey, receipt: &Receipt, second: u32) {
        if self.settled.contains(key) {
            self.late += receipt.count();
            return;
        }
        let message = self.pending.entry(key).or_insert_with(|| Message { first_s: second, ..Message::default() });
        message.receipt.merge(receipt);
        message.first_s = message.first_s.min(second);
        message.newest_s = message.newest_s.max(second);
    }

    /// Takes out the messages that are final: all sources have shipped the seconds before `complete`, and none of the
    /// last few of these brought anything new.
    pub(crate) fn settle(&mut self, complete: u32) -> Vec<Message> {
        let surplus = self.pending.len().saturating_sub(PENDING_MAX);
        let mut seen = 0;
        let done: Vec<(MessageKey, Message)> = self
            .pending
            .extract_if(.., |_, m| {
                seen += 1;
                seen <= surplus || m.newest_s.saturating_add(GRACE_S) < complete
            })
            .collect();
        done.into_iter().map(|(key, message)| self.finish(key, message)).collect()
    }

    /// Takes out all that is left.
    pub(crate) fn settle_all(&mut self) -> Vec<Message> {
        let rest = std::mem::take(&mut self.pending);
        rest.into_iter().map(|(key, message)| self.finish(key, message)).collect()
    }

    /// The slowest settled messages by last receiver, slowest first.
    pub(crate) fn slowest(&self) -> &[(MessageKey, Message)] {
        &self.slowest
    }

    /// Deliveries that came after their message was settled, and so are missing in its fan-out (not in `delivery`).
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    fn finish(&mut self, key: MessageKey, message: Message) -> Message {
        self.settled.insert(key);
        let last = message.receipt.last();
        let place = self.slowest.partition_point(|(_, m)| m.receipt.last() >= last);
        if place < SLOWEST {
            self.slowest.insert(place, (key, message.clone()));
            self.slowest.truncate(SLOWEST);
        }
        message
    }
}

/// Which messages are settled: a bit each, in blocks, as the numbers of an action are dense.
#[derive(Clone, Debug, Default)]
struct Settled(BTreeMap<u64, [u64; 16]>);

impl Settled {
    const BLOCK_BITS: u32 = 10;

    fn place(key: MessageKey) -> (u64, usize, u64) {
        let k = key.as_u64();
        (k >> Self::BLOCK_BITS, (k >> 6 & 15) as usize, 1 << (k & 63))
    }

    fn insert(&mut self, key: MessageKey) {
        let (block, word, bit) = Self::place(key);
        self.0.entry(block).or_default()[word] |= bit;
    }

    fn contains(&self, key: MessageKey) -> bool {
        let (block, word, bit) = Self::place(key);
        self.0.get(&block).is_some_and(|words| words[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Histogram;

    fn receipt(values: &[u64]) -> Receipt {
        Receipt::of(values.to_vec(), &Histogram::new())
    }

    #[test]
    fn a_message_is_settled_once_with_the_receivers_of_all_sources() {
        let (mut fanout, key) = (Fanout::default(), MessageKey::new(0, 70));
        fanout.add(key, &receipt(&[10, 30]), 4);
        fanout.add(key, &receipt(&[20, 90]), 5);
        assert!(fanout.settle(8).is_empty(), "more may come");
        let done = fanout.settle(9);
        assert_eq!((done.len(), done[0].receipt.count(), done[0].receipt.last(), done[0].first_s), (1, 4, Some(90), 4));
        fanout.add(key, &receipt(&[99]), 30);
        assert_eq!((fanout.late(), fanout.settle_all().len()), (1, 0), "one sample a message");
    }

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut fanout = Fanout::default();
        (0..50).for_each(|i| fanout.add(MessageKey::new(1, i), &receipt(&[(i * 37) % 50]), 0));
        fanout.settle_all();
        let last: Vec<_> = fanout.slowest().iter().map(|(_, m)| m.receipt.last().unwrap()).collect();
        assert_eq!(last, (40..50).rev().collect::<Vec<_>>());
    }
}
