//! The site: pages, JSON, reports, over real HTTP.

use std::net::SocketAddr;

use proto::control::{AgentKind, StopRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fakes::{FakeDataPlane, hello, join, limits, obedient, serve, soon};

/// Status line, headers and body.
pub(crate) async fn get(site: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(site).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(path, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn people_see_fleet_runs_and_report() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("report.html"), "<h1>the report</h1>").unwrap();
    std::fs::write(dir.path().join("secret.txt"), "hush").unwrap();
    let data_plane = FakeDataPlane::default();
    data_plane.0.lock().unwrap().dir = dir.path().to_string_lossy().into_owned();
    let (address, _alive) = data_plane.anywhere();
    let control = serve(address, limits(), None).await;
    assert!(get(control.web, "/").await.contains("No run yet"));

    let _worker = join(control.grpc, hello("worker-1", AgentKind::Worker, 600), obedient).await;
    let run = control.submit("1000 60000", 0).await;
    let fleet = get(control.web, "/api/fleet").await;
    assert!(fleet.contains(r#""id":"worker-1""#) && fleet.contains(r#""capacity":600"#), "{fleet}");
    // Enough for it all to begin.
    let _second = join(control.grpc, hello("worker-2", AgentKind::Worker, 600), obedient).await;
    let mut watch = control.watch(&run).await;
    watch.until("live numbers", |u| u.live.is_some()).await;
    let page = get(control.web, &format!("/runs/{run}")).await;
    assert!(page.contains("worker-1") && page.contains("1.23 ms") && page.contains("running"), "{page}");
    assert!(page.contains("content-security-policy"), "{page}");
    let part = get(control.web, "/part").await;
    assert!(part.contains(&run) && !part.contains("<html"), "{part}");
    assert!(!page.contains("hush") && !part.contains("hush"), "a secret is on a page");

    control.client().await.stop(StopRequest { run: run.clone(), ..StopRequest::default() }).await.unwrap();
    watch.ended().await;
    assert!(get(control.web, "/").await.contains("✓ passed"));
    assert!(get(control.web, &format!("/runs/{run}/report")).await.contains("<h1>the report</h1>"));
    let json = get(control.web, &format!("/api/runs/{run}")).await;
    assert!(json.contains(r#""outcome":"passed""#), "{json}");
    for sly in ["files/secret.txt", "files/..%2F..%2Fetc%2Fpasswd", "files/%2Fetc%2Fpasswd", "files/result.json"] {
        let answer = get(control.web, &format!("/runs/{run}/{sly}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && !answer.contains("root:") && !answer.contains("hush"),
            "{answer}"
        );
    }
    assert!(get(control.web, "/runs/nobody").await.starts_with("HTTP/1.1 404"));
    let answer = get(control.web, "/api/runs/nobody").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("{\"error\":"), "{answer}");
    assert!(get(control.web, "/nowhere").await.starts_with("HTTP/1.1 404"));
    control.end().await;
}
