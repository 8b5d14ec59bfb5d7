//! Who got one message, and when: the per-message side of delivery, from which fan-out latency is made.

use crate::histogram::{Histogram, representative};

/// Names one message of a run: which action of the scenario it is, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(u64);

impl MessageKey {
    const NUMBER_BITS: u32 = 48;

    /// The `number`-th message of the `action`-th sending action; `number` is cut to 48 bits.
    pub const fn new(action: u16, number: u64) -> Self {
        Self(((action as u64) << Self::NUMBER_BITS) | (number & ((1 << Self::NUMBER_BITS) - 1)))
    }

    /// The key as one number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The key from [`MessageKey::as_u64`].
    pub const fn from_u64(key: u64) -> Self {
        Self(key)
    }

    /// Which sending action.
    pub const fn action(self) -> u16 {
        (self.0 >> Self::NUMBER_BITS) as u16
    }

    /// Its number in that action.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }
}

/// The deliveries of one message that one source has seen, and by merging, that all have.
///
/// Latencies are kept as (value, count) pairs at the histogram's resolution, but the first and last are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    latencies: Vec<(u64, u64)>,
    first: Option<u64>,
    last: Option<u64>,
}

impl Receipt {
    /// The receipt of these latencies, in microseconds, in any order.
    pub fn of(mut micros: Vec<u64>, shape: &Histogram) -> Self {
        micros.sort_unstable();
        let (first, last) = (micros.first().copied(), micros.last().copied());
        Self { latencies: counted(micros.into_iter().map(|m| (m, 1)), shape), first, last }
    }

    /// The receipt of so many (latency in microseconds, receivers) pairs, in any order.
    pub fn of_many(mut many: Vec<(u64, u64)>, shape: &Histogram) -> Self {
        many.retain(|(_, n)| *n > 0);
        many.sort_unstable();
        let (first, last) = (many.first().map(|(m, _)| *m), many.last().map(|(m, _)| *m));
        Self { latencies: counted(many.into_iter(), shape), first, last }
    }

    pub(crate) fn from_parts(latencies: Vec<(u64, u64)>, first: Option<u64>, last: Option<u64>) -> Self {
        Self { latencies, first, last }
    }

    /// The (value, count) pairs, rising, in microseconds.
    pub fn latencies(&self) -> &[(u64, u64)] {
        &self.latencies
    }

    /// How many receivers.
    pub fn count(&self) -> u64 {
        self.latencies.iter().map(|(_, n)| n).sum()
    }

    /// The first receiver's latency, in microseconds; exact.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// The last receiver's latency, in microseconds; exact.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// The latency by which the fraction `quantile` (0 to 1) of the receivers had the message, in microseconds.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let rank = ((self.count() as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        self.latencies.iter().find_map(|&(value, n)| {
            seen += n;
            (seen >= rank).then_some(value)
        })
    }

    /// Adds the deliveries that another source has seen.
    pub fn merge(&mut self, other: &Self) {
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.into_iter().chain(other.last).max();
        let mut sum = Vec::with_capacity(self.latencies.len() + other.latencies.len());
        let (mut a, mut b) = (self.latencies.iter().copied().peekable(), other.latencies.iter().copied().peekable());
        loop {
            match (a.peek().copied(), b.peek().copied()) {
                (Some((x, n)), Some((y, m))) if x == y => {
                    sum.push((x, n + m));
                    a.next();
                    b.next();
                }
                (Some((x, n)), Some((y, _))) if x < y => {
                    sum.push((x, n));
                    a.next();
                }
                (_, Some(pair)) => {
                    sum.push(pair);
                    b.next();
                }
                (Some(pair), None) => {
                    sum.push(pair);
                    a.next();
                }
                (None, None) => break,
            }
        }
        self.latencies = sum;
    }
}

/// Rising latencies with their counts, at the histogram's resolution.
fn counted(rising: impl Iterator<Item = (u64, u64)>, shape: &Histogram) -> Vec<(u64, u64)> {
    let mut latencies: Vec<(u64, u64)> = Vec::new();
    for (micros, n) in rising {
        let value = representative(shape, micros);
        match latencies.last_mut() {
            Some((v, known)) if *v == value => *known += n,
            _ => latencies.push((value, n)),
        }
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_apart_again() {
        let key = MessageKey::new(7, 123_456);
        assert_eq!((key.action(), key.number()), (7, 123_456));
        assert_eq!(MessageKey::from_u64(key.as_u64()), key);
    }

    #[test]
    fn quantiles_count_receivers() {
        let shape = Histogram::new();
        let r = Receipt::of((1..=100).collect(), &shape);
        assert_eq!((r.first(), r.quantile(0.5), r.quantile(0.99), r.last()), (Some(1), Some(50), Some(99), Some(100)));
        assert_eq!(Receipt::default().quantile(0.5), None);
    }
}
