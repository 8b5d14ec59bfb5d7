//! Over real gRPC on loopback: what people and agents see when all is well.

use std::time::Duration;

use measure::Clock;
use proto::control::agent_order::Order;
use proto::control::agents_client::AgentsClient;
use proto::control::{
    AgentKind, FleetRequest, Hello, Outcome, RunState, RunsRequest, Scenario, StopRequest, SubmitRequest, TimeRequest,
    WatchRequest,
};
use tonic::Code;

use crate::fakes::{FakeDataPlane, brisk, dial, hello, join, limits, obedient, serve, shards, soon};
use crate::pages::get as http_get;

#[tokio::test]
async fn a_run_from_submit_to_verdict() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let (a, b) = tokio::join!(
        join(control.grpc, hello("worker", AgentKind::Worker, 600), obedient),
        join(control.grpc, hello("worker", AgentKind::Worker, 600), obedient),
    );
    let probe = join(control.grpc, hello("probe-1", AgentKind::Probe, 0), obedient).await;
    assert_ne!(a.name, b.name, "names are made unique");

    let run = control.submit("1000 1200", 2).await;
    let mut watch = control.watch(&run).await;
    watch.until("live numbers", |u| u.live.is_some_and(|l| l.delivery_p99_us == 1_234)).await;
    watch.until("progress", |u| u.workers.iter().any(|w| w.users_connected == 5)).await;
    let client = &mut control.client().await;
    client.stop(StopRequest { run: run.clone(), ..StopRequest::default() }).await.unwrap();
    let last = watch.ended().await;
    let verdict = last.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Passed, "{:?}", verdict.reasons);
    assert!(!verdict.interrupted);
    assert_eq!(last.workers.len(), 3);

    let indices: Vec<_> = shards(&[&a, &b]).into_values().collect();
    assert!(indices == [(0, 2), (1, 2)] || indices == [(1, 2), (0, 2)], "{indices:?}");
    let (opens, closes, notes) = data_plane.told();
    let open = &opens[0];
    assert_eq!(open.expected_sources.len(), 3);
    assert_eq!(open.expected_users.iter().sum::<u64>(), 1_000);
    assert_eq!(open.variable_names, ["TOKEN"], "names of variables, not their values");
    for agent in [&a, &b, &probe] {
        let starts: Vec<u64> =
            agent.orders().iter().filter_map(|o| if let Order::Start(s) = o { Some(s.at_ns) } else { None }).collect();
        assert_eq!(starts, [open.start_ns], "{}", agent.name);
    }
    assert_eq!(closes.len(), 1);
    let noted: Vec<_> = notes.iter().map(|n| n.kind.as_str()).collect();
    assert_eq!(noted, ["preparing", "started", "stopped"], "what was noted before the opening arrives too");
    control.end().await;
}

#[tokio::test]
async fn runs_go_one_after_the_other_and_are_listed_newest_first() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), brisk).await;
    let (first, second) = (control.submit("10 300", 1).await, control.submit("10 300", 1).await);
    for run in [&first, &second] {
        let verdict = control.watch(run).await.ended().await.verdict.unwrap();
        assert_eq!(verdict.outcome(), Outcome::Passed, "{verdict:?}");
    }
    let runs = control.client().await.runs(RunsRequest {}).await.unwrap().into_inner().runs;
    assert_eq!(runs.iter().map(|r| &r.run).collect::<Vec<_>>(), [&second, &first]);
    control.end().await;
}

#[tokio::test]
async fn two_runs_share_the_fleet_and_the_third_waits_for_its_workers() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(join(control.grpc, hello(name, AgentKind::Worker, 10), obedient).await);
    }
    let first = control.submit("10 60000", 1).await;
    let second = control.submit("10 60000", 1).await;
    let (mut of_first, mut of_second) = (control.watch(&first).await, control.watch(&second).await);
    let took = |update: proto::control::RunUpdate| update.workers.into_iter().map(|w| w.name).collect::<Vec<_>>();
    assert_eq!(took(of_first.until_state(RunState::Running).await), ["a"]);
    assert_eq!(took(of_second.until_state(RunState::Running).await), ["b"]);
    let third = control.submit("20 60000", 2).await;
    let mut of_third = control.watch(&third).await;
    let waiting = of_third.until("the reason", |u| u.events.iter().any(|e| e.kind == "waiting")).await;
    assert!(waiting.events[0].text.contains("waits for 2 workers; 1 joined (agents of other runs"), "{waiting:?}");
    let page = http_get(control.web, "/").await;
    assert!([&first, &second, &third].iter().all(|run| page.contains(*run)), "{page}");
    let stop = |run: &str| StopRequest { run: run.to_owned(), interrupted: true, ..StopRequest::default() };
    control.client().await.stop(stop(&first)).await.unwrap();
    assert!(of_first.ended().await.verdict.unwrap().interrupted);
    assert_eq!(took(of_third.until_state(RunState::Running).await), ["a", "c"]);
    let runs = control.client().await.runs(RunsRequest {}).await.unwrap().into_inner().runs;
    let states: Vec<_> = runs.iter().map(proto::control::RunUpdate::state).collect();
    assert_eq!(states, [RunState::Running, RunState::Running, RunState::Ended]);
    assert!(of_second.seen.iter().flat_map(|u| &u.events).any(|e| e.kind == "beside"), "{:?}", of_second.kinds());
    control.end().await;
}

