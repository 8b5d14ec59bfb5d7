//! What a shipper owes: sealed intervals until they are acknowledged, then each source's goodbye. No I/O but the
//! spool's file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use measure::{Gauge, Interval};
use proto::kept;
use proto::telemetry::shipment::Shipment as Kind;
use proto::telemetry::{Ack, Goodbye, SealedInterval, Shipment, SourceHello};

use crate::spool::{Sealed, Spool};

/// While there is no room in the spool, receipts are kept for so many messages; of more, only histograms and counts.
const HELD_RECEIPTS_MAX: usize = 20_000;

/// The same for the account by event: entries, a dozen bytes each on the wire.
const HELD_COVERAGE_MAX: usize = 400_000;

/// What a source has recorded, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The source.
    pub source: String,
    /// Samples in all histograms.
    pub samples: u64,
    /// Sum of all counters.
    pub counts: u64,
    /// Intervals sealed.
    pub intervals: u64,
    /// Whether the data plane has all of it, and the goodbye.
    pub closed: bool,
    /// Messages whose receipts there was no room for; their samples are in the histograms.
    pub receipts_dropped: u64,
}

#[derive(Debug, Default)]
struct Source {
    account: Account,
    /// The account one by one: samples by metric, counts by counter.
    samples: BTreeMap<String, u64>,
    counts: BTreeMap<String, u64>,
    /// Waits for room in the spool; what comes is added to it, so that time gets coarser and no sample is lost.
    held: Option<Interval>,
    /// Nothing more will be sealed.
    finished: bool,
    /// The goodbye is on its way.
    goodbye_sent: bool,
}

/// What a shipper owes.
#[derive(Debug)]
pub(crate) struct Ledger {
    spool: Spool,
    sources: Vec<Source>,
}

impl Ledger {
    /// Owes nothing yet.
    pub(crate) fn new(spool: Spool, names: impl Iterator<Item = String>) -> Self {
        let source = |name| Source { account: Account { source: name, ..Account::default() }, ..Source::default() };
        Self { spool, sources: names.map(source).collect() }
    }

    /// Takes the next interval of a source.
    pub(crate) fn seal(&mut self, source: usize, interval: Interval) {
        let this = &mut self.sources[source];
        this.account.samples += interval.samples();
        this.account.counts += interval.counters.values().sum::<u64>();
        for (series, histogram) in &interval.histograms {
            *this.samples.entry(series.metric.to_string()).or_default() += histogram.count();
        }
        for (key, n) in &interval.counters {
            *this.counts.entry(key.counter.to_string()).or_default() += n;
        }
        let interval = match this.held.take() {
            None => interval,
            Some(held) => longer(held, &interval, &mut this.account.receipts_dropped),
        };
        let sealed = Sealed { source, sequence: this.account.intervals + 1, bytes: Bytes::from(interval.encode()) };
        match self.spool.push(sealed) {
            Ok(()) => this.account.intervals += 1,
            Err(_full) => this.held = Some(interval),
        }
    }

    /// Nothing more will be sealed: what is held back goes in, and the goodbyes follow.
    pub(crate) fn finish(&mut self) {
        for (index, source) in self.sources.iter_mut().enumerate() {
            source.finished = true;
            if let Some(held) = source.held.take() {
                source.account.intervals += 1;
                let bytes = Bytes::from(held.encode());
                self.spool.push_anyway(Sealed { source: index, sequence: source.account.intervals, bytes });
            }
        }
    }

    /// Whether there is something to ship now.
    pub(crate) fn has_next(&self) -> bool {
        self.spool.has_next() || self.sources.iter().any(|s| s.finished && !s.goodbye_sent && !s.account.closed)
    }

    /// What to ship next.
    pub(crate) fn next(&mut self) -> Option<Shipment> {
        while let Some(sealed) = self.spool.next() {
            match sealed {
                Ok(Sealed { source, sequence, bytes }) => {
                    let source = self.sources[source].account.source.clone();
                    return Some(shipment(Kind::Interval(SealedInterval { sequence, interval: bytes, source })));
                }
                Err(e) => tracing::error!("a spooled interval can't be read back and is lost: {e}"),
            }
        }
        let spool = &self.spool;
        let (_, source) = self
            .sources
            .iter_mut()
            .enumerate()
            .find(|(i, s)| s.finished && !s.goodbye_sent && !s.account.closed && !spool.has_next_of(*i))?;
        source.goodbye_sent = true;
        let (samples_by_metric, counts_by_counter) = (source.samples.clone(), source.counts.clone());
        let Account { source, samples, counts, intervals, receipts_dropped, .. } = source.account.clone();
        let goodbye = Goodbye {
            source,
            last_sequence: intervals,
            samples,
            counts,
            samples_by_metric,
            counts_by_counter,
            receipts_dropped,
        };
        Some(shipment(Kind::Goodbye(goodbye)))
    }

