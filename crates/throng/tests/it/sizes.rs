//! What is one over a limit of size is refused by the real processes with the limit named, and they stay up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use proto::control::agents_client::AgentsClient;
use proto::control::control_client::ControlClient;
use proto::control::{AgentReport, FleetRequest, Hello, Scenario, SubmitRequest, agent_order, agent_report};
use proto::link::CallRequest;
use proto::link::link_client::LinkClient;
use proto::telemetry::data_plane_client::DataPlaneClient;
use proto::telemetry::telemetry_client::TelemetryClient;
use proto::telemetry::{LiveRequest, NoteRequest, SealedInterval, Shipment, shipment};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use wire::token::{Claims, TokenKey};

use crate::harness::{SMALL, Server, finish, throng};

const MIB: usize = 1 << 20;

fn listens(server: &Server, what: &str) -> String {
    server.ready[what].as_str().expect("an address").to_owned()
}

async fn dial(address: &str) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URL");
    endpoint.connect().await.expect("somebody serves")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A refusal of a message by its size, whose limit is in it.
fn too_large(status: &Status, limit: usize) {
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains(&format!("the limit is: {limit} bytes")), "{status:?}");
}

/// What a server answers to a request with this body.
fn post(address: &str, path: &str, body: usize) -> String {
    let mut stream = TcpStream::connect(address).expect("it serves");
    let head = format!("POST {path} HTTP/1.1\r\nhost: it\r\nconnection: close\r\ncontent-length: {body}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is asked");
    // One that has refused already may hang up.
    let _ = stream.write_all(&vec![b' '; body]);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_scenario_of_a_byte_too_many_is_refused_by_every_command() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let filled = |bytes: usize| SMALL.to_owned() + "#" + &"x".repeat(bytes - SMALL.len() - 1);
    std::fs::write(dir.path().join("fits.yaml"), filled(MIB)).expect("written");
    std::fs::write(dir.path().join("large.yaml"), filled(MIB + 1)).expect("written");
    let (code, _, stderr) = finish(throng().current_dir(dir.path()).args(["validate", "fits.yaml"]));
    assert_eq!(code, 0, "{stderr}");
    for command in ["validate", "run", "plan", "rehearse"] {
        let (code, _, stderr) = finish(throng().current_dir(dir.path()).args([command, "large.yaml"]));
        assert_eq!(code, 64, "{command}: {stderr}");
        assert!(stderr.contains("the file is larger than 1 MiB") && stderr.len() < 2_000, "{command}: {stderr}");
    }
}

#[test]
fn the_control_plane_refuses_what_is_too_large() {
    let control = ["control-plane", "--listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0"];
    let control = Server::start(&control);
    let (grpc, web) = (listens(&control, "listen"), listens(&control, "web"));
    runtime().block_on(async {
        let channel = dial(&grpc).await;
        let mut people = ControlClient::new(channel.clone());
        let submit = |source: usize, command: usize| SubmitRequest {
            scenario: Some(Scenario { source: vec![b'#'; source].into(), ..Scenario::default() }),
            command: "x".repeat(command),
            ..SubmitRequest::default()
        };
        let status = people.submit(submit(MIB + 1, 0)).await.expect_err("a byte too many");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains("1,048,577 bytes; 1 MiB is the most"), "{status:?}");
        too_large(&people.submit(submit(0, 4 * MIB)).await.expect_err("a message too large"), 4 * MIB);
        let hello = Hello { name: "x".repeat(64 << 10), ..Hello::default() };
        let report = AgentReport { report: Some(agent_report::Report::Hello(hello)) };
        let mut agents = AgentsClient::new(channel.clone());
        let orders = agents.join(tokio_stream::iter([report])).await.expect("it answers at once");
        let order = orders.into_inner().message().await.expect("an order").and_then(|order| order.order);
        let Some(agent_order::Order::Rejected(rejected)) = order else { panic!("a report too large: {order:?}") };
        assert!(rejected.reason.contains("the limit is: 65536 bytes"), "{}", rejected.reason);
        let fleet = people.fleet(FleetRequest {}).await.expect("it is still there");
        assert!(fleet.into_inner().agents.is_empty());
    });
    // Its page takes no bodies at all.
    for path in ["/", "/api/fleet"] {
        let answer = post(&web, path, 4 * MIB);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 405"), "{answer}");
    }
    assert!(post(&web, "/api/fleet", 0).starts_with("HTTP/1.1 405"), "it is still there");
}

