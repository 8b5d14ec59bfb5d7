//! The agent as the control plane sees it: says hello, prepares, starts, reports, and goes on by itself for a while when
//! nobody answers.

use std::pin::pin;
use std::time::Duration;

use measure::Clock;
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::{Hello, Instance};
use tls::Links;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{info, warn};
use wire::backoff::reconnect_delay;

use crate::beside::Beside;
use crate::link::{Link, NoLink};
use crate::stage::Job;
use crate::{Haste, Work};

/// A control plane that was away is found again within this: it is worth more than the load of dialling.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// How long a run has to end in a hurry: the process must be gone within 4 s.
const HURRY: Duration = Duration::from_millis(3_500);

/// An agent and what it is doing.
pub(crate) struct Agent<W: Work> {
    control_plane: String,
    links: Links,
    hello: Hello,
    job: Job<W>,
    /// The end of the last run. It is told at every joining, since nobody knows whether it arrived.
    ended: Option<Report>,
    shutdown: CancellationToken,
}

/// Why a stretch with the control plane ended.
enum Parted {
    Lost(String, Instant),
    /// The control plane has sent us away in order.
    Drained,
    Shutdown,
}

impl<W: Work> Agent<W> {
    pub(crate) fn new(
        control_plane: String,
        links: Links,
        mut hello: Hello,
        work: W,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Self {
        let secret: [u8; 32] = rand::random();
        hello.instance = Some(Instance { secret: secret.to_vec().into() });
        Self { control_plane, links, hello, job: Job::new(work, clock), ended: None, shutdown }
    }

    /// Serves until shut down, or refused for good.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let (mut failures, mut patience, mut welcomed) = (0, Instant::now(), false);
        loop {
            self.introduce();
            let Some(joined) = self.join(patience).await else { break };
            let why = match joined {
                Ok(link) => {
                    (failures, welcomed) = (0, true);
                    info!(agent = link.agent, "joined the control plane");
                    self.hello.agent.clone_from(&link.agent);
                    let alone = link.alone;
                    match self.serve(link).await {
                        Parted::Shutdown | Parted::Drained => return Ok(()),
                        Parted::Lost(why, heard) => {
                            patience = heard + self.job.alone(alone);
                            why
                        }
                    }
                }
                Err(NoLink::Ever(why)) => {
                    self.end_in_a_hurry(None).await;
                    anyhow::bail!("no place in the fleet of {}: {why}", self.control_plane)
                }
                // Who has been welcomed was set up well; somebody else may stand at that address now.
                Err(NoLink::Distrust(why)) if !welcomed => anyhow::bail!("no control plane: {why}"),
                Err(NoLink::Distrust(why) | NoLink::Yet(why)) => why,
            };
            failures += 1;
            warn!(why, failures, "no control plane");
            let wait = reconnect_delay(failures, rand::random()).min(AGAIN_WITHIN);
            if !self.wait_alone(wait, patience).await {
                break;
            }
        }
        self.end_in_a_hurry(None).await;
        Ok(())
    }

    /// Says in the Hello what a control plane that was started again must know.
    fn introduce(&mut self) {
        (self.hello.run, self.hello.prepared) = match (self.job.run(), &self.ended) {
            (Some((run, prepared)), _) => (run.to_owned(), prepared),
            (None, Some(Report::Finished(finished))) => (finished.run.clone(), false),
            (None, _) => (String::new(), false),
        };
    }

    /// Dials. Nothing on shutdown.
    async fn join(&mut self, patience: Instant) -> Option<Result<Link, NoLink>> {
        let mut joining = pin!(Link::join(&self.control_plane, &self.links, &self.hello));
        loop {
            tokio::select! {
                joined = &mut joining => return Some(joined),
                () = self.shutdown.cancelled() => return None,
                () = sleep_until(patience), if self.job.goes_on() => self.job.stop_alone(),
            }
        }
    }

