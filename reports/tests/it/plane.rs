//! A data plane that can be killed, and a peer that ships badly.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use measure::Interval;
use proto::telemetry::data_plane_client::DataPlaneClient;
use proto::telemetry::shipment::Shipment as Kind;
use proto::telemetry::telemetry_client::TelemetryClient;
use proto::telemetry::{CloseReply, CloseRequest, Goodbye, OpenRequest, SealedInterval, Shipment, SourceHello};
use reports::{Collector, Config, DataPlane};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::measured::START_NS;

/// The scenario of all tests.
pub(crate) const SCENARIO: &str = r"name: a-test
seed: 1
channels:
  - { id: room, type: messaging, members: all }
cohorts:
  - name: fans
    users: 6
    ramp: { rate: 6/s }
    actions:
      - send: { channel: room, rate: 3/s, size: 20..40B }
hold: 10s
thresholds:
  - delivery: p(99) < 100ms
  - lost: count == 0
";

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A data plane in a runtime of its own, so that it can be killed as a process is.
pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    /// Where it answers Prometheus.
    pub(crate) metrics: SocketAddr,
    runtime: tokio::runtime::Runtime,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Plane {
    pub(crate) fn start(dir: &Path, port: u16) -> Self {
        Self::start_with(dir, port, None)
    }

    /// One that pushes to a collector.
    pub(crate) fn start_with(dir: &Path, port: u16, collector: Option<Collector>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = Config {
            listen: ([127, 0, 0, 1], port).into(),
            dir: dir.to_owned(),
            metrics_listen: Some(([127, 0, 0, 1], 0).into()),
            links: tls::Links::default(),
            collector,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (plane, address, metrics) = std::thread::scope(|scope| {
            let bind = || {
                runtime.block_on(async {
                    let plane = DataPlane::bind(config).await.unwrap();
                    let address = plane.local_addr().unwrap();
                    let metrics = plane.metrics_addr().unwrap().unwrap();
                    (plane, address, metrics)
                })
            };
            scope.spawn(bind).join().unwrap()
        });
        let served = runtime.spawn(plane.serve(async {
            // A dropped sender counts as a stop, too.
            let _ = stopped.await;
        }));
        Self { address, metrics, runtime, stop, served }
    }

    /// As SIGKILL: nothing is told, nothing is finished.
    pub(crate) fn kill(self) -> u16 {
        self.served.abort();
        let Self { runtime, address, .. } = self;
        // In a thread of its own: a runtime may not wait for another one.
        std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join().unwrap();
        address.port()
    }

    /// As SIGTERM.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap().unwrap();
        self.runtime.shutdown_background();
    }

    pub(crate) async fn control(&self) -> DataPlaneClient<Channel> {
        control(self.address).await
    }
}

pub(crate) async fn control(address: SocketAddr) -> DataPlaneClient<Channel> {
    retry(|| DataPlaneClient::connect(format!("http://{address}"))).await
}

async fn retry<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(mut f: impl FnMut() -> F) -> T {
    let again = async {
        loop {
            match f().await {
                Ok(done) => return done,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap()
}

pub(crate) fn open(run: &str, sources: &[&str]) -> OpenRequest {
    OpenRequest {
        run: run.into(),
        file_name: "a-test.yaml".into(),
        scenario: SCENARIO.into(),
        target: "ws://127.0.0.1:1".into(),
        bundled: true,
        start_ns: START_NS,
        start_unix_ns: 1_795_000_000_000_000_000,
        expected_sources: sources.iter().map(|&s| s.to_owned()).collect(),
        expected_users: vec![3; sources.len()],
        ..OpenRequest::default()
    }
}

/// Closes the run; a close that a killed data plane did not answer is asked again.
pub(crate) async fn close(address: SocketAddr, request: &CloseRequest) -> CloseReply {
    let ask = || async { control(address).await.close(request.clone()).await };
    retry(ask).await.into_inner()
}

/// A source with all that it will ever ship.
pub(crate) struct Peer {
    pub(crate) run: String,
    pub(crate) name: String,
    pub(crate) intervals: Vec<Interval>,
    /// The data plane says that it has everything up to this one.
    pub(crate) acknowledged: u64,
}

impl Peer {
    pub(crate) fn new(run: &str, name: &str, intervals: Vec<Interval>) -> Self {
        Self { run: run.into(), name: name.into(), intervals, acknowledged: 0 }
    }

    fn hello(&self) -> Shipment {
        let hello = SourceHello {
            run: self.run.clone(),
            source: self.name.clone(),
            kind: "worker".into(),
            host: "here".into(),
            cores: 2,
            version: "0".into(),
            machine: String::new(),
        };
        Shipment { shipment: Some(Kind::Hello(hello)) }
    }

    fn interval(&self, sequence: u64) -> Shipment {
        let interval = self.intervals[sequence as usize - 1].encode().into();
        Shipment { shipment: Some(Kind::Interval(SealedInterval { sequence, interval, source: String::new() })) }
    }

    pub(crate) fn goodbye(&self) -> Shipment {
        let mut all = Interval::default();
        self.intervals.iter().for_each(|interval| all.merge(interval));
        let (mut samples_by_metric, mut counts_by_counter) = (BTreeMap::new(), BTreeMap::new());
        for (series, histogram) in &all.histograms {
            *samples_by_metric.entry(series.metric.to_string()).or_default() += histogram.count();
        }
        for (key, n) in &all.counters {
            *counts_by_counter.entry(key.counter.to_string()).or_default() += n;
        }
        let goodbye = Goodbye {
            receipts_dropped: 0,
            source: String::new(),
            last_sequence: self.intervals.len() as u64,
            samples: self.intervals.iter().map(Interval::samples).sum(),
            counts: self.intervals.iter().flat_map(|i| i.counters.values()).sum(),
            samples_by_metric,
            counts_by_counter,
        };
        Shipment { shipment: Some(Kind::Goodbye(goodbye)) }
    }

    /// Ships what is not acknowledged, up to `until` and each interval `times` times, reads up to `acks`
    /// acknowledgements, and hangs up.
    pub(crate) async fn ship(
        &mut self,
        address: SocketAddr,
        until: u64,
        times: u64,
        acks: u64,
    ) -> Result<(), tonic::Status> {
        let mut shipments = vec![self.hello()];
        for sequence in self.acknowledged + 1..=until {
            (0..times).for_each(|_| shipments.push(self.interval(sequence)));
        }
        if until == self.intervals.len() as u64 {
            shipments.push(self.goodbye());
        }
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.map_err(|e| tonic::Status::unavailable(e.to_string()))?;
        // All but the hello are acknowledged.
        let answered = shipments.len() as u64 - 1;
        let (send, receive) = mpsc::channel(shipments.len());
        shipments.into_iter().for_each(|s| send.try_send(s).unwrap());
        let mut answers = TelemetryClient::new(channel).ship(ReceiverStream::new(receive)).await?.into_inner();
        for _ in 0..acks.min(answered) {
            match tokio::time::timeout(PATIENCE, answers.message()).await.unwrap()? {
                Some(ack) => self.acknowledged = self.acknowledged.max(ack.sequence),
                None => break,
            }
        }
        Ok(())
    }

    /// Ships all that is left and waits until the goodbye is taken.
    pub(crate) async fn ship_all(&mut self, address: SocketAddr) {
        let end = self.intervals.len() as u64;
        let mut left = 200;
        while self.ship(address, end, 1, end - self.acknowledged + 1).await.is_err() {
            left -= 1;
            assert!(left > 0, "{} can't ship", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
