//! The worker against a control plane of a few lines.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use measure::{Clock, Counter, Interval, SharedRecorder};
use proto::control as pb;
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::agents_server::{Agents, AgentsServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use worker::{Config, RunInfo, Session, Telemetry};

use crate::fake::Fake;
use crate::users::ROOMS;
use crate::{SOON, eventually};

/// One stream of an agent.
struct Agent {
    orders: mpsc::Sender<Result<pb::AgentOrder, Status>>,
    reports: Streaming<pb::AgentReport>,
}

struct Service {
    joined: mpsc::Sender<Agent>,
    other_clock: bool,
}

#[tonic::async_trait]
impl Agents for Service {
    type JoinStream = Pin<Box<dyn Stream<Item = Result<pb::AgentOrder, Status>> + Send>>;

    async fn join(&self, request: Request<Streaming<pb::AgentReport>>) -> Result<Response<Self::JoinStream>, Status> {
        let (orders, outgoing) = mpsc::channel(16);
        let _ = self.joined.send(Agent { orders, reports: request.into_inner() }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn time(&self, _: Request<pb::TimeRequest>) -> Result<Response<pb::TimeReply>, Status> {
        let shift = if self.other_clock { SHIFT } else { 0 };
        let now = Clock::System.now().as_nanos() + shift;
        Ok(Response::new(pb::TimeReply { received_ns: now, answered_ns: now, clock_id: clock_id(self.other_clock) }))
    }
}

/// How far another clock is ahead.
const SHIFT: u64 = 5_000_000_000;

fn clock_id(other: bool) -> String {
    if other { "another host".into() } else { measure::clock::host_clock_id() }
}

impl Agent {
    async fn tell(&self, order: Order) {
        self.orders.send(Ok(pb::AgentOrder { order: Some(order) })).await.unwrap();
    }

    /// The next report that is no heartbeat; heartbeats are answered.
    async fn hear(&mut self) -> Option<Report> {
        loop {
            let report = timeout(SOON, self.reports.message()).await.expect("a report in time").ok()??;
            match report.report.unwrap() {
                Report::Heartbeat(beat) => self.tell(Order::Heartbeat(beat)).await,
                other => return Some(other),
            }
        }
    }

    async fn hear_end(&mut self) -> (pb::Finished, Vec<pb::Progress>) {
        let mut progress = Vec::new();
        loop {
            match self.hear().await {
                Some(Report::Finished(finished)) => return (finished, progress),
                Some(Report::Progress(p)) => progress.push(p),
                other => panic!("{other:?}"),
            }
        }
    }
}

struct Fixture {
    address: SocketAddr,
    joins: mpsc::Receiver<Agent>,
    lease_ms: u32,
    other_clock: bool,
    shutdown: CancellationToken,
    telemetry: Arc<Books>,
    worker: JoinHandle<anyhow::Result<()>>,
}

/// Keeps what a shipper would ship.
#[derive(Default)]
struct Books {
    begun: Mutex<Option<RunInfo>>,
    shipped: Arc<Mutex<Option<Interval>>>,
}

struct Book {
    recorders: Mutex<Vec<SharedRecorder>>,
    shipped: Arc<Mutex<Option<Interval>>>,
}

impl Telemetry for Books {
    fn begin(&self, run: RunInfo, recorders: Vec<SharedRecorder>) -> Box<dyn Session> {
        *self.begun.lock().unwrap() = Some(run);
        Box::new(Book { recorders: Mutex::new(recorders), shipped: Arc::clone(&self.shipped) })
    }
}

impl Session for Book {
    fn add(&self, recorders: Vec<SharedRecorder>) {
        self.recorders.lock().unwrap().extend(recorders);
    }

    fn finish(
        self: Box<Self>,
        _within: Duration,
        _sooner: BoxFuture<'static, Duration>,
    ) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut all = Interval::default();
            self.recorders.lock().unwrap().iter().for_each(|r| all.merge(&r.take(Clock::System.now())));
            *self.shipped.lock().unwrap() = Some(all);
            Ok(())
        })
    }
}

