//! The worker as the control plane sees it: says hello, prepares, starts, reports, and goes on by itself for a while
//! when nobody answers.

use std::sync::Arc;
use std::time::Duration;

use measure::Clock;
use measure::clock::host_clock_id;
use proto::control as pb;
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wire::backoff::reconnect_delay;

use crate::Config;
use crate::job::{Ended, Job};
use crate::link::{Link, Refusal};
use crate::machine::Machine;
use crate::telemetry::Telemetry;

/// A run goes on without its control plane for so many leases.
const LEASES_ALONE: u32 = 10;
/// How long users may take to settle when the worker is told to end: all of it must be over within 4 s.
const HURRY: Duration = Duration::from_millis(1_500);
/// Then what was measured must be shipped.
const SHIP_IN_A_HURRY: Duration = Duration::from_secs(2);

/// A worker and what it is doing.
pub(crate) struct Agent {
    config: Config,
    machine: Machine,
    hello: pb::Hello,
    job: Job,
    shutdown: CancellationToken,
}

/// Why a stretch with the control plane ended.
enum Parted {
    Lost(String),
    Shutdown,
}

impl Agent {
    pub(crate) fn new(
        config: Config,
        telemetry: Arc<dyn Telemetry>,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Self {
        let machine = Machine::look();
        let threads = config.threads.unwrap_or(machine.cores).max(1);
        let hello = pb::Hello {
            name: config.name.clone(),
            kind: pb::AgentKind::Worker.into(),
            version: proto::VERSION.into(),
            cores: machine.cores,
            memory_bytes: machine.memory,
            open_files: machine.open_files,
            capacity: config.capacity.unwrap_or_else(|| machine.capacity(threads)),
            source_addresses: Vec::new(),
            clock_id: host_clock_id(),
            pid: std::process::id(),
            host: machine.host.clone(),
        };
        Self { job: Job::new(telemetry, clock, threads), config, machine, hello, shutdown }
    }

    /// Serves until shut down, or refused for good.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut failures = 0;
        let mut lease = Duration::from_secs(3);
        let mut alone = Instant::now();
        loop {
            let dialled = tokio::select! {
                dialled = Link::dial(&self.config.control_plane, &self.hello) => dialled,
                () = self.shutdown.cancelled() => break,
            };
            let why = match dialled {
                Ok(link) => {
                    (failures, lease) = (0, link.lease);
                    info!(agent = link.agent, "joined the control plane");
                    match self.serve(link).await {
                        Parted::Shutdown => return Ok(()),
                        Parted::Lost(why) => {
                            alone = Instant::now();
                            why
                        }
                    }
                }
                Err(Refusal::Final(why)) => anyhow::bail!("the control plane refused this worker: {why}"),
                Err(Refusal::Later(why)) => why,
            };
            failures += 1;
            warn!(why, failures, "no control plane");
            if !self.wait_alone(reconnect_delay(failures, rand::random()), alone + lease * LEASES_ALONE).await {
                break;
            }
        }
        self.end_in_a_hurry(None).await;
        Ok(())
    }

    /// Waits to dial again, and looks after the job meanwhile. False on shutdown.
    async fn wait_alone(&mut self, wait: Duration, patience: Instant) -> bool {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                () = self.shutdown.cancelled() => return false,
                () = tokio::time::sleep_until(patience), if self.job.is_running() && !self.job.is_stopping() => {
                    warn!("the control plane has been away for too long: stopping the run");
                    self.job.stop(crate::pool::DRAIN);
                }
                ended = self.job.ended() => self.job.keep(ended),
            }
        }
    }

    async fn serve(&mut self, mut link: Link) -> Parted {
        for ended in self.job.kept() {
            link.say(report_of(ended)).await;
        }
        let mut beat = interval((link.lease / 3).max(Duration::from_millis(100)));
        let mut second = interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = link.order() => match order {
                    Ok(order) => {
                        if let Some(report) = self.obey(order, &link) {
                            link.say(report).await;
                        }
                    }
                    Err(why) => return Parted::Lost(why),
                },
                ended = self.job.ended() => {
                    let report = report_of(ended.clone());
                    if !link.say(report).await {
                        self.job.keep(ended);
                    }
                }
                _ = beat.tick() => {
                    link.say(Report::Heartbeat(pb::Heartbeat {})).await;
                }
                _ = second.tick() => if let Some(progress) = self.job.progress() {
                    link.say(Report::Progress(progress)).await;
                },
                () = self.shutdown.cancelled() => {
                    self.end_in_a_hurry(Some(link)).await;
                    return Parted::Shutdown;
                }
            }
        }
    }

    /// Does what the control plane says; what it answers at once.
    fn obey(&mut self, order: Order, link: &Link) -> Option<Report> {
        match order {
            Order::Prepare(order) => {
                info!(run = order.run, shard = order.shard_index, of = order.shard_count, "preparing");
                self.job.prepare(order, self.machine.clone(), link, self.hello.clock_id == link.clock_id)
            }
            Order::Start(start) => self.job.start(&start, &self.config.name_in(&link.agent)),
            Order::Stop(stop) => {
                info!(run = stop.run, reason = stop.reason, "stopping");
                self.job.stop_run(&stop.run)
            }
            Order::Welcome(_) | Order::Heartbeat(_) => None,
            Order::Rejected(rejected) => {
                warn!(reason = rejected.reason, "the control plane rejected an order's answer");
                None
            }
        }
    }

    /// Keeps what was measured: stops, ships, and says so, all within 4 s.
    async fn end_in_a_hurry(&mut self, link: Option<Link>) {
        if !self.job.is_running() {
            return;
        }
        self.job.hurry(HURRY, SHIP_IN_A_HURRY);
        let ended = timeout(HURRY + SHIP_IN_A_HURRY, self.job.ended()).await;
        if let (Some(mut link), Ok(ended)) = (link, ended) {
            link.say(report_of(ended)).await;
            // So that the report is on its way before the connection ends.
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn report_of(ended: Ended) -> Report {
    match ended {
        Ended::Ready { run } => Report::Ready(pb::Ready { run }),
        Ended::Refused { run, reason } => Report::Refused(pb::Refused { run, reason }),
        Ended::Finished { run, error } => Report::Finished(pb::Finished { run, error }),
    }
}
