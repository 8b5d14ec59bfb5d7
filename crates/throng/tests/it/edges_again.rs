//! Edges that `throng run` started itself, killed in mid-run: each is started again where it was.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use crate::edges::stats_at;
use crate::harness::{RUN_WITHIN, Run, SMALL, eventually, signal};

/// Files that a process may open: too few for one chat server, or one edge alone, with so many users.
const OPEN_FILES: u32 = 256;
const USERS: u64 = 300;

/// A run whose users are on two edges, under way.
fn start(hold: &str) -> Run {
    let scenario =
        SMALL.replace("users: 100", &format!("users: {USERS}")).replace("hold: 3s", &format!("hold: {hold}"));
    let run = Run::start_limited(OPEN_FILES, &scenario);
    run.wait_until_under_way();
    run
}

/// The words of a process's command line; none: it is gone.
fn words(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Where a process listens; none: nowhere, or it is gone.
fn listens(pid: u32) -> Option<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let names = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let sockets: HashSet<String> = names.map(|name| name.display().to_string()).collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let column: Vec<_> = line.split_whitespace().collect();
        // 0A: it listens.
        let ours = column.get(3) == Some(&"0A") && sockets.contains(&format!("socket:[{}]", column.get(9)?));
        let (_, port) = column.get(1).filter(|_| ours)?.split_once(':')?;
        u16::from_str_radix(port, 16).ok().map(|port| format!("127.0.0.1:{port}"))
    })
}

fn connections(address: &str) -> u64 {
    stats_at(address).and_then(|stats| stats["connections"].as_u64()).unwrap_or(0)
}

fn texts(result: &Value, kind: &str) -> Vec<String> {
    let events = result["events"].as_array().expect("events").iter().filter(|event| event["kind"] == kind);
    events.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_killed_edge_is_started_again_where_it_was_and_its_users_miss_nothing() {
    let mut run = start("30s");
    let edges = run.processes("--edge");
    assert_eq!(edges.len(), 2, "{}", run.stderr());
    let addresses: Vec<String> = edges.iter().map(|pid| listens(*pid).expect("an edge listens")).collect();
    let everybody = || addresses.iter().map(|address| connections(address)).sum::<u64>() == USERS;
    eventually("everybody is connected", RUN_WITHIN, everybody);
    let (killed, address) = (edges[0], &addresses[0]);
    let cut_off = connections(address);
    assert!(cut_off >= USERS / 4, "{cut_off} users are on the edge that dies");
    signal(killed, "KILL");
    let mut again = None;
    eventually("another process serves at its address", RUN_WITHIN, || {
        let mut others = run.processes("--edge").into_iter().filter(|pid| !edges.contains(pid));
        again = others.find(|pid| listens(*pid).as_ref() == Some(address));
        again.is_some() && run.stderr().contains("serves again")
    });
    eventually("everybody is back", RUN_WITHIN, everybody);
    let words = words(again.expect("a process"));
    let file = words.iter().skip_while(|word| *word != "--api-secret-file").nth(1).expect("it is told of a file");
    assert!(!Path::new(file).exists(), "a secret is left in {file}");

    let result = run.end_well();
    let (completeness, counters) = (&result["completeness"], &result["counters"]);
    assert_eq!((&completeness["lost"], &completeness["duplicated"]), (&0.into(), &0.into()), "{completeness}");
    assert_eq!(completeness["expected"], completeness["delivered"], "{completeness}");
    assert!(completeness["delivered"].as_u64() > Some(20 * USERS), "{completeness}");
    assert_eq!(result["conservation"]["holds"], true, "{}", result["conservation"]);
    assert_eq!(result["users"]["connected_max"], USERS);
    assert!(counters["disconnected"].as_u64() >= Some(cut_off), "{counters}");
    assert!(counters["recovered"].as_u64() > Some(0), "what was sent meanwhile came by /sync: {counters}");
    let (lost, back) = (texts(&result, "edge_lost"), texts(&result, "edge_back"));
    assert!(lost.len() == 1 && lost[0].contains("was killed (signal 9)"), "{lost:?}");
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(result["doubts"].to_string().contains("edge of the service died in mid-run"), "{}", result["doubts"]);
}

#[test]
fn an_edge_that_dies_again_and_again_ends_the_run() {
    let mut run = start("80s");
    let mut seen: HashSet<u32> = HashSet::new();
    for kills in 1..=6 {
        let mut next = None;
        eventually("another edge is there to be killed", RUN_WITHIN, || {
            let served = run.stderr().matches("serves again").count() + 1 == kills;
            next = run.processes("--edge").into_iter().find(|pid| !seen.contains(pid) && listens(*pid).is_some());
            served && next.is_some()
        });
        let pid = next.expect("a process");
        seen.insert(pid);
        signal(pid, "KILL");
    }
    assert_eq!(run.end(), 2, "{}", run.stderr());
    let result = run.result();
    assert_eq!(result["verdict"]["outcome"], "invalid");
    let reasons = result["verdict"]["reasons"].to_string();
    assert!(reasons.contains("could not be started again") && reasons.contains("ended 6 times"), "{reasons}");
    assert_eq!(texts(&result, "edge_back").len(), 5);
}