impl Fixture {
    async fn start(lease_ms: u32, other_clock: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (joined, joins) = mpsc::channel(4);
        let service = AgentsServer::new(Service { joined, other_clock });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let (shutdown, telemetry) = (CancellationToken::new(), Arc::new(Books::default()));
        let config = Config {
            control_plane: format!("http://{address}"),
            links: tls::Links::default(),
            name: "worker".into(),
            threads: Some(2),
            capacity: None,
            source_addresses: Vec::new(),
        };
        let worker = worker::run(config, Arc::clone(&telemetry) as _, Clock::System, shutdown.clone());
        let worker = tokio::spawn(worker);
        Self { address, joins, lease_ms, other_clock, shutdown, telemetry, worker }
    }

    async fn welcome(&mut self) -> (Agent, pb::Hello) {
        let mut agent = timeout(SOON, self.joins.recv()).await.expect("a worker in time").unwrap();
        let Some(Report::Hello(hello)) = agent.hear().await else { panic!("a hello comes first") };
        let clock_id = clock_id(self.other_clock);
        let (agent_name, version) = ("worker-7".into(), proto::VERSION.into());
        let welcome = pb::Welcome { agent: agent_name, lease_ms: self.lease_ms, clock_id, version, alone_ms: 0 };
        agent.tell(Order::Welcome(welcome)).await;
        (agent, hello)
    }

    /// Until the run has begun.
    async fn begin(&mut self, target: &str, yaml: &str) -> Agent {
        self.begin_as(prepare(target, yaml)).await
    }

    async fn begin_as(&mut self, order: pb::Prepare) -> Agent {
        let (mut agent, _) = self.welcome().await;
        agent.tell(Order::Prepare(order)).await;
        assert_eq!(agent.hear().await, Some(Report::Ready(pb::Ready { run: "run-1".into() })));
        let shift = if self.other_clock { SHIFT } else { 0 };
        let at_ns = Clock::System.now().as_nanos() + shift + 100_000_000;
        agent.tell(Order::Start(pb::Start { run: "run-1".into(), at_ns })).await;
        agent
    }

    fn shipped(&self) -> Interval {
        self.telemetry.shipped.lock().unwrap().clone().expect("what was measured is shipped before the end is told")
    }
}

fn prepare(target: &str, yaml: &str) -> pb::Prepare {
    pb::Prepare {
        run: "run-1".into(),
        scenario: Some(pb::Scenario {
            file_name: "t.yaml".into(),
            source: yaml.as_bytes().to_vec().into(),
            ..Default::default()
        }),
        shard_index: 0,
        shard_count: 1,
        target: Some(pb::Target {
            urls: vec![target.to_owned()],
            api_key: "key".into(),
            api_secret: "secret".into(),
            bundled: true,
            ..pb::Target::default()
        }),
        data_plane: "http://127.0.0.1:9".into(),
        alone_ms: 0,
        rehearsal_speed: 0.0,
    }
}

