//! A chat server, looked at once a second: what it says about itself, and on our host its process.

use std::time::Duration;

use client::http::{Http, Outgoing};
use client::{Endpoint, Trust};
use measure::clock::host_clock_id;
use measure::{Clock, Counter, Gauge, Metric, Recorder, SharedRecorder};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::process::Process;

/// How often it is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(2);

/// A node to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the run: `node-1`.
    pub name: String,
    /// Its base URL.
    pub url: String,
}

impl Node {
    /// The host that its URL names; the URL itself if it names none.
    pub(crate) fn host(&self) -> String {
        Endpoint::parse(&self.url).map_or_else(|_| self.url.clone(), |endpoint| endpoint.host().to_owned())
    }

    /// Whether it is on our own host.
    pub(crate) fn is_here(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

/// What `GET /stats` answers; totals count since the server's start. A server that lacks a field counts none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Stats {
    pid: u32,
    clock_id: String,
    connections: i64,
    channels: i64,
    outbox_bytes: i64,
    published: u64,
    fanned_out: u64,
    closed_slow: u64,
    rate_limited: u64,
    loop_delay_us: i64,
}

impl Stats {
    fn counters(&self) -> [(Counter, u64); 4] {
        [
            (Counter::Published, self.published),
            (Counter::FannedOut, self.fanned_out),
            (Counter::ClosedSlow, self.closed_slow),
            (Counter::RateLimited, self.rate_limited),
        ]
    }

    /// Records what is new since `before`. A server that counts less than before was started again.
    fn record(&self, before: Option<&Self>, recorder: &mut Recorder) {
        let then = before.unwrap_or(self).counters();
        for ((counter, now), (_, then)) in self.counters().into_iter().zip(then) {
            let new = now.checked_sub(then).unwrap_or(now);
            if new > 0 {
                recorder.count(counter, None, new);
            }
        }
        recorder.record(Metric::LoopDelay, self.loop_delay_us);
        self.levels(recorder);
    }

    fn levels(&self, recorder: &mut Recorder) {
        recorder.set(Gauge::NodeConnections, None, self.connections);
        recorder.set(Gauge::NodeChannels, None, self.channels);
        recorder.set(Gauge::NodeOutboxBytes, None, self.outbox_bytes);
    }
}

/// Looks at a node until `stop`; what it sees is in the recorder.
pub(crate) async fn watch(node: Node, trust: Trust, clock: Clock, recorder: SharedRecorder, stop: CancellationToken) {
    let endpoint = match Endpoint::parse(&node.url) {
        Ok(endpoint) => endpoint.trusting(trust),
        Err(e) => return tracing::warn!(node = node.name, "can't look at a node: {e}"),
    };
    let http = Http::new(endpoint, 1, WITHIN, clock.clone());
    let mut timer = tokio::time::interval(PERIOD);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut before, mut process): (Option<Stats>, Option<(u32, Process)>) = (None, None);
    let mut silent = false;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        match ask(&http).await {
            Ok(stats) => {
                silent = false;
                if stats.clock_id == host_clock_id() && process.as_ref().is_none_or(|(pid, _)| *pid != stats.pid) {
                    process = Some((stats.pid, Process::new(Some(stats.pid), clock.clone())));
                }
                recorder.with(|r| {
                    stats.record(before.as_ref(), r);
                    process.iter_mut().for_each(|(_, p)| p.sample(r));
                });
                before = Some(stats);
            }
            Err(e) => {
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!(node = node.name, url = node.url, "a node does not answer GET /stats: {e}");
                }
                recorder.with(|r| Stats::default().levels(r));
            }
        }
    }
}

async fn ask(http: &Http) -> Result<Stats, String> {
    let request = Outgoing { method: http::Method::GET, path: "/stats".into(), token: String::new(), body: Vec::new() };
    let answer = http.call(|_| request).await.map_err(|e| e.to_string())?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Timestamp;

    #[test]
    fn totals_become_counts_also_when_the_server_is_started_again() {
        let mut recorder = Recorder::new(0, Timestamp::default());
        let stats = |published| Stats { published, connections: 9, ..Stats::default() };
        stats(100).record(None, &mut recorder);
        stats(130).record(Some(&stats(100)), &mut recorder);
        stats(7).record(Some(&stats(130)), &mut recorder);
        let taken = recorder.take(Timestamp::default());
        assert_eq!((taken.count(Counter::Published), taken.level(Gauge::NodeConnections)), (37, 9));
    }

    #[test]
    fn a_node_on_a_loopback_address_is_here() {
        let node = |url: &str| Node { name: "node-1".into(), url: url.into() };
        assert!(node("ws://127.0.0.1:7800").is_here() && node("ws://[::1]:1/x").is_here());
        assert!(!node("wss://chat.example.com").is_here() && !node("nonsense").is_here());
        assert_eq!(node("wss://chat.example.com:444/a").host(), "chat.example.com");
    }

    #[test]
    fn an_answer_with_other_fields_is_read() {
        let text = r#"{"pid": 7, "connections": 3, "something": {"new": true}}"#;
        assert_eq!(serde_json::from_str::<Stats>(text).unwrap().connections, 3);
    }
}
