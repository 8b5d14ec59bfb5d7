//! What runs on a shard's thread: its reactor, newcomers' handshakes, and what happens every so often.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use tokio::sync::mpsc;
use wire::close;

use super::line::Line;
use super::reactor::Reactor;
use super::{Arrival, Shard};
use crate::accept;
use crate::hub::LineKey;
use crate::outbox::Closing;
use crate::session::End;
use crate::sharded::lock;
use crate::stats::{add, set};
use crate::time::ticks;

/// How often the event loop's delay is measured.
const DELAY_EVERY: Duration = Duration::from_millis(100);

/// Runs a shard until the server has ended.
///
/// # Errors
/// When its reactor has panicked.
pub(super) async fn run(shard: Rc<Shard>, router: Router) -> Result<(), tokio::task::JoinError> {
    let app = shard.app.clone();
    let arrivals = lock(&shard.handle.arrivals).take();
    if let Some(arrivals) = arrivals {
        tokio::task::spawn_local(app.tasks.track_future(welcome(shard.clone(), arrivals, router)));
    }
    tokio::task::spawn_local(app.tasks.track_future(drain(shard.clone())));
    tokio::task::spawn_local(sweep(shard.clone()));
    tokio::task::spawn_local(turn_out(shard.clone()));
    tokio::task::spawn_local(watch_loop_delay(shard.clone()));
    let reactor = tokio::task::spawn_local(Reactor::new(shard).run());
    tokio::select! {
        () = app.ended.cancelled() => Ok(()),
        ended = reactor => ended,
    }
}

/// Serves sockets that were accepted.
async fn welcome(shard: Rc<Shard>, mut arrivals: mpsc::Receiver<Arrival>, router: Router) {
    loop {
        let arrival = tokio::select! {
            () = shard.app.draining.cancelled() => return,
            arrival = arrivals.recv() => arrival,
        };
        let Some((stream, permit)) = arrival else { return };
        let served = accept::serve(shard.app.clone(), stream, router.clone(), permit);
        tokio::task::spawn_local(shard.app.tasks.track_future(served));
    }
}

/// Closes all connections when draining begins.
async fn drain(shard: Rc<Shard>) {
    shard.app.draining.cancelled().await;
    for line in shard.pick(|_| true) {
        shard.close(line, Closing { code: close::GOING_AWAY, reason: "the server is shutting down" });
    }
}

/// Closes connections whose clients have fallen silent: gone without a word, or not reading.
async fn sweep(shard: Rc<Shard>) {
    let silence = shard.app.config.silence_max;
    let mut ticks = ticks(silence / 8);
    loop {
        tokio::select! {
            () = shard.app.draining.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = shard.app.clock.now();
        for line in shard.pick(|line| now.since(line.heard_at()) > silence) {
            if shard.close(line, Closing { code: close::SILENT, reason: "no keep-alive came: reconnect" }) {
                add(&shard.app.stats.closed_silent, 1);
            }
        }
    }
}

/// Closes sockets that have waited too long for a request, or for their peer to read an answer.
async fn turn_out(shard: Rc<Shard>) {
    let patience = shard.app.config.request_timeout;
    let mut ticks = ticks(patience / 8);
    loop {
        tokio::select! {
            () = shard.app.draining.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let sent = shard.guests().send_away_since(shard.app.clock.now() - patience, u64::MAX);
        add(&shard.app.stats.sent_away, sent);
    }
}

/// Measures by how much timers are late: the delay that every task of this shard sees.
async fn watch_loop_delay(shard: Rc<Shard>) {
    let mut recent = VecDeque::from([0_u64; 10]);
    loop {
        let due = shard.app.clock.now() + DELAY_EVERY;
        tokio::time::sleep(DELAY_EVERY).await;
        recent.pop_front();
        recent.push_back(u64::try_from(shard.app.clock.now().since(due).as_micros()).unwrap_or(u64::MAX));
        set(&shard.handle.stats.loop_delay_us, recent.iter().copied().max().unwrap_or_default());
    }
}

impl Shard {
    /// Connections that are open and that `wanted` picks.
    fn pick(&self, mut wanted: impl FnMut(&Line) -> bool) -> Vec<LineKey> {
        let lines = self.lines.borrow();
        lines.iter().filter(|(_, line)| line.is_open() && wanted(line)).map(|(key, _)| key as LineKey).collect()
    }

    /// Closes a connection, whatever carries it. `false` if it was over already.
    pub(super) fn close(self: &Rc<Self>, key: LineKey, closing: Closing) -> bool {
        let connection = match self.lines.borrow().get(key as usize) {
            Some(line) if line.is_open() => line.connection.clone(),
            _ => return false,
        };
        match &connection.polled {
            Some(polled) => {
                let first = polled.outbox.close(closing.code, closing.reason);
                self.app.disconnect(&connection);
                first
            }
            None => {
                self.end(key, End::ByUs(closing));
                true
            }
        }
    }
}
