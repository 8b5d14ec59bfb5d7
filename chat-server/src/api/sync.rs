//! `POST /sync`: all that was missed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use http::StatusCode;
use wire::api::Sync;
use wire::frame::server_payload;
use wire::{ApiError, limits};

use super::{Answer, Body, Call, Failure};
use crate::app::App;
use crate::cell::Cell;
use crate::channel::TooOld;
use crate::failure;
use crate::time;

/// Bytes of events in one answer; who missed more is better served by querying the channels again.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// What a caller missed: events as they were sent, byte for byte.
#[derive(Debug, Default)]
struct Missed {
    events: Vec<Bytes>,
    bytes: usize,
    seq: BTreeMap<String, u64>,
    inaccessible: Vec<String>,
}

impl Missed {
    /// Adds what one channel has. Events that are not yet passed on to watchers are left out: they will come.
    fn add(&mut self, cid: String, cell: &Cell, since: Since) -> Result<(), ApiError> {
        let state = cell.lock();
        let log = &state.channel.log;
        let newest = state.audience.seq();
        let after = match since {
            Since::Seq(seq) => Ok(seq),
            Since::Date(at) => log.before(at),
        };
        let too_old = |TooOld { oldest }| {
            failure::input(format!("{cid} has events since number {oldest} only: query the channel again, then sync"))
        };
        let after = after.map_err(too_old)?;
        let count = usize::try_from(newest.saturating_sub(after)).unwrap_or(usize::MAX);
        for frame in log.after(after).map_err(too_old)?.take(count) {
            self.bytes += frame.len();
            self.events.push(server_payload(frame));
        }
        if self.bytes > ANSWER_BYTES {
            return Err(failure::input("too much was missed: query the channels again, then sync"));
        }
        self.seq.insert(cid, newest);
        Ok(())
    }

    /// The answer's JSON.
    fn into_json(self, duration: String) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Rest {
            seq: BTreeMap<String, u64>,
            inaccessible_cids: Vec<String>,
            duration: String,
        }
        let rest = Rest { seq: self.seq, inaccessible_cids: self.inaccessible, duration };
        super::longpoll::events_json(&self.events, &rest)
    }
}

#[derive(Clone, Copy)]
enum Since {
    Seq(u64),
    Date(i64),
}

/// Answers all later durable events of each channel, in order, and its newest number.
pub(crate) async fn sync(State(app): State<Arc<App>>, call: Call, Body(body): Body<Sync>) -> Result<Answer, Failure> {
    let named = body.last_seq.keys().filter(|cid| !body.channel_cids.contains(cid)).cloned();
    let mut cids: Vec<String> = body.channel_cids.iter().cloned().chain(named).collect();
    cids.sort_unstable();
    cids.dedup();
    if cids.len() > limits::SYNC_CIDS {
        return Err(failure::input(format!("at most {} channels in one call", limits::SYNC_CIDS)).into());
    }
    let parse = |date: &String| {
        time::parse(date).ok_or_else(|| {
            failure::input(format!("last_sync_at must be a date like 2026-11-24T03:15:42Z, not {date:?}"))
        })
    };
    let date = body.last_sync_at.as_ref().map(parse).transpose()?;
    let mut missed = Missed::default();
    for cid in cids {
        let since = body.last_seq.get(&cid).copied().map(Since::Seq).or(date.map(Since::Date));
        let since = since.ok_or_else(|| failure::input(format!("last_sync_at, or last_seq of {cid}, is missing")))?;
        match app.channels.get(&cid) {
            Some(cell) => missed.add(cid, &cell, since)?,
            None => missed.inaccessible.push(cid),
        }
    }
    Ok(Answer::raw(StatusCode::CREATED, missed.into_json(call.took())))
}
