//! `intervals.hlog`: the histograms of each second in HdrHistogram's log format, which its standard tools read.
//!
//! Tags are `metric` for all cohorts together and `metric/cohort` for one.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use measure::Series;

use crate::clocks;
use crate::run::RunState;

/// Values are microseconds; the log's maximum column is in milliseconds.
const MICROS_PER_MILLI: f64 = 1_000.0;

/// Writes the log.
///
/// # Errors
/// When `out` can't be written.
pub(crate) fn write(run: &RunState, out: &mut impl Write) -> io::Result<()> {
    let start = std::time::UNIX_EPOCH + Duration::from_nanos(run.opened.request.start_unix_ns);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("throng {}, run {}; values in microseconds", proto::VERSION, run.opened.request.run))
        .add_comment(&bounds(run))
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(MICROS_PER_MILLI)
        .begin_log_with(out, &mut serializer)?;
    let width = Duration::from_secs(run.slots.width_s().into());
    for (slot, i) in run.slots.iter().zip(0_u32..) {
        let mut series: Vec<Series> = slot.series().collect();
        series.dedup_by_key(|s| s.metric);
        for metric in series.iter().map(|s| s.metric) {
            let Some(histogram) = slot.metric(metric) else { continue };
            log.write_histogram(histogram.as_hdr(), width * i, width, Tag::new(metric.name())).map_err(io_error)?;
        }
        for series in slot.series().filter(|s| s.cohort.is_some()) {
            let Some(histogram) = slot.histogram(series) else { continue };
            let tag = tag(run, series);
            log.write_histogram(histogram.as_hdr(), width * i, width, Tag::new(&tag)).map_err(io_error)?;
        }
    }
    Ok(())
}

/// How well the values are known.
fn bounds(run: &RunState) -> String {
    let bounds: Vec<String> = clocks::bounds(run)
        .filter(|(_, bound_us)| *bound_us > 0.0)
        .map(|(metric, bound_us)| format!("{metric} ± {bound_us}"))
        .collect();
    if bounds.is_empty() { "stamped by one clock".into() } else { format!("between hosts: {}", bounds.join(", ")) }
}

/// A tag can't hold what separates the fields of a line.
fn tag(run: &RunState, series: Series) -> String {
    let cohorts = &run.opened.scenario.cohorts;
    let cohort = series.cohort.map(usize::from).and_then(|c| cohorts.get(c)).map_or("?", |c| c.name.as_str());
    let cohort: String = cohort.chars().map(|c| if c == ',' || c.is_whitespace() { '_' } else { c }).collect();
    format!("{}/{cohort}", series.metric)
}

fn io_error<E: std::fmt::Debug>(error: E) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use measure::Histogram;

    use crate::testing::{healthy, run};

    #[test]
    fn the_log_has_a_line_a_second_for_each_metric_and_cohort() {
        let run = run("  - lost: count == 0\n", (0..3).map(|_| healthy()));
        let mut log = Vec::new();
        super::write(&run, &mut log).unwrap();
        let (mut samples, mut starts, mut headers) = (BTreeMap::<String, u64>::new(), Vec::new(), 0);
        for entry in IntervalLogIterator::new(&log) {
            match entry.unwrap() {
                LogEntry::Interval(line) => {
                    let bytes = base64::prelude::BASE64_STANDARD.decode(line.encoded_histogram()).unwrap();
                    let tag = line.tag().unwrap().as_str().to_owned();
                    *samples.entry(tag).or_default() += Histogram::decode(&bytes).unwrap().count();
                    starts.push(line.start_timestamp().as_secs_f64());
                }
                LogEntry::StartTime(at) | LogEntry::BaseTime(at) => {
                    assert_eq!(at.as_secs(), 1_795_000_000);
                    headers += 1;
                }
            }
        }
        assert_eq!(headers, 2, "both StartTime and BaseTime: readers differ in which they take");
        for (tag, n) in [("delivery", 150), ("delivery/fans", 150), ("send", 15), ("send/fans", 15), ("lag/fans", 15)] {
            assert_eq!(samples[tag], n, "{tag}");
        }
        assert!(starts.is_sorted() && starts.last() == Some(&2.0));
    }
}
