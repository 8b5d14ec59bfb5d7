//! What users' steps ask for, as tasks: each asks the service once and tells the user the answer.

use std::rc::Rc;
use std::time::Duration;

use client::CallError;
use http::Method;
use measure::Timestamp;
use serde::Deserialize;
use tokio::task::spawn_local;
use tokio::time::sleep;
use wire::api::{ChannelQuery, Sync};

use crate::load::{Load, Local, caller};
use crate::session;
use crate::user::{Action, ChannelId, Event, User};

/// What a user needs to know of a query's answer; the rest isn't read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Newest {
    seq: u64,
}

impl Load {
    /// Does what a step asked for.
    pub(crate) fn perform(self: &Rc<Self>, local: Local, action: Action, due: Timestamp) {
        let me = Rc::clone(self);
        match action {
            Action::Connect { epoch, after } => drop(spawn_local(session::run(me, local, epoch, after, due))),
            Action::Watch { epoch, channel, after } => {
                drop(spawn_local(async move { me.watch(local, epoch, channel, after).await }));
            }
            Action::Sync { epoch, after, since } => {
                drop(spawn_local(async move { me.sync(local, epoch, after, since).await }));
            }
            Action::StopWatching { epoch, channel } => {
                drop(spawn_local(async move { me.stop_watching(local, epoch, channel).await }));
            }
            Action::AskEnd { channel } => drop(spawn_local(async move { me.ask_end(local, channel).await })),
            Action::GiveUpAfter { visit, after } => drop(spawn_local(async move {
                sleep(after).await;
                me.step(local, Event::GiveUp { visit });
            })),
            Action::Close => self.hang_up(local),
            // Dealt with by who carries the step out.
            Action::Left => {}
        }
    }

    async fn watch(self: Rc<Self>, local: Local, epoch: u32, channel: ChannelId, after: Duration) {
        if !after.is_zero() {
            sleep(after).await;
        }
        let Some((user, cohort)) = self.user(local, |u| (u.epoch() == epoch).then_some((u.index, u.cohort))).flatten()
        else {
            return;
        };
        let Some(connection) = self.connection_id(local) else { return };
        let asked = self.book.now();
        let query = ChannelQuery { watch: true, ..ChannelQuery::default() };
        match self.query(user, channel, Some(&connection), query).await {
            Ok(seq) => {
                self.book.watched(cohort, asked);
                self.step(local, Event::Watched { epoch, channel, seq });
            }
            Err(error) => {
                // Of a connection that is lost meanwhile nothing else can be expected.
                if self.user(local, User::epoch) == Some(epoch) {
                    self.book.failed("watch", cohort, &error);
                }
                self.step(local, Event::WatchFailed { epoch, channel });
            }
        }
    }

    /// Asks for a channel's newest number.
    pub(crate) async fn query(
        &self,
        user: u64,
        channel: ChannelId,
        connection: Option<&str>,
        query: ChannelQuery,
    ) -> Result<u64, CallError> {
        let identity = self.identity(user);
        let caller = connection.map_or(caller(&identity), |id| caller(&identity).over(id));
        let path = client::api::channel(&self.cid(channel), "/query");
        let answer = self.api_of(user).call::<_, Newest>(Method::POST, &path, caller, |_| Some(query)).await?;
        Ok(answer.value.seq)
    }

    async fn sync(self: Rc<Self>, local: Local, epoch: u32, after: Duration, since: Vec<(ChannelId, u64)>) {
        if !after.is_zero() {
            sleep(after).await;
        }
        let Some((user, cohort)) = self.user(local, |u| (u.epoch() == epoch).then_some((u.index, u.cohort))).flatten()
        else {
            return;
        };
        match self.missed(user, &since).await {
            Ok((events, _)) => self.step(local, Event::Synced { epoch, events }),
            Err(error) => {
                self.book.failed("sync", cohort, &error);
                self.step(local, Event::SyncFailed { epoch });
            }
        }
    }

    /// Asks for all events of channels after these numbers, and for the channels' newest numbers.
    pub(crate) async fn missed(
        &self,
        user: u64,
        since: &[(ChannelId, u64)],
    ) -> Result<(Vec<Numbered>, Vec<Numbered>), CallError> {
        let identity = self.identity(user);
        let (mut events, mut newest) = (Vec::new(), Vec::new());
        for part in since.chunks(wire::limits::SYNC_CIDS) {
            let named: Vec<_> = part.iter().map(|(channel, seq)| (self.cid(*channel), *seq)).collect();
            let sync = Sync {
                channel_cids: named.iter().map(|(cid, _)| cid.clone()).collect(),
                last_sync_at: None,
                last_seq: named.into_iter().collect(),
            };
            let answer = self.api_of(user).sync(caller(&identity), &sync).await?;
            events.extend(answer.events.iter().filter_map(|e| Some((self.find(&e.cid)?, e.seq?))));
            newest.extend(answer.seq.iter().filter_map(|(cid, seq)| Some((self.find(cid)?, *seq))));
        }
        Ok((events, newest))
    }

    async fn stop_watching(self: Rc<Self>, local: Local, epoch: u32, channel: ChannelId) {
        let Some((user, cohort)) = self.user(local, |u| (u.index, u.cohort)) else { return };
        let connection = self.connection_id(local).filter(|_| self.user(local, User::epoch) == Some(epoch));
        let Some(connection) = connection else { return self.ask_end(local, channel).await };
        let identity = self.identity(user);
        let call = caller(&identity).over(&connection);
        match self.api_of(user).stop_watching(call, &self.cid(channel)).await {
            Ok(answer) => self.step(local, Event::Ended { channel, seq: answer.seq }),
            Err(error) => {
                self.book.failed("stop-watching", cohort, &error);
                self.step(local, Event::EndUnknown { channel });
            }
        }
    }

    async fn ask_end(self: Rc<Self>, local: Local, channel: ChannelId) {
        let Some((user, cohort)) = self.user(local, |u| (u.index, u.cohort)) else { return };
        match self.query(user, channel, None, ChannelQuery::default()).await {
            Ok(seq) => self.step(local, Event::Ended { channel, seq }),
            Err(error) => {
                self.book.failed("query", cohort, &error);
                self.step(local, Event::EndUnknown { channel });
            }
        }
    }
}

/// A channel and one of its event numbers.
pub(crate) type Numbered = (ChannelId, u64);