#[test]
fn the_data_plane_refuses_what_is_too_large() {
    const LIMIT: usize = proto::MESSAGE_BYTES_MAX;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runs = dir.path().join("runs").display().to_string();
    let plane = Server::start(&["data-plane", "--listen", "127.0.0.1:0", "--runs-dir", &runs]);
    runtime().block_on(async {
        let channel = dial(&listens(&plane, "listen")).await;
        let mut telemetry = TelemetryClient::new(channel.clone()).max_encoding_message_size(2 * LIMIT);
        let sealed = SealedInterval { sequence: 1, interval: vec![0; LIMIT].into(), ..SealedInterval::default() };
        let shipment = Shipment { shipment: Some(shipment::Shipment::Interval(sealed)) };
        let status = match telemetry.ship(tokio_stream::iter([shipment])).await {
            Ok(acks) => acks.into_inner().message().await.expect_err("a shipment too large"),
            Err(status) => status,
        };
        too_large(&status, LIMIT);
        let mut plane = DataPlaneClient::new(channel.clone()).max_encoding_message_size(2 * LIMIT);
        let note = NoteRequest { text: "x".repeat(LIMIT), ..NoteRequest::default() };
        too_large(&plane.note(note).await.expect_err("a note too large"), LIMIT);
        let status = plane.live(LiveRequest { run: "none".into() }).await.expect_err("there is no such run");
        assert_eq!(status.code(), Code::FailedPrecondition, "it is still there: {status:?}");
    });
}

#[test]
fn the_chat_server_refuses_what_is_too_large() {
    const LIMIT: usize = proto::LINK_MESSAGE_BYTES_MAX;
    let flags = ["chat-server", "--listen", "127.0.0.1:0", "--link-listen", "127.0.0.1:0", "--api-key", "k"];
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("secret"), "a secret of this test\n").expect("the secret is written");
    let secret = dir.path().join("secret").display().to_string();
    let server = Server::start(&[&flags[..], &["--api-secret-file", &secret]].concat());
    runtime().block_on(async {
        let channel = dial(&listens(&server, "link")).await;
        let mut edge = LinkClient::new(channel).max_encoding_message_size(2 * LIMIT);
        let call = |body: usize, shown: Option<&str>| {
            let mut call = Request::new(CallRequest { body: vec![0; body].into(), ..CallRequest::default() });
            let shown = shown.map(|shown| shown.parse().expect("a token is a header"));
            shown.map(|shown| call.metadata_mut().insert("authorization", shown));
            call
        };
        // The proof of an edge that shares the secret.
        let claims = Claims { exp: Some(32_503_680_000), ..Claims::server() };
        let proof = TokenKey::new("throng link v1\0a secret of this test").sign(&claims);
        let strange = edge.call(call(LIMIT, None)).await.expect_err("a stranger's call");
        assert_eq!(strange.code(), Code::Unauthenticated, "a stranger's call is not even read: {strange:?}");
        too_large(&edge.call(call(LIMIT, Some(&proof))).await.expect_err("a call too large"), LIMIT);
        let small = edge.call(call(0, Some(&proof))).await.expect_err("a call of nothing");
        assert_eq!(small.code(), Code::InvalidArgument, "it is still there: {small:?}");
    });
    let (_, stdout, _) = finish(throng().args(["token", "ann", "--api-secret-file", &secret]));
    let path = format!("/channels/messaging/den/query?api_key=k&user_id=ann&authorization={}", stdout.trim());
    let address = listens(&server, "listen");
    refuses_a_body(&address, &path);
}

#[test]
fn the_test_target_refuses_what_is_too_large() {
    let target = Server::start(&["test-target", "--listen", "127.0.0.1:0"]);
    refuses_a_body(&listens(&target, "listen"), "/channels/messaging/den/query?user_id=ann");
}

/// A body of 64 KiB may be no good, but it is read; one of a byte more is not.
fn refuses_a_body(address: &str, path: &str) {
    let status = |answer: &str| answer.split(' ').nth(1).map(str::to_owned).unwrap_or_default();
    let large = post(address, path, (64 << 10) + 1);
    assert_eq!(status(&large), "413", "{large}");
    assert!(large.contains("65536 bytes"), "{large}");
    let fits = post(address, path, 64 << 10);
    assert!(!["413", ""].contains(&status(&fits).as_str()), "{fits}");
}
