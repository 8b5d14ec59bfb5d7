//! The canaries: a few quiet users who measure apart from the load, with another WebSocket implementation than the
//! bulk of the users.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent::{Known, Timer};
use client::{Client, Endpoint, Notice, Notices, Settings};
use measure::{Clock, Metric, SharedRecorder, Timestamp};
use scenarios::ChannelRef;
use scenarios::model::{Scenario, Tokens};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::Stamp;
use wire::api::OutgoingMessage;
use wire::event::kind;
use wire::token::{Claims, TokenKey};

use crate::job::Job;

/// Canaries connect one after the other, within this time from the run's start.
const CONNECT_SPREAD: Duration = Duration::from_secs(2);
/// Their first message comes so long after the start: they are watching by then.
const FIRST_MESSAGE_AFTER: Duration = Duration::from_secs(3);
/// From here on a wait is exact: more than tokio's timers, which tick in milliseconds, can be late.
const NEARLY: Duration = Duration::from_millis(5);
/// What they say.
const TEXT: &str = "tweet: a canary of throng, measuring apart from the crowd";

/// What all canaries of a probe share.
struct Flock {
    /// Told to a service that may know earlier runs.
    run: Option<String>,
    scenario: Arc<Scenario>,
    clock: Clock,
    known: watch::Receiver<Known>,
    /// On the run's clock.
    start: Timestamp,
    recorder: SharedRecorder,
    stop: CancellationToken,
    count: u32,
    key: TokenKey,
    api_key: String,
    /// The service's, as the run names them.
    named: Vec<Endpoint>,
    /// Its nodes.
    nodes: OnceCell<Vec<Endpoint>>,
}

/// Starts the scenario's canaries; with tokens from a list there are none for them, and so no canaries.
pub(crate) fn spawn(
    tasks: &mut JoinSet<()>,
    job: &Job,
    start: Timestamp,
    recorder: &SharedRecorder,
    stop: &CancellationToken,
) {
    let count = job.scenario.probes.canaries;
    if count == 0 {
        return;
    }
    let secret = match &job.scenario.target.tokens {
        Tokens::Bundled => job.target.api_secret.as_str(),
        Tokens::Secret(secret) => secret.as_str(),
        Tokens::Csv(_) => "",
    };
    let endpoints = job.target.urls.iter().filter_map(|url| Endpoint::parse(url).ok());
    let endpoints: Vec<Endpoint> = endpoints.map(|endpoint| endpoint.trusting(job.trust.clone())).collect();
    if secret.is_empty() || endpoints.is_empty() {
        return tracing::warn!(
            run = job.run,
            "no canaries: they need a secret to sign their tokens with, and a target"
        );
    }
    let flock = Arc::new(Flock {
        run: (!job.target.bundled).then(|| job.run.clone()),
        scenario: job.scenario.clone(),
        clock: job.clock.clone(),
        known: job.known.clone(),
        start,
        recorder: recorder.clone(),
        stop: stop.clone(),
        count,
        key: TokenKey::new(secret),
        api_key: job.target.api_key.clone(),
        named: endpoints,
        nodes: OnceCell::new(),
    });
    for number in 0..count {
        let flock = flock.clone();
        tasks.spawn(async move {
            let stop = flock.stop.clone();
            tokio::select! { () = flock.live(number) => {}, () = stop.cancelled() => {} }
        });
    }
}

impl Flock {
    /// The life of one canary.
    async fn live(&self, number: u32) {
        // Before it is due: looking for nodes is no part of connecting.
        let nodes = self.nodes.get_or_init(|| self.find_nodes()).await;
        let due = self.ours(self.start + CONNECT_SPREAD * number / self.count);
        self.sleep_until(due).await;
        let Some((client, notices)) = self.connect(number, nodes, due).await else { return };
        let cids = self.channels(number);
        for cid in &cids {
            if let Err(e) = client.watch(cid).await {
                self.error("watch", &e.kind());
            }
        }
        tokio::join!(self.listen(notices), self.talk(number, &client, &cids));
    }

    /// Each node as an endpoint of its own, as workers have them; a name that nobody knows stays one, and whoever connects
    /// says so.
    async fn find_nodes(&self) -> Vec<Endpoint> {
        let mut nodes = Vec::new();
        for named in &self.named {
            match named.clone().resolved().await {
                Ok(found) => nodes.extend(found.apart().await),
                Err(_) => nodes.push(named.clone()),
            }
        }
        nodes
    }

    async fn connect(&self, number: u32, nodes: &[Endpoint], due: Timestamp) -> Option<(Client, Notices)> {
        let user = format!("canary-{number}");
        let token = self.key.sign(&Claims::user(user.as_str()));
        let own = number as usize % nodes.len();
        let mut settings = Settings::new(nodes[own].clone(), &self.api_key, &user, &token);
        settings.others = nodes[own + 1..].iter().chain(&nodes[..own]).cloned().collect();
        settings.clock = self.clock.clone();
        match Client::connect(settings).await {
            Ok(connected) => {
                self.record(Metric::CanaryConnect, self.clock.now().micros_since(due));
                Some(connected)
            }
            Err(e) => {
                self.error("connect", &e.kind());
                None
            }
        }
    }