#[tokio::test]
async fn who_has_another_version_is_told_both() {
    let control = serve(FakeDataPlane::default().anywhere().0, limits(), None).await;
    let liar = Hello { version: "0.0.1".to_owned(), ..hello("w", AgentKind::Worker, 1) };
    let (answer, _reports, mut orders) = dial(control.grpc, liar).await;
    let Order::Rejected(rejected) = answer else { panic!("{answer:?}") };
    assert!(rejected.reason.contains("0.0.1") && rejected.reason.contains(proto::VERSION), "{}", rejected.reason);
    assert!(soon("the end of the stream", orders.message()).await.unwrap().is_none());
    let fleet = control.client().await.fleet(FleetRequest {}).await.unwrap().into_inner();
    assert!(fleet.agents.is_empty());
    control.end().await;
}

#[tokio::test]
async fn what_is_no_good_is_refused_with_words() {
    let control = serve(FakeDataPlane::default().anywhere().0, limits(), None).await;
    let client = &mut control.client().await;
    let scenario = |source: Vec<u8>| {
        Some(Scenario { file_name: "x.yaml".to_owned(), source: source.into(), ..Scenario::default() })
    };
    let mut refused = async |request: SubmitRequest| client.submit(request).await.unwrap_err();
    let request = SubmitRequest { scenario: scenario(b"nonsense".to_vec()), ..SubmitRequest::default() };
    let status = refused(request).await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "x.yaml:1:1: no number"));
    let large = SubmitRequest { scenario: scenario(vec![b' '; (1 << 20) + 1]), ..SubmitRequest::default() };
    assert_eq!(refused(large).await.code(), Code::InvalidArgument);
    assert_eq!(refused(SubmitRequest::default()).await.code(), Code::InvalidArgument);
    let sly = SubmitRequest { scenario: scenario(b"1 1".to_vec()), run: "../x".to_owned(), ..SubmitRequest::default() };
    assert_eq!(refused(sly).await.code(), Code::InvalidArgument);
    let named =
        SubmitRequest { scenario: scenario(b"1 1".to_vec()), run: "mine".to_owned(), ..SubmitRequest::default() };
    assert_eq!(client.submit(named.clone()).await.unwrap().into_inner().run, "mine");
    assert_eq!(client.submit(named).await.unwrap_err().code(), Code::AlreadyExists);
    let unknown = WatchRequest { run: "other".to_owned() };
    assert_eq!(client.watch(unknown).await.unwrap_err().code(), Code::NotFound);
    control.end().await;
}

#[tokio::test]
async fn the_scenario_language_is_what_submit_reads() {
    let config = control_plane::Config { data_plane: "127.0.0.1:1".to_owned(), ..Default::default() };
    let bad = Scenario { file_name: "bad.yaml".to_owned(), source: "nmae: x\n".into(), ..Scenario::default() };
    let why = (config.parse)(&bad).unwrap_err();
    assert!(why.contains("bad.yaml") && why.contains("nmae"), "{why}");
}

#[tokio::test]
async fn time_is_the_control_planes_clock() {
    let control = serve(FakeDataPlane::default().anywhere().0, limits(), None).await;
    let mut client = AgentsClient::connect(format!("http://{}", control.grpc)).await.unwrap();
    let before = Clock::System.now().as_nanos();
    let reply = client.time(TimeRequest {}).await.unwrap().into_inner();
    let after = Clock::System.now().as_nanos();
    assert!(before <= reply.received_ns && reply.received_ns <= reply.answered_ns && reply.answered_ns <= after);
    assert_eq!(reply.clock_id, measure::clock::host_clock_id());
    control.end().await;
}

#[tokio::test]
async fn the_next_life_knows_the_runs_of_the_last() {
    let (address, _alive) = FakeDataPlane::default().anywhere();
    let dir = tempfile::tempdir().unwrap();
    let control = serve(address, limits(), Some(dir.path().to_owned())).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let run = control.submit("10 60000", 1).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    control.end().await;
    let kept = std::fs::read_to_string(dir.path().join(format!("runs/{run}.jsonl"))).unwrap();
    assert!(!kept.contains("hush"), "a secret is on disk");
    let control = serve(address, limits(), Some(dir.path().to_owned())).await;
    let mut again = control.watch(&run).await;
    again.until("it goes on", |u| u.state() == RunState::Running).await;
    let request = StopRequest { run: run.clone(), interrupted: true, ..StopRequest::default() };
    control.client().await.stop(request).await.unwrap();
    let again = again.ended().await;
    assert!(again.verdict.unwrap().interrupted);
    control.end().await;

    let control = serve(address, limits(), Some(dir.path().to_owned())).await;
    let earlier = control.watch(&run).await.ended().await;
    assert!(earlier.verdict.unwrap().interrupted);
    assert!(["started", "control_plane_back"].iter().all(|kind| earlier.events.iter().any(|e| e.kind == *kind)));
    let request = StopRequest { run, ..StopRequest::default() };
    tokio::time::timeout(Duration::from_secs(5), control.client().await.stop(request)).await.unwrap().unwrap();
    control.end().await;
}

#[tokio::test]
async fn who_keeps_no_runs_ends_them_in_order_when_told_to_end() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let mut watch = control.watch(&control.submit("10 60000", 1).await).await;
    watch.until_state(RunState::Running).await;
    control.end().await;
    let verdict = watch.ended().await.verdict.unwrap();
    assert!(verdict.interrupted, "{verdict:?}");
    assert_eq!(data_plane.told().1.len(), 1, "it was closed");
}
