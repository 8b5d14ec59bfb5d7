//! `GET /stats`: what the node counts about itself, for probes on its host.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use super::Answer;
use crate::app::App;
use crate::edge::EdgeLink;
use crate::sharded::lock;
use crate::stats::{ShardStats, get};

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
    /// Sockets that wait for a request, and those that were closed since there were too many or it took too long.
    guests: u64,
    sent_away: u64,
    requests: u64,
    failed: u64,
    rate_limited: u64,
    published: u64,
    fanned_out: u64,
    fanned_out_bytes: u64,
    frames_written: u64,
    /// Bytes that left in frames, compressed or not.
    written_bytes: u64,
    writes: u64,
    /// Walks over a channel's watchers on one shard; `frames_written / writes` says how many frames left in one write.
    passes: u64,
    outbox_bytes: u64,
    closed_slow: u64,
    closed_silent: u64,
    closed_protocol: u64,
    loop_delay_us: u64,
    /// Sockets of each shard.
    shard_sockets: Vec<u64>,
    /// Items in the shards' queues now, and at most in one of them since the start.
    queue_depth: u64,
    queue_depth_max: u64,
    /// Frames that wait for their pass.
    waiting_frames: u64,
    /// How often a channel's lock was taken already, and for how long that had to be waited for in all.
    lock_waits: u64,
    lock_wait_us: u64,
    /// The same of the locks that the rate limiter's counts lie behind.
    limiter_waits: u64,
    limiter_wait_us: u64,
    /// How often the shards' queues were full, and for how long that had to be waited for in all.
    slot_waits: u64,
    slot_wait_us: u64,
    /// Edges that are attached here.
    edges: usize,
    /// Events for users that were sent to edges, and that were not, since their filters say that the user isn't there.
    user_events_sent: u64,
    user_events_spared: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkAnswer>,
}

/// What an edge counts about its link.
#[derive(Debug, Serialize)]
struct LinkAnswer {
    is_up: bool,
    /// How often it came up.
    attached: u64,
    /// Calls that were passed on.
    calls: u64,
    /// Channels whose watchers had to catch up themselves.
    resyncs: u64,
    /// Events for users, and how many of them were for nobody here: the filter's false positives, or who just went.
    user_events: u64,
    user_events_vain: u64,
    /// Users in the filter.
    filter_users: usize,
}

fn link(edge: &EdgeLink) -> LinkAnswer {
    let stats = &edge.stats;
    LinkAnswer {
        is_up: edge.is_up(),
        attached: get(&stats.attached),
        calls: get(&stats.calls),
        resyncs: get(&stats.resyncs),
        user_events: get(&stats.user_events),
        user_events_vain: get(&stats.user_events_vain),
        filter_users: lock(&edge.filter).len(),
    }
}

/// Answers them; nobody needs a token for it.
pub(crate) async fn stats(State(app): State<Arc<App>>) -> Answer {
    let stats = &app.stats;
    let each = |counter: fn(&ShardStats) -> &AtomicU64| app.shards.iter().map(move |shard| get(counter(&shard.stats)));
    let sum = |counter: fn(&ShardStats) -> &AtomicU64| each(counter).sum::<u64>();
    let answer = StatsAnswer {
        pid: std::process::id(),
        clock_id: measure::clock::host_clock_id(),
        connections: app.connections.count(),
        channels: app.channels.len() as u64,
        users: app.users.len() as u64,
        accepted: get(&stats.accepted),
        refused: get(&stats.refused),
        guests: app.shards.iter().map(|shard| shard.guests.count()).sum(),
        sent_away: get(&stats.sent_away),
        requests: get(&stats.requests),
        failed: get(&stats.failed),
        rate_limited: get(&stats.rate_limited),
        published: get(&stats.published),
        fanned_out: sum(|shard| &shard.fanned_out),
        fanned_out_bytes: sum(|shard| &shard.fanned_out_bytes),
        frames_written: sum(|shard| &shard.frames_written),
        written_bytes: sum(|shard| &shard.written_bytes),
        writes: sum(|shard| &shard.writes),
        passes: sum(|shard| &shard.passes),
        outbox_bytes: sum(|shard| &shard.outbox_bytes) + app.connections.polled_bytes(),
        closed_slow: get(&stats.closed_slow),
        closed_silent: get(&stats.closed_silent),
        closed_protocol: get(&stats.closed_protocol),
        loop_delay_us: each(|shard| &shard.loop_delay_us).max().unwrap_or_default(),
        shard_sockets: each(|shard| &shard.sockets).collect(),
        queue_depth: app.shards.iter().map(|shard| shard.queue.depth()).sum(),
        queue_depth_max: app.shards.iter().map(|shard| shard.queue.depth_max()).max().unwrap_or_default(),
        waiting_frames: sum(|shard| &shard.waiting),
        lock_waits: stats.cell_waits.count(),
        lock_wait_us: stats.cell_waits.micros(),
        limiter_waits: app.limiter.waits.count(),
        limiter_wait_us: app.limiter.waits.micros(),
        slot_waits: get(&app.outlets.waits.count),
        slot_wait_us: get(&app.outlets.waits.nanos) / 1_000,
        edges: app.links.all().len(),
        user_events_sent: get(&app.online.sent),
        user_events_spared: get(&app.online.spared),
        link: app.edge.as_deref().map(link),
    };
    Answer::json(StatusCode::OK, &answer)
}
