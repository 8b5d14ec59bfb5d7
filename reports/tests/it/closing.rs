//! How a run ends, and what is left of it.

use std::io::{Read as _, Write as _};

use proto::telemetry::{CloseRequest, LiveRequest, NoteRequest};
use reports::result::Outcome;
use tonic::Code;

use crate::measured::{Random, START_NS, second};
use crate::plane::{PATIENCE, Peer, Plane, close, open};

fn peer(name: &str, seconds: u64) -> Peer {
    let mut random = Random(5);
    Peer::new("r", name, (0..seconds).map(|s| second(&mut random, s, 3)).collect())
}

fn request(wait_ms: u32) -> CloseRequest {
    CloseRequest { run: "r".into(), wait_ms, ended_ns: START_NS + 11_000_000_000, ..CloseRequest::default() }
}

fn get(mut stream: std::net::TcpStream, path: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_went_well_passes_and_closing_again_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    let mut control = plane.control().await;
    let opened = control.open(open("r", &["worker-1"])).await.unwrap().into_inner();
    assert_eq!(control.open(open("r", &["worker-1"])).await.unwrap().into_inner(), opened, "opening is idempotent");
    peer("worker-1", 8).ship_all(plane.address).await;
    let live = control.live(LiveRequest { run: "r".into() }).await.unwrap().into_inner();
    assert_eq!((live.users_planned, live.users_connected), (3, 3));
    assert!(live.deliveries_per_s > 0.0 && live.delivery_p99_us >= live.delivery_p50_us && live.delivery_p50_us > 0);
    let scrape = || std::net::TcpStream::connect(plane.metrics).map(|s| get(s, "/metrics")).unwrap();
    assert!(scrape().contains("throng_users_connected{run=\"r\"} 3\n"), "{}", scrape());
    let reply = close(plane.address, &request(2_000)).await;
    assert!(!scrape().contains("run=\"r\""), "what is over is in no scrape");
    assert_eq!((reply.outcome.as_str(), reply.reasons.len()), ("passed", 0), "{:?}", reply.reasons);
    assert_eq!(close(plane.address, &request(0)).await, reply);
    assert_eq!(control.open(open("r", &[])).await.unwrap_err().code(), Code::Aborted);
    let refused = peer("worker-1", 8).ship(plane.address, 8, 1, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "a source that comes too late is told so");

    let run = std::path::Path::new(&reply.dir);
    let mut names: Vec<_> =
        std::fs::read_dir(run).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let files = [
        "events.jsonl",
        "intervals.hlog",
        "intervals.journal",
        "junit.xml",
        "report.html",
        "result.json",
        "scenario.yaml",
    ];
    assert_eq!(names, files, "and no temporary file");
    let result = reports::load(run).unwrap();
    assert_eq!(result.verdict.outcome, Outcome::Passed);
    assert_eq!((result.users.planned, result.users.connected_max), (6, 3));
    assert_eq!(result.timeline.seconds.len(), 8);
    assert!(result.thresholds.iter().all(|t| t.held == Some(true) && t.first_failed_at_s.is_none()));
    assert_eq!(result.phases.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["join", "hold"]);
    let export = |format: &str| {
        let mut out = Vec::new();
        reports::export::export(run, format.parse().unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(export("hlog").starts_with("#[Histogram log format version 1.3]") && export("csv").lines().count() == 9);
    assert_eq!(reports::RunResult::from_json(&export("json")).unwrap(), result);
    assert!(std::fs::read_to_string(run.join("junit.xml")).unwrap().contains("failures=\"0\" errors=\"0\""));
    let before = std::fs::read_to_string(run.join("report.html")).unwrap();
    std::fs::remove_file(run.join("report.html")).unwrap();
    reports::render_again(run).unwrap();
    assert_eq!(std::fs::read_to_string(run.join("report.html")).unwrap(), before);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_run_that_goes_on_is_there_until_the_last_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    plane.control().await.open(open("r", &["worker-1"])).await.unwrap();
    let mut worker = peer("worker-1", 8);
    worker.ship(plane.address, 5, 1, 5).await.unwrap();
    let path = dir.path().join("r/report.html");
    let written = async {
        while !path.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains("running:</span>") && page.contains("until 5"), "of the five seconds that came");
    assert!(!page.contains("worker-1 lost"), "who says no goodbye yet is not lost");
    worker.ship_all(plane.address).await;
    assert_eq!(close(plane.address, &request(2_000)).await.outcome, "passed");
    assert!(std::fs::read_to_string(&path).unwrap().contains("passed:</span>"));
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_worker_makes_the_run_invalid_and_closing_does_not_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    let mut control = plane.control().await;
    control.open(open("r", &["worker-1", "worker-2"])).await.unwrap();
    peer("worker-1", 8).ship_all(plane.address).await;
    // The second one ships three seconds and dies.
    peer("worker-2", 8).ship(plane.address, 3, 1, 3).await.unwrap();
    let note = NoteRequest {
        run: "r".into(),
        at_ns: START_NS + 4_500_000_000,
        kind: "worker_lost".into(),
        text: "worker-2 said nothing for 3 s".into(),
    };
    control.note(note.clone()).await.unwrap();
    // Who hears no answer in time tells it again.
    control.note(note).await.unwrap();
    let request = CloseRequest { lost_sources: vec!["worker-2".into()], ..request(15_000) };
    let waited = tokio::time::Instant::now();
    let reply = close(plane.address, &request).await;
    assert!(waited.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(reply.outcome, "invalid");
    assert!(reply.reasons[0].starts_with("worker-2 was lost 4.50"), "{:?}", reply.reasons);
    let result = reports::load(std::path::Path::new(&reply.dir)).unwrap();
    assert_eq!(result.conservation.unaccounted, ["worker-2"]);
    assert!(result.conservation.holds, "what arrived of a lost worker is no contradiction");
    assert_eq!(result.events.iter().filter(|e| e.kind == "worker_lost").count(), 1);
    assert_eq!(result.timeline.users_connected, [6, 6, 6, 3, 3, 3, 3, 3]);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_worker_that_the_scenario_allows_is_a_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    plane.control().await.open(open("r", &["worker-1", "worker-2"])).await.unwrap();
    peer("worker-1", 8).ship_all(plane.address).await;
    peer("worker-2", 8).ship(plane.address, 3, 1, 3).await.unwrap();
    let request = CloseRequest {
        lost_sources: vec!["worker-2".into()],
        allowed_losses: vec!["worker-2 is lost: its connection broke".into()],
        ..request(15_000)
    };
    let reply = close(plane.address, &request).await;
    assert_eq!((reply.outcome.as_str(), reply.reasons), ("passed", vec![]));
    let result = reports::load(std::path::Path::new(&reply.dir)).unwrap();
    assert_eq!(result.doubts[0], "worker-2 is lost: its connection broke; the scenario allows it.");
    assert!(result.conservation.holds);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_is_told_to_go_closes_its_runs_as_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    plane.control().await.open(open("r", &["worker-1"])).await.unwrap();
    peer("worker-1", 8).ship(plane.address, 4, 1, 4).await.unwrap();
    plane.stop().await;
    let result = reports::load(&dir.path().join("r")).unwrap();
    assert!(result.verdict.interrupted);
    assert_eq!(result.verdict.outcome, Outcome::Invalid);
    assert_eq!(result.timeline.seconds.len(), 4, "what was measured is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(dir.path(), 0);
    let mut control = plane.control().await;
    assert_eq!(control.open(open("../r", &[])).await.unwrap_err().code(), Code::InvalidArgument);
    let nonsense = proto::telemetry::OpenRequest { scenario: "name: [".into(), ..open("n", &[]) };
    assert_eq!(control.open(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(control.live(LiveRequest { run: "r".into() }).await.unwrap_err().code(), Code::FailedPrecondition);
    let refused = peer("w", 1).ship(plane.address, 1, 1, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    plane.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_not_writable_is_named() {
    let listen = ([127, 0, 0, 1], 0).into();
    let config = reports::Config {
        listen,
        dir: "/proc/runs".into(),
        metrics_listen: None,
        links: tls::Links::default(),
        collector: None,
    };
    let error = reports::DataPlane::bind(config).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/proc/runs") && text.contains("name another directory"), "{text}");
}
