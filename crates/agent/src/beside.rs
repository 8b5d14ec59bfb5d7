//! Connections that are dialled beside a stream that has gone silent.
//!
//! Of a link that was cut and is whole again, TCP knows only when it sends what was lost once more, and it doubles its
//! patience each time: after a cut of two seconds a heartbeat may come too late for a lease of three. A connection that is
//! dialled when the link is whole stands at once. So several are dialled, one after another, and the first that stands counts.

use std::time::Duration;

use tls::Links;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;

use crate::link::{Link, dial};

/// A stream that says nothing for this part of the lease has missed several heartbeats.
const SILENT: u32 = 3;
/// So often in a lease another connection is dialled.
const DIALS_A_LEASE: u32 = 24;
/// Connections that are being dialled at once.
const DIALS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    dials: JoinSet<Option<Channel>>,
    last: Option<Instant>,
    /// The silence that they are dialled for began then.
    since: Option<Instant>,
}

impl Beside {
    /// Waits until the link has been silent for long enough and another connection stands. Dropping the future loses none of
    /// those that are being dialled.
    pub(crate) async fn stands(&mut self, (heard, lease): (Instant, Duration), url: &str, links: &Links) -> Channel {
        if self.since != Some(heard) {
            *self = Self { since: Some(heard), ..Self::default() };
        }
        loop {
            let due = self.last.map_or(heard + lease / SILENT, |last| last + lease / DIALS_A_LEASE);
            tokio::select! {
                Some(dialled) = self.dials.join_next() => if let Ok(Some(channel)) = dialled {
                    return channel;
                },
                () = sleep_until(due), if self.dials.len() < DIALS_MAX => {
                    self.last = Some(Instant::now());
                    let (url, links) = (url.to_owned(), links.clone());
                    self.dials.spawn(async move { dial(&url, &links).await.ok() });
                }
            }
        }
    }
}

impl Link {
    /// When it said something last, and how long it may be silent.
    pub(crate) fn silence(&self) -> (Instant, Duration) {
        (self.heard, self.lease)
    }
}
