//! What a number is: time, histograms, recorders, and intervals that merge by addition.
//!
//! A [`Recorder`] is the mutable side of measuring and belongs to one thread; an [`Interval`] is a frozen window of
//! it. [`Interval::merge`] is the only aggregation in throng, from threads to processes to the whole fleet, so that a
//! percentile of the merged numbers is the percentile of the pooled samples (to the histogram's resolution, 0.1 %).
//!
//! This crate does no I/O but for reading the clock, which only [`clock`] does.

pub mod clock;
mod codec;
pub mod course;
pub mod coverage;
mod digits;
pub mod example;
pub mod histogram;
pub mod interval;
pub mod metric;
pub mod offset;
pub mod receipt;
pub mod recorder;
pub mod schedule;
pub mod statistics;

pub use clock::{Clock, Skew, Timestamp};
pub use codec::DecodeError;
pub use course::Course;
pub use coverage::{Coverage, Named, Steps};
pub use digits::grouped;
pub use example::{EXAMPLES_MAX, Example, Examples, Mishap};
pub use histogram::Histogram;
pub use interval::{CounterKey, GaugeKey, Interval};
pub use metric::{Cohort, Counter, Gauge, Metric, Series};
pub use offset::{Estimate, Estimator, Exchange, Offset};
pub use receipt::{MessageKey, Receipt};
pub use recorder::{Covered, Place, Recorder, SharedRecorder};
pub use schedule::{Profile, Schedule, SplitMix64};