    /// One channel of each group, the groups' channels in turn.
    fn channels(&self, number: u32) -> Vec<String> {
        let groups = self.scenario.channels.iter().zip(0_u16..).filter(|(spec, _)| spec.count > 0);
        let cids = groups.map(|(spec, group)| self.scenario.cid(ChannelRef { group, number: number % spec.count }));
        cids.collect::<BTreeSet<_>>().into_iter().collect()
    }

    async fn listen(&self, mut notices: Notices) {
        while let Some(notice) = notices.recv().await {
            match &notice {
                Notice::Event { at, recovered: false, .. } => {
                    let Some(due) = delivered(&notice) else { continue };
                    self.record(Metric::CanaryDelivery, self.run_time(*at).micros_since(due));
                }
                Notice::Lost { closed, .. } => self.error("lost", &closed.kind()),
                Notice::Failed { error, .. } => self.error("reconnect", &error.kind()),
                Notice::Gap { error, .. } => self.error("gap", &error.kind()),
                Notice::Event { .. } | Notice::Reconnected { .. } | Notice::Gone { .. } => {}
            }
        }
    }

    /// Sends this canary's share of the messages: the k-th message of all is due k / rate seconds after the first, and
    /// the canaries take turns.
    async fn talk(&self, number: u32, client: &Client, cids: &[String]) {
        let rate = self.scenario.probes.send_rate;
        let end = self.start + self.scenario.timeline().end;
        if rate <= 0.0 || cids.is_empty() {
            return;
        }
        for k in (u64::from(number)..).step_by(self.count as usize) {
            let due = self.start + FIRST_MESSAGE_AFTER + Duration::from_secs_f64(k as f64 / rate);
            if due >= end {
                return;
            }
            let due = self.ours(due);
            self.sleep_until(due).await;
            let cid = &cids[(k / u64::from(self.count)) as usize % cids.len()];
            match client.send(cid, |sent| self.message(k, due, sent)).await {
                Ok(answer) => {
                    self.record(Metric::CanarySend, answer.answered.micros_since(due));
                }
                Err(e) => self.error("send", &e.kind()),
            }
        }
    }

    fn message(&self, number: u64, due: Timestamp, sent: Timestamp) -> OutgoingMessage {
        let [due, sent] = [due, sent].map(|ours| self.run_time(ours).as_nanos());
        let stamp = Stamp { action: Stamp::CANARY, number, due, sent };
        let mut custom = serde_json::Map::new();
        custom.insert("throng".into(), serde_json::to_value(stamp).expect("four numbers are JSON"));
        let id = Some(self.scenario.message_id(Stamp::CANARY, number, self.run.as_deref()));
        OutgoingMessage { id, text: TEXT.to_owned(), parent_id: None, custom }
    }

    fn run_time(&self, ours: Timestamp) -> Timestamp {
        self.known.borrow().course.to_theirs(ours)
    }

    /// An instant of the run on our clock. What begins and ends here is measured on it alone, without a bound.
    fn ours(&self, run_time: Timestamp) -> Timestamp {
        self.known.borrow().course.to_ours(run_time)
    }

    async fn sleep_until(&self, due: Timestamp) {
        tokio::time::sleep((due - NEARLY).since(self.clock.now())).await;
        // The exact timer takes an open file, and so is there for this instant only.
        let exact = match Timer::new(self.clock.clone()) {
            Ok(timer) => timer.until(due).await,
            Err(error) => Err(error),
        };
        if exact.is_err() {
            tokio::time::sleep(due.since(self.clock.now())).await;
        }
    }

    fn record(&self, metric: Metric, micros: i64) {
        self.recorder.with(|r| r.record(metric, micros));
    }

    fn error(&self, what: &str, kind: &str) {
        self.recorder.with(|r| r.error(&format!("canary {what}: {kind}"), None));
    }
}

/// When the message was due that this notice delivers. A reaction, or a change of a message, comes with the message and
/// so with its stamp, but delivers none.
fn delivered(notice: &Notice) -> Option<Timestamp> {
    let head = notice.head()?;
    let stamp = head.message.filter(|_| head.kind == kind::MESSAGE_NEW)?.throng?;
    Some(Timestamp::from_nanos(stamp.due))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_a_new_message_is_a_delivery() {
        let due = |kind: &str| {
            let stamp = r#""throng":{"action":0,"number":7,"due":5000,"sent":6000}"#;
            let frame = format!(r#"{{"type":"{kind}","cid":"a:b","seq":3,"message":{{"id":"m","text":"x",{stamp}}}}}"#);
            delivered(&Notice::Event { at: Timestamp::default(), frame: Bytes::from(frame), recovered: false })
        };
        assert_eq!(due("message.new"), Some(Timestamp::from_nanos(5_000)));
        assert_eq!((due("reaction.new"), due("message.updated")), (None, None));
    }
}