    /// Waits to dial again, and looks after the job meanwhile. False on shutdown.
    async fn wait_alone(&mut self, wait: Duration, patience: Instant) -> bool {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                () = self.shutdown.cancelled() => return false,
                () = sleep_until(patience), if self.job.goes_on() => self.job.stop_alone(),
                report = self.job.ended() => self.keep(report),
            }
        }
    }

    /// Remembers the end of a run. That one could be prepared is of no use later.
    fn keep(&mut self, report: Report) {
        if matches!(report, Report::Finished(_)) {
            self.ended = Some(report);
        }
    }

    async fn serve(&mut self, mut link: Link) -> Parted {
        if let Some(report) = self.ended.clone() {
            link.say(report).await;
        }
        let mut beside = Beside::default();
        let mut beat = interval(link.lease / proto::BEATS_A_LEASE);
        let mut second = interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (heard, silence) = (link.heard, link.silence());
            let report = tokio::select! {
                order = link.order() => match order {
                    Ok(Order::Leave(leave)) if !self.job.is_running() => {
                        info!(reason = leave.reason, "leaving the fleet");
                        return Parted::Drained;
                    }
                    Ok(order) => self.obey(order, &link),
                    Err(why) => return Parted::Lost(why, link.heard),
                },
                ended = self.job.ended() => {
                    self.keep(ended.clone());
                    Some(ended)
                }
                channel = beside.stands(silence, &self.control_plane, &self.links) => {
                    match self.join_over(&link, channel).await {
                        Some(Ok(fresh)) => link = fresh,
                        Some(Err(why)) => return Parted::Lost(why, link.heard),
                        None => {
                            self.end_in_a_hurry(None).await;
                            return Parted::Shutdown;
                        }
                    }
                    self.ended.clone()
                }
                _ = beat.tick() => Some(Report::Heartbeat(proto::control::Heartbeat {})),
                _ = second.tick() => self.job.progress().map(Report::Progress),
                () = self.shutdown.cancelled() => {
                    self.end_in_a_hurry(Some(link)).await;
                    return Parted::Shutdown;
                }
            };
            // A process that stood still finds what was said meanwhile, and may be taken for lost.
            if self.job.goes_on() && Instant::now() > heard + self.job.alone(link.alone) {
                self.job.stop_alone();
            }
            if let Some(report) = report
                && !link.say(report.clone()).await
            {
                self.keep(report);
            }
        }
    }

    /// The link is silent, and another connection to the control plane stands: from here on that is the link. What comes
    /// over the old one is not read any more, since the Hello says what we have, and is answered with what we lack. Nothing
    /// on shutdown.
    async fn join_over(&mut self, link: &Link, channel: Channel) -> Option<Result<Link, String>> {
        self.introduce();
        let patience = link.heard + self.job.alone(link.alone);
        let mut joining = pin!(link.join_over(&self.control_plane, channel, &self.hello));
        loop {
            tokio::select! {
                joined = &mut joining => return Some(match joined {
                    Ok(fresh) if fresh.agent == link.agent => {
                        info!(agent = fresh.agent, "the control plane was silent: joined anew, beside the old connection");
                        Ok(fresh)
                    }
                    // It is another one, or has counted us as lost.
                    Ok(fresh) => Err(format!("the control plane calls us {} now, and called us {}", fresh.agent, link.agent)),
                    Err(NoLink::Yet(why) | NoLink::Distrust(why) | NoLink::Ever(why)) => Err(why),
                }),
                () = sleep_until(patience), if self.job.goes_on() => self.job.stop_alone(),
                () = self.shutdown.cancelled() => return None,
            }
        }
    }

    /// Does what the control plane says; what it answers at once.
    fn obey(&mut self, order: Order, link: &Link) -> Option<Report> {
        match order {
            Order::Prepare(order) => {
                info!(run = order.run, shard = order.shard_index, of = order.shard_count, "preparing");
                self.ended = None;
                self.job.prepare(order, link, self.hello.clock_id == link.clock_id)
            }
            Order::Start(start) => self.job.start(&start, &link.agent),
            Order::Adopt(order) => {
                info!(run = order.run, shard = order.shard_index, of = order.shard_count, "taking users over");
                Some(self.job.adopt(&order))
            }
            Order::Stop(stop) => {
                info!(run = stop.run, reason = stop.reason, "stopping");
                self.job.stop_run(&stop.run)
            }
            Order::Welcome(_) | Order::Heartbeat(_) | Order::Leave(_) => None,
            Order::Rejected(rejected) => {
                warn!(reason = rejected.reason, "the control plane rejected something");
                None
            }
        }
    }

    /// Keeps what was measured: stops, ships, and says so, all within 4 s.
    async fn end_in_a_hurry(&mut self, link: Option<Link>) {
        if !self.job.is_running() {
            return;
        }
        self.job.stop(Haste::Hurry);
        let ended = timeout(HURRY, self.job.ended()).await;
        if let (Some(mut link), Ok(ended)) = (link, ended) {
            link.say(ended).await;
            // So that the report is on its way before the connection ends.
            sleep(Duration::from_millis(50)).await;
        }
    }
}
