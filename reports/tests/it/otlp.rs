//! What an OpenTelemetry collector gets: received and read by OpenTelemetry's own messages, of which the product knows
//! none.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric};
use proto::telemetry::CloseRequest;
use reports::{Collector, RunResult};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::measured::{Random, second};
use crate::plane::{PATIENCE, Peer, Plane, close, open};

const EVERY: Duration = Duration::from_millis(50);
const SECONDS: u64 = 6;

/// A collector that keeps the last push, or never answers.
#[derive(Clone, Debug, Default)]
struct Fake {
    last: Arc<Mutex<Option<ExportMetricsServiceRequest>>>,
    pushes: Arc<Mutex<u64>>,
    hangs: bool,
}

#[tonic::async_trait]
impl MetricsService for Fake {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        *self.last.lock().unwrap() = Some(request.into_inner());
        *self.pushes.lock().unwrap() += 1;
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Fake {
    async fn serve(&self, port: u16) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tonic::transport::Server::builder()
            .add_service(MetricsServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        address
    }

    /// The metric of this name in the last push.
    fn metric(&self, name: &str) -> Option<Metric> {
        let last = self.last.lock().unwrap();
        let scopes = last.iter().flat_map(|r| &r.resource_metrics).flat_map(|r| &r.scope_metrics);
        let mut found = scopes.flat_map(|s| &s.metrics).filter(|m| m.name == name);
        let metric = found.next().cloned();
        assert!(found.next().is_none(), "{name} is there once");
        metric
    }

    /// A counter over all its points.
    fn total(&self, counter: &str) -> u64 {
        let Some(metric::Data::Sum(sum)) = self.metric(&format!("throng.{counter}")).and_then(|m| m.data) else {
            return 0;
        };
        assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative, "{counter}");
        sum.data_points.iter().map(|p| number(p.value.as_ref())).sum::<i64>().unsigned_abs()
    }

    async fn wait_for_deliveries(&self, n: u64) {
        let has_all = async {
            while self.total("messages_received") != n {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, has_all).await;
        assert!(in_time.is_ok(), "{} of {n} deliveries", self.total("messages_received"));
    }
}

fn number(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::AsInt(n)) => *n,
        other => panic!("no whole number: {other:?}"),
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        any_value::Value::StringValue(text) => Some(text),
        other => panic!("{key} is no text: {other:?}"),
    }
}

fn collector(address: SocketAddr) -> Option<Collector> {
    Some(Collector::new(&format!("http://{address}"), EVERY).unwrap())
}

/// A run with all that its one worker will ever ship; answers how many deliveries that is.
async fn ship(plane: &Plane) -> u64 {
    plane.control().await.open(open("r", &["worker-1"])).await.unwrap();
    let mut random = Random(11);
    let mut peer = Peer::new("r", "worker-1", (0..SECONDS).map(|s| second(&mut random, s, 3)).collect());
    peer.ship_all(plane.address).await;
    peer.intervals.iter().map(|i| i.count(measure::Counter::MessagesReceived)).sum()
}

async fn close_and_load(plane: &Plane, dir: &Path) -> RunResult {
    let request = CloseRequest { run: "r".into(), wait_ms: 5_000, ..CloseRequest::default() };
    let reply = close(plane.address, &request).await;
    assert_eq!(reply.outcome, "passed", "{:?}", reply.reasons);
    reports::load(&dir.join("r")).unwrap()
}

/// How often the report says that the collector took nothing.
fn complaints(result: &RunResult) -> usize {
    result.events.iter().filter(|e| e.kind == "otlp_unreachable").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_what_the_run_says() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let plane = Plane::start_with(dir.path(), 0, collector(fake.serve(0).await));
    let deliveries = ship(&plane).await;
    assert!(deliveries > 0);
    fake.wait_for_deliveries(deliveries).await;
    let level = fake.metric("throng.users_connected").and_then(|m| m.data);
    assert!(matches!(level, Some(metric::Data::Gauge(g)) if number(g.data_points[0].value.as_ref()) == 3));

    let result = close_and_load(&plane, dir.path()).await;
    *fake.last.lock().unwrap() = None;
    plane.stop().await;
    // The last push has the last numbers: those of the report.
    fake.wait_for_deliveries(deliveries).await;
    for counter in measure::Counter::ALL {
        let ours = result.counters.get(counter.name()).copied().unwrap_or(0);
        assert_eq!(fake.total(counter.name()), ours, "{counter}");
    }
    for (name, ours) in result.metrics.iter().filter(|(_, m)| m.count > 0) {
        let metric = fake.metric(&format!("throng.{name}")).unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!(metric.unit, "s");
        let Some(metric::Data::ExponentialHistogram(histogram)) = metric.data else { panic!("{name}") };
        assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
        let [point] = histogram.data_points.as_slice() else { panic!("one cohort, one point: {name}") };
        let texts = ["run", "scenario"].map(|key| attribute(&point.attributes, key));
        assert_eq!(texts, [Some("r"), Some("a-test")]);
        let of_cohort = ["delivery", "send"].contains(&name.as_str()).then_some("fans");
        assert_eq!(attribute(&point.attributes, "cohort"), of_cohort, "{name}");
        assert_eq!(point.start_time_unix_nano, 1_795_000_000_000_000_000);
        assert!(point.time_unix_nano >= point.start_time_unix_nano);
        let buckets = point.positive.as_ref().unwrap();
        assert_eq!((point.count, point.max), (ours.count, Some(ours.max_us as f64 / 1e6)), "{name}");
        assert_eq!(point.zero_count + buckets.bucket_counts.iter().sum::<u64>(), ours.count, "{name}");
        let mean_us = point.sum.unwrap() / point.count as f64 * 1e6;
        assert!((mean_us - ours.mean_us).abs() <= 0.06, "{name}: {mean_us} {}", ours.mean_us);
        // The median by these buckets alone.
        let (mut seen, rank) = (point.zero_count, point.count.div_ceil(2));
        let at = buckets.bucket_counts.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        let base = (-f64::from(point.scale)).exp2().exp2();
        let upper_us = base.powi(buckets.offset + 1 + i32::try_from(at.unwrap()).unwrap()) * 1e6;
        let p50_us = ours.p50_us as f64;
        assert!(p50_us <= upper_us * 1.001 && p50_us >= upper_us / base * 0.999, "{name}: {p50_us} {upper_us}");
    }
    assert_eq!(complaints(&result), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_disturbs_nothing_and_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake { hangs: true, ..Fake::default() };
    let plane = Plane::start_with(dir.path(), 0, collector(fake.serve(0).await));
    let deliveries = ship(&plane).await;
    let told_twice = async {
        while *fake.pushes.lock().unwrap() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told_twice).await.unwrap();
    let result = close_and_load(&plane, dir.path()).await;
    assert_eq!(result.counters["messages_received"], deliveries);
    assert!(result.conservation.holds);
    assert_eq!(complaints(&result), 1, "{:?}", result.events);
    let stopping = tokio::time::Instant::now();
    plane.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_comes_later_gets_everything() {
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plane = Plane::start_with(dir.path(), 0, collector(address));
    let deliveries = ship(&plane).await;
    let journal = dir.path().join("r/intervals.journal");
    let said = async {
        let word = b"Connection refused";
        while !std::fs::read(&journal).unwrap().windows(word.len()).any(|w| w == word) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.unwrap();
    let fake = Fake::default();
    fake.serve(address.port()).await;
    fake.wait_for_deliveries(deliveries).await;
    let result = close_and_load(&plane, dir.path()).await;
    assert_eq!(complaints(&result), 1, "{:?}", result.events);
    plane.stop().await;
}
