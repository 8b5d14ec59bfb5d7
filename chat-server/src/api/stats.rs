//! `GET /stats`: what the node counts about itself, for probes on its host.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use super::Answer;
use crate::app::App;
use crate::stats::get;

/// Counters since the start, and gauges of now.
#[derive(Debug, Serialize)]
struct StatsAnswer {
    pid: u32,
    clock_id: String,
    connections: u64,
    channels: u64,
    users: u64,
    accepted: u64,
    refused: u64,
    requests: u64,
    failed: u64,
    rate_limited: u64,
    published: u64,
    fanned_out: u64,
    fanned_out_bytes: u64,
    frames_written: u64,
    writes: u64,
    outbox_bytes: u64,
    closed_slow: u64,
    closed_silent: u64,
    closed_protocol: u64,
    loop_delay_us: u64,
}

/// Answers them; nobody needs a token for it.
pub(crate) async fn stats(State(app): State<Arc<App>>) -> Answer {
    let stats = &app.stats;
    let mut outbox_bytes = 0;
    app.connections.collect(|connection| {
        outbox_bytes += connection.outbox.bytes() as u64;
        false
    });
    let answer = StatsAnswer {
        pid: std::process::id(),
        clock_id: measure::clock::host_clock_id(),
        connections: app.connections.count(),
        channels: app.channels.len() as u64,
        users: app.users.len() as u64,
        accepted: get(&stats.accepted),
        refused: get(&stats.refused),
        requests: get(&stats.requests),
        failed: get(&stats.failed),
        rate_limited: get(&stats.rate_limited),
        published: get(&stats.published),
        fanned_out: get(&stats.fanned_out),
        fanned_out_bytes: get(&stats.fanned_out_bytes),
        frames_written: get(&stats.frames_written),
        writes: get(&stats.writes),
        outbox_bytes,
        closed_slow: get(&stats.closed_slow),
        closed_silent: get(&stats.closed_silent),
        closed_protocol: get(&stats.closed_protocol),
        loop_delay_us: get(&stats.loop_delay_us),
    };
    Answer::json(StatusCode::OK, &answer)
}
