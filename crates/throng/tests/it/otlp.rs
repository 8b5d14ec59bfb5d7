//! `throng run --otlp-endpoint`: a collector gets what the result says, read by OpenTelemetry's own messages; one that is
//! not there, or never answers, costs the run nothing and is told of.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use measure::Clock;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::harness::{GONE_WITHIN, RUN_WITHIN, Run, SMALL, eventually};

/// What a collector got, push by push.
#[derive(Clone, Debug, Default)]
struct Got(Arc<Mutex<Vec<ExportMetricsServiceRequest>>>);

#[tonic::async_trait]
impl MetricsService for Got {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.lock().expect("nobody panics with it").push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Got {
    /// Serves on a free port until the runtime is dropped.
    fn serve(&self) -> (SocketAddr, Runtime) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let service = MetricsServiceServer::new(self.clone());
        let incoming = TcpListenerStream::new(listener);
        runtime.spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        (address, runtime)
    }
}

/// What a push says of a counter or of a latency's samples, over all its points.
fn total(push: &ExportMetricsServiceRequest, name: &str) -> u64 {
    let name = format!("throng.{name}");
    let scopes = push.resource_metrics.iter().flat_map(|r| &r.scope_metrics);
    let found = scopes.flat_map(|s| &s.metrics).filter(|m| m.name == name).filter_map(|m| m.data.as_ref());
    let of = |data: &metric::Data| match data {
        metric::Data::Sum(sum) => {
            let number = |value: &number_data_point::Value| match value {
                number_data_point::Value::AsInt(n) => u64::try_from(*n).expect("counts are not negative"),
                number_data_point::Value::AsDouble(_) => panic!("{name} is no whole number"),
            };
            sum.data_points.iter().filter_map(|p| p.value.as_ref()).map(number).sum::<u64>()
        }
        metric::Data::ExponentialHistogram(histogram) => histogram.data_points.iter().map(|p| p.count).sum(),
        other => panic!("{name}: {other:?}"),
    };
    found.map(of).sum()
}

#[test]
fn a_collector_gets_the_numbers_of_the_run_while_it_is_on_and_those_of_its_result() {
    let got = Got::default();
    let (address, _serving) = got.serve();
    let mut run = Run::start_with(&SMALL.replace("3s", "7s"), &["--otlp-endpoint", &format!("http://{address}")]);
    run.wait_until_under_way();
    let received = || got.0.lock().unwrap().last().map_or(0, |push| total(push, "messages_received"));
    eventually("a push has deliveries", RUN_WITHIN, || received() > 0);
    assert!(!run.processes("worker").is_empty(), "the run is still on");
    let result = run.end_well();
    let pushes = got.0.lock().unwrap().clone();
    let totals: Vec<u64> = pushes.iter().map(|push| total(push, "messages_received")).collect();
    assert!(totals.is_sorted() && totals.len() > 1, "each push has all that was before: {totals:?}");
    let last = pushes.last().expect("there were pushes");
    let counters = result["counters"].as_object().expect("counters");
    assert!(counters["messages_received"].as_u64() > Some(500), "{counters:?}");
    for (name, count) in counters {
        assert_eq!(Some(total(last, name)), count.as_u64(), "{name}");
    }
    for (name, latency) in result["metrics"].as_object().expect("metrics") {
        assert_eq!(Some(total(last, name)), latency["count"].as_u64(), "{name}");
    }
    assert!(
        result["events"].as_array().unwrap().iter().all(|e| e["kind"] != "otlp_unreachable"),
        "{}",
        result["events"]
    );
}

#[test]
fn a_collector_that_refuses_or_hangs_neither_delays_nor_fails_a_run_and_is_told_of() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = refused.local_addr().unwrap();
    drop(refused);
    // The kernel takes connections for it, and nobody ever reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, why) in [(nobody, "Connection refused"), (silent.local_addr().unwrap(), "no answer within")] {
        let url = format!("http://{address}");
        // A push each five seconds, which takes three at the most.
        let mut run = Run::start_with(&SMALL.replace("3s", "11s"), &["--otlp-endpoint", &url]);
        eventually("the run has ended", RUN_WITHIN, || run.stderr().contains("small has ended"));
        let (clock, ended) = (Clock::System, Clock::System.now());
        let result = run.end_well();
        assert!(clock.now().since(ended) < GONE_WITHIN, "the last push has a deadline, too");
        assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
        let events = result["events"].as_array().expect("events").iter();
        let told: Vec<_> = events.filter(|e| e["kind"] == "otlp_unreachable").collect();
        let [told] = told.as_slice() else { panic!("it is said once: {told:?}") };
        let text = told["text"].as_str().expect("words");
        assert!(text.contains(&url) && text.contains(why), "{text}");
        let page = std::fs::read_to_string(run.out().join("report.html")).expect("a report");
        assert!(page.contains("took no numbers"), "the report says so");
        let log = std::fs::read_to_string(run.out().join("logs/data-plane.log")).expect("a log");
        assert_eq!(log.matches("takes no numbers").count(), 1, "once, however often it is tried: {log}");
    }
}
