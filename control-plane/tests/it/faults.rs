//! Over real gRPC on loopback: what people see when something fails.

use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::{AgentKind, Outcome, Refused, RunState, StopRequest};
use tonic::Status;

use crate::fakes::{FakeDataPlane, brisk, hello, join, limits, obedient, serve};

fn refusing(order: &Order) -> Vec<Report> {
    match order {
        Order::Prepare(p) => vec![Report::Refused(Refused { run: p.run.clone(), reason: "nofile is 256".to_owned() })],
        other => obedient(other),
    }
}

#[tokio::test]
async fn too_small_a_fleet_is_told_in_numbers() {
    let (address, _alive) = FakeDataPlane::default().anywhere();
    let control = serve(address, limits(), None).await;
    let _workers = tokio::join!(
        join(control.grpc, hello("a", AgentKind::Worker, 200), obedient),
        join(control.grpc, hello("b", AgentKind::Worker, 200), obedient),
    );
    let mut watch = control.watch(&control.submit("1000 500", 0).await).await;
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid);
    assert!(verdict.reasons[0].contains("2 workers joined hold 400"), "{:?}", verdict.reasons);
    assert!(watch.kinds().contains(&"not_enough_agents"));
    control.end().await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let (address, _alive) = FakeDataPlane::default().anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 1_000), refusing).await;
    let mut watch = control.watch(&control.submit("1000 500", 0).await).await;
    let verdict = watch.ended().await.verdict.unwrap();
    assert!(verdict.reasons[0].contains("w refused its shard: nofile is 256"), "{:?}", verdict.reasons);
    control.end().await;
}

#[tokio::test]
async fn a_worker_that_dies_never_hangs_a_run() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let stays = join(control.grpc, hello("stays", AgentKind::Worker, 600), obedient).await;
    let dies = join(control.grpc, hello("dies", AgentKind::Worker, 600), obedient).await;
    let run = control.submit("1000 60000", 2).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    drop(dies);
    let update = watch.until("the loss", |u| u.events.iter().any(|e| e.kind == "worker_lost")).await;
    assert_eq!(update.state(), RunState::Running, "the policy is to go on");
    drop(stays);
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid);
    assert!(verdict.reasons[0].contains("dies is lost") && verdict.reasons[0].contains("500 users"), "{verdict:?}");
    assert_eq!(data_plane.0.lock().unwrap().closes[0].lost_sources, ["dies", "stays"]);
    control.end().await;
}

#[tokio::test]
async fn as_many_may_be_lost_as_the_scenario_allows_and_no_more() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let mut agents = Vec::new();
    for name in ["a", "b", "c"] {
        agents.push(join(control.grpc, hello(name, AgentKind::Worker, 40), obedient).await);
    }
    // Of 99 users 33 may be lost, and not 66.
    let run = control.submit("99 60000 0.34", 3).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    agents.pop();
    let update = watch.until("the loss", |u| u.events.iter().any(|e| e.kind == "worker_lost")).await;
    assert_eq!(update.state(), RunState::Running);
    agents.pop();
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid);
    assert!(verdict.reasons[0].contains("c is lost") && verdict.reasons[1].contains("b is lost"), "{verdict:?}");
    let stopped = watch.seen.iter().flat_map(|u| &u.events).find(|e| e.kind == "stopped").expect("it was stopped");
    assert_eq!(stopped.text, "66 of 99 users are lost, and the scenario allows 34 %");
    assert!(data_plane.0.lock().unwrap().closes[0].allowed_losses.is_empty());
    control.end().await;
}

#[tokio::test]
async fn a_loss_that_is_allowed_is_a_doubt_and_no_reason() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let dies = join(control.grpc, hello("dies", AgentKind::Worker, 10), obedient).await;
    let _stays = join(control.grpc, hello("stays", AgentKind::Worker, 10), obedient).await;
    let run = control.submit("10 60000 0.5", 2).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    drop(dies);
    watch.until("the loss", |u| u.events.iter().any(|e| e.kind == "worker_lost")).await;
    let stop = StopRequest { run, interrupted: true, ..StopRequest::default() };
    control.client().await.stop(stop).await.unwrap();
    assert_eq!(watch.ended().await.verdict.unwrap().outcome(), Outcome::Passed);
    let close = data_plane.told().1.remove(0);
    assert_eq!((close.lost_sources, close.invalid_reasons), (vec!["dies".to_owned()], vec![]));
    assert!(close.allowed_losses[0].contains("dies is lost"), "{:?}", close.allowed_losses);
    control.end().await;
}

#[tokio::test]
async fn without_a_data_plane_no_run_starts() {
    // A port that was free a moment ago.
    let nowhere = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let control = serve(nowhere, limits(), None).await;
    let worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let mut watch = control.watch(&control.submit("10 500", 0).await).await;
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid);
    assert!(watch.kinds().contains(&"data_plane_unreachable"), "{:?}", watch.kinds());
    assert!(verdict.reasons[0].contains("refused") && verdict.reasons[0].contains(&nowhere.to_string()), "{verdict:?}");
    assert!(!worker.orders().iter().any(|o| matches!(o, Order::Start(_))));
    control.end().await;
}