    /// Writes all that was not acknowledged, behind the `hellos` of who recorded it.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn keep(&mut self, hellos: &[SourceHello], out: &mut impl Write) -> io::Result<()> {
        self.rewind();
        for hello in hellos {
            kept::write(&shipment(Kind::Hello(hello.clone())), out)?;
        }
        while let Some(shipment) = self.next() {
            kept::write(&shipment, out)?;
        }
        out.flush()
    }

    /// The data plane has something for good.
    pub(crate) fn acknowledge(&mut self, ack: &Ack) {
        let Some(index) = self.sources.iter().position(|s| s.account.source == ack.source) else { return };
        self.spool.acknowledge(index, ack.sequence);
        self.sources[index].account.closed |= ack.closed;
        if self.is_closed() {
            self.spool.close();
        }
    }

    /// The stream broke: whatever was not acknowledged must be shipped again.
    pub(crate) fn rewind(&mut self) {
        self.spool.rewind();
        self.sources.iter_mut().for_each(|s| s.goodbye_sent = false);
    }

    /// Whether every goodbye was taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.sources.iter().all(|s| s.account.closed)
    }

    /// What became of everything.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.sources.iter().map(|s| s.account.clone()).collect()
    }

    /// Intervals that wait for an acknowledgement.
    pub(crate) fn waiting(&self) -> usize {
        self.spool.len()
    }
}

fn shipment(kind: Kind) -> Shipment {
    Shipment { shipment: Some(kind) }
}

/// Two consecutive intervals as one: what was counted adds up, and the levels are the later ones.
fn longer(held: Interval, next: &Interval, receipts_dropped: &mut u64) -> Interval {
    let held_bound = held.level(Gauge::ClockBoundNanos);
    let mut sum = held;
    sum.merge(next);
    let bound = held_bound.max(next.level(Gauge::ClockBoundNanos));
    sum.gauges.clone_from(&next.gauges);
    // The largest of the whole time, as it is of a second.
    if let Some(level) = sum.gauges.get_mut(&Gauge::ClockBoundNanos.into()) {
        *level = bound;
    }
    if sum.receipts.len() > HELD_RECEIPTS_MAX {
        *receipts_dropped += sum.receipts.len() as u64;
        sum.receipts.clear();
    }
    let entries: usize = sum.coverage.values().map(measure::Coverage::len).sum();
    if entries > HELD_COVERAGE_MAX {
        sum.uncovered += entries as u64;
        sum.coverage.clear();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolLimits;
    use measure::{Counter, Metric};

    fn interval(samples: u64, level: i64) -> Interval {
        let mut i = Interval::default();
        i.histograms.entry(Metric::Send.into()).or_default().record_n(100, samples);
        i.counters.insert(Counter::Sent.into(), samples);
        i.gauges.insert(Gauge::UsersConnected.into(), level);
        i
    }

    fn ledger(memory_bytes: usize) -> Ledger {
        let limits = SpoolLimits { memory_bytes, disk_bytes: 0, dir: "/nowhere".into() };
        Ledger::new(Spool::new(limits, "s"), ["w".to_owned()].into_iter())
    }

    fn drain(ledger: &mut Ledger) -> (Vec<(u64, Interval)>, Option<Goodbye>) {
        let (mut intervals, mut goodbye) = (Vec::new(), None);
        while let Some(shipment) = ledger.next() {
            match shipment.shipment.unwrap() {
                Kind::Interval(s) => intervals.push((s.sequence, Interval::decode(&s.interval).unwrap())),
                Kind::Goodbye(g) => goodbye = Some(g),
                Kind::Hello(_) => panic!("no hello of a ledger"),
            }
        }
        (intervals, goodbye)
    }

    #[test]
    fn without_room_time_gets_coarser_and_no_sample_is_lost() {
        let one = interval(1, 1).encode().len();
        let mut ledger = ledger(one);
        (1..=5).for_each(|n| ledger.seal(0, interval(n, n as i64)));
        ledger.finish();
        let (intervals, goodbye) = drain(&mut ledger);
        assert_eq!(intervals.iter().map(|(n, i)| (*n, i.samples())).collect::<Vec<_>>(), [(1, 1), (2, 14)]);
        assert_eq!(intervals[1].1.level(Gauge::UsersConnected), 5, "levels are not added over time");
        let goodbye = goodbye.unwrap();
        assert_eq!((goodbye.last_sequence, goodbye.samples, goodbye.counts), (2, 15, 15));
    }

    #[test]
    fn after_a_break_all_that_is_not_acknowledged_comes_again() {
        let mut ledger = ledger(1 << 20);
        (1..=4).for_each(|n| ledger.seal(0, interval(n, 0)));
        ledger.finish();
        assert_eq!(drain(&mut ledger).0.len(), 4);
        assert!(!ledger.has_next());
        ledger.acknowledge(&Ack { source: "w".into(), sequence: 2, closed: false });
        ledger.rewind();
        let (intervals, goodbye) = drain(&mut ledger);
        assert_eq!(intervals.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [3, 4]);
        assert!(goodbye.is_some() && !ledger.is_closed());
        ledger.acknowledge(&Ack { source: "w".into(), sequence: 4, closed: true });
        ledger.rewind();
        assert!(ledger.is_closed() && !ledger.has_next() && ledger.waiting() == 0);
    }
}
