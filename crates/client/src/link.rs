//! The task behind a [`crate::Client`]: reads events, keeps the connection alive, and brings it back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use wire::api::Sync;
use wire::event::EventHead;
use wire::{backoff, close, limits};

use crate::carrier::Carrier;
use crate::connection::{Notice, Shared};
use crate::error::{CallError, Closed, ConnectError};

/// The client says something when it has said nothing for so long.
pub const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// A service that says nothing for so long is gone.
pub const SILENCE: Duration = Duration::from_secs(35);

/// How a stretch of connection ended.
enum Ended {
    /// The user wants no more.
    Stopped,
    Lost(Closed),
}

/// Runs until the user stops, or the service refuses the user for good.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut carrier: Carrier,
    notices: mpsc::Sender<Notice>,
    mut stop: watch::Receiver<bool>,
) {
    let link = Link { shared, notices };
    loop {
        let ended = link.stay(&mut carrier, &mut stop).await;
        let at = link.shared.settings.clock.now();
        link.shared.state().connection_id = None;
        match ended {
            Ended::Stopped => return carrier.close(Duration::from_secs(1)).await,
            Ended::Lost(Closed { code: Some(close::NORMAL), reason }) => {
                let why = format!("the service closed for good: {reason}");
                return drop(link.notices.send_timeout(Notice::Gone { at, why }, SILENCE).await);
            }
            Ended::Lost(closed) => {
                if closed.code.is_none() {
                    // Nobody said goodbye: the node may be gone, and the next one may not.
                    link.shared.turn_away();
                }
                if !link.tell(Notice::Lost { at, closed }).await {
                    return;
                }
            }
        }
        carrier = tokio::select! {
            back = link.reconnect() => match back {
                Some(carrier) => carrier,
                None => return,
            },
            _ = stop.changed() => return,
        };
        let again = Link { shared: Arc::clone(&link.shared), notices: link.notices.clone() };
        // Beside reading, so that live events don't wait for the calls.
        tokio::spawn(async move { again.resume().await });
    }
}

struct Link {
    shared: Arc<Shared>,
    notices: mpsc::Sender<Notice>,
}

impl Link {
    /// False when the user takes no notices any more.
    async fn tell(&self, notice: Notice) -> bool {
        self.notices.send_timeout(notice, SILENCE).await.is_ok()
    }

    async fn stay(&self, carrier: &mut Carrier, stop: &mut watch::Receiver<bool>) -> Ended {
        let mut said = Instant::now();
        let mut heard = said;
        loop {
            tokio::select! {
                frame = carrier.next() => match frame {
                    Ok(frame) if frame.is_empty() => heard = Instant::now(),
                    Ok(frame) => {
                        heard = Instant::now();
                        let at = self.shared.settings.clock.now();
                        self.note(&frame);
                        if !self.tell(Notice::Event { at, frame, recovered: false }).await {
                            return Ended::Lost(Closed::broken("its user takes no events"));
                        }
                    }
                    Err(closed) => return Ended::Lost(closed),
                },
                () = sleep_until(said + KEEP_ALIVE) => {
                    said = Instant::now();
                    let id = self.shared.state().connection_id.clone().unwrap_or_default();
                    if let Err(closed) = carrier.keep_alive(keep_alive(&id)).await {
                        return Ended::Lost(closed);
                    }
                }
                () = sleep_until(heard + SILENCE) => return Ended::Lost(Closed::broken("35 s of silence")),
                // An error means that the client was dropped: it wants no more either.
                _ = stop.changed() => return Ended::Stopped,
            }
        }
    }

    /// Remembers how far a watched channel has come.
    fn note(&self, frame: &[u8]) {
        if let Ok(EventHead { cid, seq: Some(seq), .. }) = EventHead::parse(frame)
            && let Some(seen) = self.shared.state().watched.get_mut(&*cid)
        {
            *seen = seq.max(*seen);
        }
    }

    async fn reconnect(&self) -> Option<Carrier> {
        let mut failures = 0;
        loop {
            failures += 1;
            sleep(backoff::reconnect_delay(failures, rand::random())).await;
            let dialled = self.shared.dial().await;
            let at = self.shared.settings.clock.now();
            match dialled {
                Ok((carrier, timings)) => {
                    return self.tell(Notice::Reconnected { at, timings }).await.then_some(carrier);
                }
                Err(ConnectError::Rejected(error)) => {
                    self.tell(Notice::Gone { at, why: error.to_string() }).await;
                    return None;
                }
                Err(error) => {
                    self.shared.turn_away();
                    if !self.tell(Notice::Failed { at, error }).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Watches all channels again, then asks for what was missed: all events after the last one seen, up to the one at
    /// which watching began again.
    async fn resume(&self) {
        let Some(id) = self.shared.state().connection_id.clone() else { return };
        let caller = crate::Caller::new(&self.shared.settings.token);
        let seen = self.shared.state().watched.clone();
        let mut missed = BTreeMap::new();
        for (cid, last) in seen {
            match self.shared.api().watch(caller.over(&id), &cid).await {
                Ok(channel) if channel.seq > last => drop(missed.insert(cid, (last, channel.seq))),
                Ok(_) => {}
                Err(error) => drop(self.tell(Notice::Gap { cid, error }).await),
            }
        }
        let missed: Vec<_> = missed.into_iter().collect();
        for chunk in missed.chunks(limits::SYNC_CIDS) {
            self.sync(caller, &chunk.iter().cloned().collect()).await;
        }
    }

    async fn sync(&self, caller: crate::Caller<'_>, missed: &BTreeMap<String, (u64, u64)>) {
        let sync = Sync {
            channel_cids: missed.keys().cloned().collect(),
            last_sync_at: None,
            last_seq: missed.iter().map(|(cid, (last, _))| (cid.clone(), *last)).collect(),
        };
        let answer = match self.shared.api().sync(caller, &sync).await {
            Ok(answer) => answer,
            Err(error) => return self.gap(missed.keys(), &error).await,
        };
        let at = self.shared.settings.clock.now();
        for event in answer.events {
            let in_gap = |(last, seq): &(u64, u64)| event.seq.is_some_and(|s| s > *last && s <= *seq);
            // Later ones come over the socket as well.
            if missed.get(&event.cid).is_some_and(in_gap) {
                let frame = Bytes::from(serde_json::to_vec(&event).expect("an event has string keys"));
                self.note(&frame);
                self.tell(Notice::Event { at, frame, recovered: true }).await;
            }
        }
        self.gap(answer.inaccessible_cids.iter(), &CallError::Answer("the channel is not accessible".into())).await;
    }

    async fn gap(&self, cids: impl Iterator<Item = &String>, error: &CallError) {
        for cid in cids {
            self.tell(Notice::Gap { cid: cid.clone(), error: error.clone() }).await;
        }
    }
}

/// The keep-alive frame of a client.
pub fn keep_alive(connection_id: &str) -> String {
    serde_json::json!([{"type": "health.check", "client_id": connection_id}]).to_string()
}
