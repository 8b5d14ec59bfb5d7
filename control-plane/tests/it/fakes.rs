//! A control plane on loopback, with agents and a data plane that do as a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_plane::run::{OnLoss, Plan};
use control_plane::{Config, ControlPlane, Limits};
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::agents_client::AgentsClient;
use proto::control::control_client::ControlClient;
use proto::control::{
    AgentKind, AgentOrder, AgentReport, Finished, Heartbeat, Hello, Progress, Ready, RunState, RunUpdate, Scenario,
    SubmitRequest, Target, WatchRequest,
};
use proto::telemetry::data_plane_server::{DataPlane, DataPlaneServer};
use proto::telemetry::{
    CloseReply, CloseRequest, LiveReply, LiveRequest, NoteReply, NoteRequest, OpenReply, OpenRequest,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Nothing in a test takes longer.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Fails the test when something takes longer than [`LONG`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap_or_else(|_| panic!("{what} took longer than {LONG:?}"))
}

/// Deadlines that suit a test.
pub(crate) fn limits() -> Limits {
    let ms = Duration::from_millis;
    Limits {
        lease: ms(900),
        queue: ms(1_500),
        open: ms(2_000),
        start_margin: ms(150),
        drain_interrupted: ms(1_000),
        report: ms(4_000),
        ..Limits::default()
    }
}

/// A "scenario" of tests: `users` and milliseconds, as `1000 500`, then the policy.
fn parse(scenario: &Scenario) -> Result<Plan, String> {
    let text = std::str::from_utf8(&scenario.source).unwrap();
    let mut words = text.split_whitespace();
    let number =
        |w: Option<&str>| w.and_then(|w| w.parse().ok()).ok_or(format!("{}:1:1: no number", scenario.file_name));
    Ok(Plan {
        name: "test".to_owned(),
        users: number(words.next())?,
        duration: Duration::from_millis(number(words.next())?),
        on_worker_loss: match words.next() {
            None => OnLoss::Continue,
            Some("abort") => OnLoss::Abort,
            Some(share) => OnLoss::AtMost(share.parse().unwrap()),
        },
        ..Plan::default()
    })
}

/// A control plane that serves.
pub(crate) struct Served {
    pub(crate) grpc: SocketAddr,
    pub(crate) web: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: tokio::task::JoinHandle<Result<(), control_plane::Error>>,
}

pub(crate) async fn serve(data_plane: SocketAddr, limits: Limits, state_dir: Option<PathBuf>) -> Served {
    let data_plane = format!("http://{data_plane}");
    let bound = ControlPlane::bind(Config { data_plane, limits, state_dir, parse, ..Config::default() }).await.unwrap();
    let (grpc, web) = (bound.listen(), bound.web_listen());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _sender_gone = stopped.await;
    };
    Served { grpc, web, stop: Some(stop), done: tokio::spawn(bound.serve(shutdown)) }
}

impl Served {
    pub(crate) async fn client(&self) -> ControlClient<Channel> {
        ControlClient::connect(format!("http://{}", self.grpc)).await.unwrap()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn end(mut self) {
        drop(self.stop.take());
        soon("ending", self.done).await.unwrap().unwrap();
    }

    /// Submits a run of so many users and milliseconds, for so many workers.
    pub(crate) async fn submit(&self, scenario: &str, workers: u32) -> String {
        let request = SubmitRequest {
            scenario: Some(Scenario {
                file_name: "test.yaml".to_owned(),
                source: scenario.to_owned().into(),
                variables: [("TOKEN".to_owned(), "hush".to_owned())].into(),
                ..Scenario::default()
            }),
            target: Some(Target { api_secret: "hush".to_owned(), ..Target::default() }),
            workers,
            ..SubmitRequest::default()
        };
        self.client().await.submit(request).await.unwrap().into_inner().run
    }

    pub(crate) async fn watch(&self, run: &str) -> Watch {
        let updates = self.client().await.watch(WatchRequest { run: run.to_owned() }).await.unwrap().into_inner();
        Watch { updates, seen: Vec::new() }
    }
}

/// Somebody who follows a run.
pub(crate) struct Watch {
    updates: Streaming<RunUpdate>,
    pub(crate) seen: Vec<RunUpdate>,
}

impl Watch {
    /// Reads on until an update is as told.
    pub(crate) async fn until(&mut self, what: &str, is: impl Fn(&RunUpdate) -> bool) -> RunUpdate {
        soon(what, async {
            loop {
                let update =
                    self.updates.message().await.unwrap().unwrap_or_else(|| panic!("no {what}: {:#?}", self.seen));
                self.seen.push(update.clone());
                if is(&update) {
                    return update;
                }
            }
        })
        .await
    }

