//! Intervals as bytes, for the stream from probe to data plane and for its journal.
//!
//! The format is protobuf, declared here and not in `proto`, so that the two ends of the stream share one encoder and
//! one decoder that a property test holds together. New fields are added, with new tags: a reader of an older version
//! passes over them, and one of a newer version finds them empty.

use prost::Message as _;

use crate::clock::Timestamp;
use crate::codec::events::{WireCoverage, WireExample};
use crate::histogram::Histogram;
use crate::interval::{CounterKey, GaugeKey, Interval};
use crate::metric::{Cohort, Counter, Gauge, Metric, Series};
use crate::receipt::{MessageKey, Receipt};

mod events;

/// Why bytes are no interval.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no protobuf of ours.
    #[error("not an interval: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A histogram inside is damaged or of another shape.
    #[error("not a histogram of ours: {0}")]
    Histogram(String),
    /// A metric, counter or gauge that this version doesn't know.
    #[error("unknown {kind} number {id}: the sender is of another version")]
    Unknown {
        /// Which enum.
        kind: &'static str,
        /// The number found.
        id: u32,
    },
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireInterval {
    #[prost(uint64, optional, tag = "1")]
    start: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    end: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<WireHistogram>,
    #[prost(message, repeated, tag = "4")]
    counters: Vec<WireCounter>,
    #[prost(message, repeated, tag = "5")]
    gauges: Vec<WireGauge>,
    #[prost(message, repeated, tag = "6")]
    receipts: Vec<WireReceipt>,
    #[prost(message, repeated, tag = "7")]
    coverage: Vec<WireCoverage>,
    #[prost(uint64, tag = "8")]
    uncovered: u64,
    #[prost(message, repeated, tag = "9")]
    examples: Vec<WireExample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireHistogram {
    #[prost(uint32, tag = "1")]
    metric: u32,
    #[prost(uint32, optional, tag = "2")]
    cohort: Option<u32>,
    #[prost(bytes = "vec", tag = "3")]
    v2_deflate: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireCounter {
    #[prost(uint32, tag = "1")]
    counter: u32,
    #[prost(uint32, optional, tag = "2")]
    cohort: Option<u32>,
    #[prost(string, tag = "3")]
    label: String,
    #[prost(uint64, tag = "4")]
    count: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireGauge {
    #[prost(uint32, tag = "1")]
    gauge: u32,
    #[prost(uint32, optional, tag = "2")]
    cohort: Option<u32>,
    #[prost(sint64, tag = "3")]
    level: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireReceipt {
    #[prost(uint64, tag = "1")]
    message: u64,
    #[prost(uint64, optional, tag = "2")]
    first: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    last: Option<u64>,
    /// Latencies as differences from the one before, and their counts, in turn.
    #[prost(uint64, repeated, tag = "4")]
    latencies: Vec<u64>,
}

impl Interval {
    /// The interval as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let wire = WireInterval {
            start: self.start.map(Timestamp::as_nanos),
            end: self.end.map(Timestamp::as_nanos),
            histograms: self
                .histograms
                .iter()
                .map(|(s, h)| WireHistogram {
                    metric: s.metric.id(),
                    cohort: s.cohort.map(u32::from),
                    v2_deflate: h.encode(),
                })
                .collect(),
            counters: self
                .counters
                .iter()
                .map(|(k, &count)| WireCounter {
                    counter: k.counter.id(),
                    cohort: k.cohort.map(u32::from),
                    label: k.label.clone(),
                    count,
                })
                .collect(),
            gauges: self
                .gauges
                .iter()
                .map(|(k, &level)| WireGauge { gauge: k.gauge.id(), cohort: k.cohort.map(u32::from), level })
                .collect(),
            receipts: self.receipts.iter().map(|(key, r)| encode_receipt(*key, r)).collect(),
            coverage: self.coverage.iter().map(|(channel, c)| WireCoverage::of(channel, c)).collect(),
            uncovered: self.uncovered,
            examples: WireExample::all(&self.examples),
        };
        wire.encode_to_vec()
    }

    /// Reads what [`Interval::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged, or from a version with other metrics.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = WireInterval::decode(bytes)?;
        let mut interval = Self {
            start: wire.start.map(Timestamp::from_nanos),
            end: wire.end.map(Timestamp::from_nanos),
            ..Self::default()
        };
        for h in wire.histograms {
            let metric = known("metric", h.metric, Metric::from_id)?;
            let series = Series { metric, cohort: cohort(h.cohort)? };
            interval.histograms.insert(series, Histogram::decode(&h.v2_deflate)?);
        }
        for c in wire.counters {
            let counter = known("counter", c.counter, Counter::from_id)?;
            interval.counters.insert(CounterKey { counter, cohort: cohort(c.cohort)?, label: c.label }, c.count);
        }
        for g in wire.gauges {
            let gauge = known("gauge", g.gauge, Gauge::from_id)?;
            interval.gauges.insert(GaugeKey { gauge, cohort: cohort(g.cohort)? }, g.level);
        }
        for r in wire.receipts {
            interval.receipts.insert(MessageKey::from_u64(r.message), decode_receipt(&r));
        }
        interval.coverage = wire.coverage.into_iter().map(WireCoverage::read).collect();
        interval.uncovered = wire.uncovered;
        for e in wire.examples {
            let (mishap, example) = e.read()?;
            interval.examples.add(mishap, example);
        }
        Ok(interval)
    }
}

fn encode_receipt(key: MessageKey, receipt: &Receipt) -> WireReceipt {
    let mut before = 0;
    let latencies = receipt.latencies().iter().flat_map(|&(value, n)| {
        let step = value - before;
        before = value;
        [step, n]
    });
    let latencies = latencies.collect();
    WireReceipt { message: key.as_u64(), first: receipt.first(), last: receipt.last(), latencies }
}

fn decode_receipt(wire: &WireReceipt) -> Receipt {
    let mut value = 0_u64;
    let pairs = wire.latencies.chunks_exact(2).map(|pair| {
        value = value.saturating_add(pair[0]);
        (value, pair[1])
    });
    Receipt::from_parts(pairs.collect(), wire.first, wire.last)
}

fn known<T>(kind: &'static str, id: u32, find: fn(u32) -> Option<T>) -> Result<T, DecodeError> {
    find(id).ok_or(DecodeError::Unknown { kind, id })
}

fn cohort(wire: Option<u32>) -> Result<Option<Cohort>, DecodeError> {
    wire.map(|id| Cohort::try_from(id).map_err(|_| DecodeError::Unknown { kind: "cohort", id })).transpose()
}