#[tokio::test]
async fn a_data_plane_that_will_not_open_ends_the_run_at_once() {
    let data_plane = FakeDataPlane::default();
    data_plane.0.lock().unwrap().refuse = Some(Status::failed_precondition("/out is not writable"));
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let mut watch = control.watch(&control.submit("10 500", 0).await).await;
    let verdict = watch.ended().await.verdict.unwrap();
    assert!(verdict.reasons[0].contains("/out is not writable"), "{verdict:?}");
    assert!(watch.kinds().contains(&"data_plane_refused"));
    control.end().await;
}

#[tokio::test]
async fn a_data_plane_that_comes_back_closes_the_run() {
    let data_plane = FakeDataPlane::default();
    let (address, alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let run = control.submit("10 60000", 0).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    drop(alive);
    watch.until("the loss", |u| u.events.iter().any(|e| e.kind == "data_plane_lost")).await;
    let stop = StopRequest { run, reason: "Ctrl-C".to_owned(), interrupted: true, invalid: false };
    control.client().await.stop(stop).await.unwrap();
    watch.until_state(RunState::Reporting).await;
    let _alive = data_plane.serve(address);
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Passed, "{verdict:?}");
    assert!(verdict.interrupted);
    control.end().await;
}

#[tokio::test]
async fn a_stop_because_something_is_gone_makes_the_run_invalid() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let run = control.submit("10 60000", 0).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    let stop = StopRequest { run, reason: "the chat server is gone".to_owned(), interrupted: false, invalid: true };
    control.client().await.stop(stop).await.unwrap();
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid, "{verdict:?}");
    assert!(!verdict.interrupted && verdict.reasons[0].contains("the chat server is gone"), "{verdict:?}");
    control.end().await;
}

#[tokio::test]
async fn a_data_plane_that_stays_away_ends_the_run_without_a_report() {
    let data_plane = FakeDataPlane::default();
    let (address, alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let run = control.submit("10 60000", 0).await;
    let mut watch = control.watch(&run).await;
    watch.until_state(RunState::Running).await;
    drop(alive);
    control.client().await.stop(StopRequest { run, ..StopRequest::default() }).await.unwrap();
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid);
    assert!(verdict.reasons[0].contains("no report"), "{verdict:?}");
    assert!(watch.kinds().contains(&"data_plane_unreachable"), "{:?}", watch.kinds());
    control.end().await;
}

#[tokio::test]
async fn a_threshold_that_aborts_stops_the_run() {
    let data_plane = FakeDataPlane::default();
    data_plane.0.lock().unwrap().abort = "delivery: p(99) < 5ms failed".to_owned();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), obedient).await;
    let mut watch = control.watch(&control.submit("10 60000", 0).await).await;
    watch.ended().await;
    let abort = watch.seen.iter().flat_map(|u| &u.events).find(|e| e.kind == "aborted").unwrap();
    assert!(
        abort.text.starts_with("stopped at ") && abort.text.ends_with(" s: delivery: p(99) < 5ms failed"),
        "{}",
        abort.text
    );
    control.end().await;
}

#[tokio::test]
async fn told_to_end_it_ends_with_everything_still_open() {
    let (address, _alive) = FakeDataPlane::default().anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), brisk).await;
    let waits = control.submit("10000 500", 0).await;
    let mut watch = control.watch(&waits).await;
    watch.until_state(RunState::Queued).await;
    let started = tokio::time::Instant::now();
    control.end().await;
    assert!(started.elapsed() < limits().shutdown + std::time::Duration::from_secs(1));
}

fn deaf(order: &Order) -> Vec<Report> {
    if matches!(order, Order::Stop(_)) { Vec::new() } else { obedient(order) }
}

#[tokio::test]
async fn told_to_end_it_closes_the_run_even_if_nobody_heeds() {
    let data_plane = FakeDataPlane::default();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), deaf).await;
    let mut watch = control.watch(&control.submit("10 60000", 0).await).await;
    watch.until_state(RunState::Running).await;
    let started = tokio::time::Instant::now();
    control.end().await;
    assert!(started.elapsed() < limits().shutdown + std::time::Duration::from_secs(1));
    let verdict = watch.ended().await.verdict.unwrap();
    assert!(verdict.interrupted && verdict.reasons[0].contains("w is lost"), "{verdict:?}");
    let (_, closes, _) = data_plane.told();
    assert!(closes[0].interrupted && closes[0].lost_sources == ["w"], "{closes:?}");
}

#[tokio::test]
async fn a_worker_that_ends_before_its_time_makes_the_run_invalid() {
    let (address, _alive) = FakeDataPlane::default().anywhere();
    let control = serve(address, limits(), None).await;
    let _worker = join(control.grpc, hello("w", AgentKind::Worker, 10), brisk).await;
    let mut watch = control.watch(&control.submit("10 60000", 0).await).await;
    let verdict = watch.ended().await.verdict.unwrap();
    assert_eq!(verdict.outcome(), Outcome::Invalid);
    assert!(verdict.reasons[0].contains("s before the planned end"), "{verdict:?}");
    control.end().await;
}