    pub(crate) async fn until_state(&mut self, state: RunState) -> RunUpdate {
        self.until(state.as_str_name(), |u| u.state() == state).await
    }

    /// The last update; the stream ends after it.
    pub(crate) async fn ended(&mut self) -> RunUpdate {
        let last = self.until_state(RunState::Ended).await;
        assert!(self.updates.message().await.unwrap().is_none(), "the stream ends with the run");
        last
    }

    /// Kinds of all events so far.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.seen.iter().flat_map(|u| &u.events).map(|e| e.kind.as_str()).collect()
    }
}

/// What a fake agent does with an order.
pub(crate) type Manner = fn(&Order) -> Vec<Report>;

/// Does everything right: ready, some progress, finished when told to stop.
pub(crate) fn obedient(order: &Order) -> Vec<Report> {
    match order {
        Order::Prepare(p) => vec![Report::Ready(Ready { run: p.run.clone() })],
        Order::Start(s) => {
            vec![Report::Progress(Progress {
                run: s.run.clone(),
                users_connected: 5,
                users_planned: 5,
                ..Progress::default()
            })]
        }
        Order::Stop(s) => vec![Report::Finished(Finished { run: s.run.clone(), error: String::new() })],
        _ => Vec::new(),
    }
}

/// Does everything right, and is done as soon as it has started.
pub(crate) fn brisk(order: &Order) -> Vec<Report> {
    match order {
        Order::Start(s) => vec![Report::Finished(Finished { run: s.run.clone(), error: String::new() })],
        other => obedient(other),
    }
}

/// An agent that is joined; it dies with this handle.
pub(crate) struct Agent {
    pub(crate) name: String,
    orders: Arc<Mutex<Vec<Order>>>,
    _alive: DropGuard,
}

impl Agent {
    /// The orders so far, heartbeats left out.
    pub(crate) fn orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap().clone()
    }
}

pub(crate) fn hello(name: &str, kind: AgentKind, capacity: u64) -> Hello {
    Hello {
        name: name.to_owned(),
        kind: kind.into(),
        version: proto::VERSION.to_owned(),
        capacity,
        clock_id: measure::clock::host_clock_id(),
        pid: std::process::id(),
        ..Hello::default()
    }
}

