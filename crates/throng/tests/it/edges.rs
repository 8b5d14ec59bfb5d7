//! An origin and its edges as processes of their own, one of which dies or stands still in mid-run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{RUN_WITHIN, Run, SMALL, Server, eventually, signal};

/// An origin and two edges.
struct Nodes {
    origin: Server,
    edges: Vec<Server>,
    dir: tempfile::TempDir,
}

impl Nodes {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("secret"), "a secret of this test\n").expect("the secret is written");
        let secret = dir.path().join("secret").display().to_string();
        let node = |more: &[&str]| {
            let flags = ["chat-server", "--listen", "127.0.0.1:0", "--api-key", "k", "--api-secret-file", &secret];
            Server::start(&[&flags[..], more].concat())
        };
        let origin = node(&["--link-listen", "127.0.0.1:0"]);
        let link = origin.ready["link"].as_str().expect("an address for edges").to_owned();
        let edges = (0..2).map(|_| node(&["--edge", "--origin", &link])).collect();
        Self { origin, edges, dir }
    }

    /// Starts a run of two workers against both edges, and waits until messages are delivered on both.
    fn run(&self, hold: &str) -> Run {
        let urls: Vec<String> = self.edges.iter().map(|edge| format!("ws://{}", address(edge))).collect();
        let secret = self.dir.path().join("secret").display().to_string();
        let target = ["--target", &urls[0], "--target", &urls[1], "--api-key", "k", "--api-secret-file", &secret];
        let run = Run::start_with(
            &SMALL.replace("hold: 3s", &format!("hold: {hold}")),
            &[&target[..], &["--workers", "2"]].concat(),
        );
        run.wait_until_under_way();
        eventually("half of the users are on each edge", RUN_WITHIN, || {
            self.edges.iter().all(|edge| stats(edge)["connections"] == 50 && stats(edge)["fanned_out"] != 0)
        });
        run
    }
}

fn address(node: &Server) -> String {
    node.ready["listen"].as_str().expect("an address").to_owned()
}

/// What a node counts about itself.
fn stats(node: &Server) -> Value {
    stats_at(&address(node)).expect("the node is there and answers")
}

/// What the node at this address counts about itself, if one is there and has room for the question.
pub(crate) fn stats_at(address: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(b"GET /stats HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// Waits for the run's end; its account must be exact, whatever throng says of the machine and of calls that failed.
fn account(run: &mut Run) -> Value {
    let code = run.end();
    let result = run.result();
    assert!([0, 1, 2].contains(&code), "exit {code}\n{}", run.stderr());
    let completeness = &result["completeness"];
    assert_eq!((&completeness["lost"], &completeness["duplicated"]), (&0.into(), &0.into()), "{completeness}");
    assert_eq!(completeness["expected"], completeness["delivered"], "{completeness}");
    assert!(completeness["delivered"].as_u64() > Some(2_000), "{completeness}");
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert_eq!(result["users"]["connected_max"], 100);
    result
}

#[test]
fn users_of_a_killed_edge_go_to_the_other_one_and_miss_nothing() {
    let nodes = Nodes::start();
    let mut run = nodes.run("15s");
    signal(nodes.edges[0].pid(), "KILL");
    eventually("everybody is on the other edge", RUN_WITHIN, || stats(&nodes.edges[1])["connections"] == 100);
    let result = account(&mut run);
    let counters = &result["counters"];
    assert!(counters["recovered"].as_u64() > Some(0), "what was sent meanwhile came by /sync: {counters}");
    assert_eq!(counters["disconnected"], 50, "{counters}");
    assert_eq!(stats(&nodes.edges[1])["link"]["attached"], 1);
}

#[test]
fn a_frozen_origin_costs_nobody_an_event() {
    let nodes = Nodes::start();
    let mut run = nodes.run("30s");
    let is_up = |edge: &Server| stats(edge)["link"]["is_up"] == true;
    signal(nodes.origin.pid(), "STOP");
    eventually("both edges gave the link up", RUN_WITHIN, || nodes.edges.iter().all(|edge| !is_up(edge)));
    signal(nodes.origin.pid(), "CONT");
    eventually("both links are back", RUN_WITHIN, || nodes.edges.iter().all(is_up));
    account(&mut run);
    for edge in &nodes.edges {
        assert!(stats(edge)["link"]["attached"].as_u64() >= Some(2));
        assert_eq!(stats(edge)["closed_slow"], 0);
    }
}

#[test]
fn a_frozen_edge_catches_up_for_its_users() {
    let nodes = Nodes::start();
    let mut run = nodes.run("30s");
    signal(nodes.edges[0].pid(), "STOP");
    eventually("the origin gave the link up", RUN_WITHIN, || stats(&nodes.origin)["edges"] == 1);
    signal(nodes.edges[0].pid(), "CONT");
    eventually("the link is back", RUN_WITHIN, || {
        stats(&nodes.origin)["edges"] == 2 && stats(&nodes.edges[0])["link"]["is_up"] == true
    });
    account(&mut run);
    assert!(stats(&nodes.edges[0])["link"]["attached"].as_u64() >= Some(2));
}
