//! A run as OpenTelemetry's metrics: the numbers of `/metrics`, by cohort and with their whole distributions.
//!
//! Names are those of `/metrics` as OpenTelemetry writes them: `throng.sent` is `throng_sent_total` there, and
//! `throng.delivery` in seconds is `throng_delivery_seconds`. Everything is cumulative from the run's start, so that a
//! push that is lost takes nothing with it.

mod exponential;

use std::time::UNIX_EPOCH;

use measure::clock::wall_clock;
use measure::{Cohort, Counter, Gauge, Metric as Measured};
use proto::otlp;
use proto::otlp::metric::Data;
use proto::otlp::{
    AggregationTemporality, AnyValue, ExponentialHistogram, InstrumentationScope, KeyValue, Metric, NumberDataPoint,
    Resource, ResourceMetrics, ScopeMetrics, Sum, any_value, number_data_point,
};

use crate::levels;
use crate::run::RunState;

/// Everything there is to say of a run now.
pub(crate) fn metrics(run: &RunState) -> ResourceMetrics {
    let run = Described::new(run);
    let counters = Counter::ALL.iter().map(|counter| run.counter(*counter));
    let distributions = Measured::ALL.iter().filter_map(|metric| run.distribution(*metric));
    let metrics = counters.chain(run.levels()).chain(distributions).collect();
    let scope = InstrumentationScope { name: "throng".to_owned(), version: proto::VERSION.to_owned() };
    let attributes = vec![attribute("service.name", "throng"), attribute("service.version", proto::VERSION)];
    ResourceMetrics {
        resource: Some(Resource { attributes }),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics }],
    }
}

/// A run, and what every point of it says.
struct Described<'a> {
    run: &'a RunState,
    /// `run` and `scenario`.
    attributes: Vec<KeyValue>,
    start_ns: u64,
    now_ns: u64,
}

impl<'a> Described<'a> {
    fn new(run: &'a RunState) -> Self {
        let attributes =
            vec![attribute("run", &run.opened.request.run), attribute("scenario", &run.opened.scenario.name)];
        let now_ns = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let start_ns = run.opened.request.start_unix_ns;
        // The start is the control plane's wall clock, which may be ahead of ours.
        let now_ns = u64::try_from(now_ns).unwrap_or(u64::MAX).max(start_ns);
        Self { run, attributes, start_ns, now_ns }
    }

    fn counter(&self, counter: Counter) -> Metric {
        let counted = self.run.totals.counters.iter().filter(|(key, _)| key.counter == counter);
        let mut data_points: Vec<NumberDataPoint> = counted
            .map(|(key, n)| {
                let kind = (!key.label.is_empty()).then(|| attribute("kind", &key.label));
                self.number(self.cohort(key.cohort).chain(kind), i64::try_from(*n).unwrap_or(i64::MAX))
            })
            .collect();
        // That nothing was lost is a number, too.
        if data_points.is_empty() {
            data_points.push(self.number([], 0));
        }
        let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true };
        described(&counter.to_string(), counter.meaning(), unit_of_counter(counter), Data::Sum(sum))
    }

    fn levels(&self) -> impl Iterator<Item = Metric> {
        let of_the_run = levels::of_the_run(self.run).map(|(gauge, level)| (gauge, vec![self.number([], level)]));
        let mut all: Vec<(Gauge, Vec<NumberDataPoint>)> = of_the_run.collect();
        for (source, gauge, level) in levels::of_sources(self.run) {
            let whose = [attribute("source", source.name()), attribute("host", &source.hello.host)];
            let point = self.number(whose, level);
            match all.iter_mut().find(|(known, _)| *known == gauge) {
                Some((_, points)) => points.push(point),
                None => all.push((gauge, vec![point])),
            }
        }
        all.into_iter().map(|(gauge, data_points)| {
            let data = Data::Gauge(otlp::Gauge { data_points });
            described(&gauge.to_string(), gauge.meaning(), unit_of_gauge(gauge), data)
        })
    }

    /// None if nothing of it was measured.
    fn distribution(&self, metric: Measured) -> Option<Metric> {
        let all = self.run.totals.histograms.iter().chain(&self.run.fanouts.histograms);
        let data_points: Vec<_> = all
            .filter(|(series, _)| series.metric == metric)
            .map(|(series, histogram)| {
                let mut point = exponential::point(histogram);
                point.attributes = self.attributes.iter().cloned().chain(self.cohort(series.cohort)).collect();
                (point.start_time_unix_nano, point.time_unix_nano) = (self.start_ns, self.now_ns);
                point
            })
            .collect();
        if data_points.is_empty() {
            return None;
        }
        let histogram = ExponentialHistogram { data_points, aggregation_temporality: CUMULATIVE };
        Some(described(metric.name(), metric.meaning(), "s", Data::ExponentialHistogram(histogram)))
    }

    fn cohort(&self, cohort: Option<Cohort>) -> impl Iterator<Item = KeyValue> {
        let spec = cohort.and_then(|cohort| self.run.opened.scenario.cohorts.get(usize::from(cohort)));
        spec.map(|spec| attribute("cohort", &spec.name)).into_iter()
    }

    fn number(&self, more: impl IntoIterator<Item = KeyValue>, value: i64) -> NumberDataPoint {
        NumberDataPoint {
            start_time_unix_nano: self.start_ns,
            time_unix_nano: self.now_ns,
            value: Some(number_data_point::Value::AsInt(value)),
            attributes: self.attributes.iter().cloned().chain(more).collect(),
        }
    }
}

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

fn described(name: &str, meaning: &str, unit: &str, data: Data) -> Metric {
    let (name, description) = (format!("throng.{name}"), meaning.to_owned());
    Metric { name, description, unit: unit.to_owned(), data: Some(data) }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value) }
}

/// Units are of the Unified Code for Units of Measure, as OpenTelemetry wants it; what is counted stands in braces.
const fn unit_of_counter(counter: Counter) -> &'static str {
    match counter {
        Counter::BytesReceived => "By",
        Counter::FramesReceived | Counter::FannedOut => "{frame}",
        Counter::Sent | Counter::SendsDue | Counter::MessagesReceived => "{message}",
        Counter::Connected | Counter::Disconnected | Counter::ConnectFailed | Counter::ClosedSlow => "{connection}",
        Counter::Due | Counter::Dropped | Counter::Acted => "{action}",
        Counter::CallFailed | Counter::RateLimited => "{call}",
        Counter::Negative | Counter::Saturated => "{sample}",
        Counter::Errors => "{error}",
        _ => "{event}",
    }
}

const fn unit_of_gauge(gauge: Gauge) -> &'static str {
    match gauge {
        Gauge::ProcessRssBytes | Gauge::HostMemoryUsedBytes => "By",
        Gauge::ProcessCpuMilli | Gauge::HostCpuMilli => "m{core}",
        Gauge::ClockBoundNanos => "ns",
        Gauge::UsersPlanned | Gauge::UsersConnected => "{user}",
        Gauge::InFlight => "{call}",
        Gauge::NodeConnections => "{connection}",
        _ => "{item}",
    }
}