/// Dials; answers the first order, which is a Welcome or a Rejected.
pub(crate) async fn dial(grpc: SocketAddr, hello: Hello) -> (Order, mpsc::Sender<AgentReport>, Streaming<AgentOrder>) {
    let (reports, receiver) = mpsc::channel(16);
    reports.send(AgentReport { report: Some(Report::Hello(hello)) }).await.unwrap();
    let mut client = AgentsClient::connect(format!("http://{grpc}")).await.unwrap();
    let mut orders = client.join(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let first = soon("the answer to Hello", orders.message()).await.unwrap().unwrap().order.unwrap();
    (first, reports, orders)
}

/// An agent that behaves in this manner until its handle is dropped.
pub(crate) async fn join(grpc: SocketAddr, hello: Hello, manner: Manner) -> Agent {
    let (first, reports, mut orders) = dial(grpc, hello).await;
    let Order::Welcome(welcome) = first else { panic!("not welcome: {first:?}") };
    let (alive, seen) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let agent = Agent { name: welcome.agent, orders: seen.clone(), _alive: alive.clone().drop_guard() };
    let mut heartbeat = tokio::time::interval(Duration::from_millis(u64::from(welcome.lease_ms) / 3));
    tokio::spawn(async move {
        loop {
            let answers = tokio::select! {
                () = alive.cancelled() => return,
                _ = heartbeat.tick() => vec![Report::Heartbeat(Heartbeat {})],
                order = orders.message() => match order {
                    Ok(Some(AgentOrder { order: Some(Order::Heartbeat(_)) })) => Vec::new(),
                    Ok(Some(AgentOrder { order: Some(order) })) => {
                        let answers = manner(&order);
                        seen.lock().unwrap().push(order);
                        answers
                    }
                    _ => return,
                },
            };
            for report in answers {
                if reports.send(AgentReport { report: Some(report) }).await.is_err() {
                    return;
                }
            }
        }
    });
    agent
}

/// What the fake data plane heard, and what it answers.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) opens: Vec<OpenRequest>,
    pub(crate) notes: Vec<NoteRequest>,
    pub(crate) closes: Vec<CloseRequest>,
    pub(crate) abort: String,
    pub(crate) dir: String,
    pub(crate) refuse: Option<Status>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeDataPlane(pub(crate) Arc<Mutex<Told>>);

impl FakeDataPlane {
    /// What it heard so far.
    pub(crate) fn told(&self) -> (Vec<OpenRequest>, Vec<CloseRequest>, Vec<NoteRequest>) {
        let told = self.0.lock().unwrap();
        (told.opens.clone(), told.closes.clone(), told.notes.clone())
    }

    /// Serves on this address until the guard is dropped.
    pub(crate) fn serve(&self, address: SocketAddr) -> (SocketAddr, DropGuard) {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, over) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (fake, killed) = (self.clone(), over.clone());
        // A runtime of its own: dropping it cuts all connections, as sudden as a SIGKILL.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
                let server = tonic::transport::Server::builder().add_service(DataPlaneServer::new(fake));
                tokio::select! {
                    () = killed.cancelled() => {}
                    served = server.serve_with_incoming(incoming) => served.unwrap(),
                }
            });
        });
        (address, over.drop_guard())
    }

    pub(crate) fn anywhere(&self) -> (SocketAddr, DropGuard) {
        self.serve(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

#[tonic::async_trait]
impl DataPlane for FakeDataPlane {
    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenReply>, Status> {
        let mut told = self.0.lock().unwrap();
        if let Some(status) = &told.refuse {
            return Err(status.clone());
        }
        told.opens.push(request.into_inner());
        Ok(Response::new(OpenReply { dir: told.dir.clone() }))
    }

    async fn live(&self, _: Request<LiveRequest>) -> Result<Response<LiveReply>, Status> {
        let abort = self.0.lock().unwrap().abort.clone();
        Ok(Response::new(LiveReply { users_connected: 7, delivery_p99_us: 1_234, abort, ..LiveReply::default() }))
    }

    async fn note(&self, request: Request<NoteRequest>) -> Result<Response<NoteReply>, Status> {
        self.0.lock().unwrap().notes.push(request.into_inner());
        Ok(Response::new(NoteReply {}))
    }

    async fn close(&self, request: Request<CloseRequest>) -> Result<Response<CloseReply>, Status> {
        let mut told = self.0.lock().unwrap();
        let request = request.into_inner();
        let outcome = if request.invalid_reasons.is_empty() { "passed" } else { "invalid" }.to_owned();
        let (dir, report_path) = (told.dir.clone(), format!("{}/report.html", told.dir));
        let reasons = request.invalid_reasons.clone();
        told.closes.push(request);
        Ok(Response::new(CloseReply { outcome, reasons, dir, report_path }))
    }
}

/// Shard index of each agent that was told to prepare.
pub(crate) fn shards(agents: &[&Agent]) -> BTreeMap<String, (u32, u32)> {
    let prepared = |a: &&Agent| {
        a.orders().iter().rev().find_map(|o| match o {
            Order::Prepare(p) => Some((a.name.clone(), (p.shard_index, p.shard_count))),
            _ => None,
        })
    };
    agents.iter().filter_map(prepared).collect()
}