#[tokio::test]
async fn a_run_from_hello_to_finished() {
    let fake = Fake::start().await;
    for other_clock in [false, true] {
        let mut fixture = Fixture::start(20_000, other_clock).await;
        let mut agent = fixture.begin(&fake.url(), ROOMS).await;
        let (finished, progress) = agent.hear_end().await;
        assert_eq!((finished.run.as_str(), finished.error.as_str()), ("run-1", ""));
        assert!(progress.iter().any(|p| (p.users_connected, p.users_planned) == (40, 40)), "{progress:?}");
        let shipped = fixture.shipped();
        assert_eq!(shipped.count(Counter::Expected), shipped.count(Counter::Delivered));
        assert_eq!(shipped.count(Counter::Negative), 0);
        let info = fixture.telemetry.begun.lock().unwrap().clone().unwrap();
        assert_eq!((info.source.as_str(), info.data_plane.as_str()), ("worker-7", "http://127.0.0.1:9"));
        let offset = info.known.borrow().course.at(info.start.at);
        if other_clock {
            assert!(offset.bound > 0 && offset.nanos.abs_diff(SHIFT as i64) <= offset.bound, "{offset:?}");
        } else {
            assert_eq!((offset.nanos, offset.bound), (0, 0));
        }
        fixture.shutdown.cancel();
        timeout(SOON, &mut fixture.worker).await.expect("the end in time").unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_hello_says_what_the_machine_has() {
    let mut fixture = Fixture::start(20_000, false).await;
    let (_agent, hello) = fixture.welcome().await;
    assert_eq!((hello.name.as_str(), hello.version.as_str()), ("worker", proto::VERSION));
    assert_eq!((hello.kind(), hello.pid), (pb::AgentKind::Worker, std::process::id()));
    assert!(hello.cores > 0 && hello.memory_bytes > 0 && hello.open_files > 0 && hello.capacity > 0);
    assert_eq!(hello.clock_id, measure::clock::host_clock_id());
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words() {
    let mut fixture = Fixture::start(20_000, false).await;
    let (mut agent, _) = fixture.welcome().await;
    let crowd = ROOMS.replace("users: 40", "users: 9_000_000").replace("100/s", "900_000/s");
    let fake = Fake::start().await;
    for (target, yaml, words) in [
        ("ws://127.0.0.1:1", ROOMS, "127.0.0.1:1 is not ready"),
        ("gopher://x", ROOMS, "use ws:// or wss://"),
        (fake.url().as_str(), crowd.as_str(), "ulimit -n"),
        (fake.url().as_str(), "name: [", "doesn't validate"),
    ] {
        agent.tell(Order::Prepare(prepare(target, yaml))).await;
        let Some(Report::Refused(refused)) = agent.hear().await else { panic!("{words}") };
        assert!(refused.reason.contains(words), "{}", refused.reason);
    }
}

#[tokio::test]
async fn a_control_plane_that_comes_back_is_told_the_end() {
    let fake = Fake::start().await;
    let mut fixture = Fixture::start(20_000, false).await;
    let agent = fixture.begin(&fake.url(), ROOMS).await;
    eventually("everybody is connected", || fake.connections() == 40).await;
    drop(agent);
    let (mut agent, _) = fixture.welcome().await;
    let (finished, _) = agent.hear_end().await;
    assert_eq!(finished.error, "");
    assert_eq!(fixture.shipped().count(Counter::Lost), 0);
}

#[tokio::test]
async fn a_run_stops_when_it_is_told_and_when_it_is_alone_for_too_long() {
    let fake = Fake::start().await;
    let endless = ROOMS.replace("hold: 2s", "hold: 1h");
    let mut fixture = Fixture::start(20_000, false).await;
    let mut agent = fixture.begin(&fake.url(), &endless).await;
    eventually("everybody is connected", || fake.connections() == 40).await;
    agent.tell(Order::Stop(pb::Stop { run: "run-1".into(), reason: "enough".into() })).await;
    agent.hear_end().await;
    let shipped = fixture.shipped();
    assert_eq!((shipped.count(Counter::Connected), shipped.count(Counter::Lost)), (40, 0));

    let mut fixture = Fixture::start(300, false).await;
    let agent = fixture.begin(&fake.url(), &endless).await;
    eventually("everybody is connected", || fake.connections() == 40).await;
    drop(agent);
    // Nobody welcomes the worker any more.
    let shipped = Arc::clone(&fixture.telemetry.shipped);
    eventually("it stops by itself", || shipped.lock().unwrap().is_some()).await;
    assert_eq!(fixture.shipped().count(Counter::Lost), 0);
    assert!(fixture.address.port() > 0);
}

#[tokio::test]
async fn a_lost_workers_users_are_taken_over_once_and_counted_exactly() {
    let fake = Fake::start().await;
    let endless = ROOMS.replace("hold: 2s", "hold: 1h");
    let mut fixture = Fixture::start(20_000, false).await;
    let mut agent = fixture.begin_as(pb::Prepare { shard_count: 2, ..prepare(&fake.url(), &endless) }).await;
    eventually("its own users are connected", || fake.connections() == 20).await;
    let adopt = |shard_index| pb::Adopt { run: "run-1".into(), shard_index, shard_count: 4, lost_count: 2 };
    let adopted = async |agent: &mut Agent, shard_index| {
        agent.tell(Order::Adopt(adopt(shard_index))).await;
        loop {
            match agent.hear().await {
                Some(Report::Adopted(adopted)) if adopted.shard_index == shard_index => return adopted.error,
                Some(Report::Progress(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(adopted(&mut agent, 3).await, "");
    eventually("half of the other shard's users are here", || fake.connections() == 30).await;
    assert_eq!(adopted(&mut agent, 3).await, "", "the answer may not have arrived");
    assert!(adopted(&mut agent, 4).await.contains("no shard 4 of 4"));
    agent.tell(Order::Stop(pb::Stop { run: "run-1".into(), reason: "enough".into() })).await;
    let (finished, progress) = agent.hear_end().await;
    assert_eq!(finished.error, "");
    assert!(progress.iter().all(|p| p.users_planned <= 30), "{progress:?}");
    let shipped = fixture.shipped();
    assert_eq!((shipped.count(Counter::Connected), shipped.count(Counter::Lost)), (30, 0));
    let (expected, delivered) = (shipped.count(Counter::Expected), shipped.count(Counter::Delivered));
    assert!(expected == delivered && expected > 0, "{expected}, {delivered}");
}

#[tokio::test]
async fn whose_users_others_take_over_is_alone_for_as_long_as_the_run_says() {
    let fake = Fake::start().await;
    let endless = ROOMS.replace("hold: 2s", "hold: 1h");
    // By its lease alone it would go on for minutes.
    let mut fixture = Fixture::start(20_000, false).await;
    let agent = fixture.begin_as(pb::Prepare { alone_ms: 1_000, ..prepare(&fake.url(), &endless) }).await;
    eventually("everybody is connected", || fake.connections() == 40).await;
    drop(agent);
    eventually("its load ends", || fake.connections() == 0).await;
    let shipped = Arc::clone(&fixture.telemetry.shipped);
    eventually("it ships", || shipped.lock().unwrap().is_some()).await;
}

#[tokio::test]
async fn a_shutdown_keeps_what_was_measured() {
    let fake = Fake::start().await;
    let mut fixture = Fixture::start(20_000, false).await;
    let mut agent = fixture.begin(&fake.url(), &ROOMS.replace("hold: 2s", "hold: 1h")).await;
    eventually("everybody is connected", || fake.connections() == 40).await;
    fixture.shutdown.cancel();
    let (finished, _) = timeout(Duration::from_secs(4), agent.hear_end()).await.expect("within 4 s");
    assert_eq!(finished.error, "");
    timeout(Duration::from_secs(1), &mut fixture.worker).await.expect("at once").unwrap().unwrap();
    assert_eq!(fixture.shipped().count(Counter::Lost), 0);
}

#[tokio::test]
async fn a_worker_that_is_rejected_ends_and_says_why() {
    let mut fixture = Fixture::start(20_000, false).await;
    let mut agent = fixture.joins.recv().await.unwrap();
    agent.hear().await;
    agent.tell(Order::Rejected(pb::Rejected { reason: "another version".into() })).await;
    let error = timeout(SOON, &mut fixture.worker).await.expect("in time").unwrap().unwrap_err();
    assert!(error.to_string().contains("another version"), "{error}");
}

#[tokio::test]
async fn a_control_plane_of_another_version_is_left_with_both_versions_named() {
    let mut fixture = Fixture::start(20_000, false).await;
    let mut agent = fixture.joins.recv().await.unwrap();
    agent.hear().await;
    agent.tell(Order::Welcome(pb::Welcome { version: "0.0.9".into(), ..pb::Welcome::default() })).await;
    let error = timeout(SOON, &mut fixture.worker).await.expect("in time").unwrap().unwrap_err().to_string();
    assert!(error.contains("0.0.9") && error.contains(proto::VERSION) && error.contains("worker `worker`"), "{error}");
}
