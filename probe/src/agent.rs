//! The probe as a role: joins the control plane, and measures when a run asks for it.

use std::sync::Arc;
use std::time::Duration;

use measure::clock::host_clock_id;
use measure::{Clock, Estimator, Offset, Timestamp};
use proto::control::agent_order::Order;
use proto::control::agent_report::Report;
use proto::control::{AgentKind, Finished, Heartbeat, Hello, Prepare, Progress, Ready, Refused};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wire::backoff::reconnect_delay;

use crate::job::{Ends, Job};
use crate::link::{Link, NoLink};
use crate::node::Node;
use crate::spool::SpoolLimits;
use crate::sync;

/// How long shipping what is left may take at the end of a run.
const SHIP_WITHIN: Duration = Duration::from_secs(15);
/// The same when the probe itself is told to end: it must be gone within 4 s.
const SHIP_IN_A_HURRY: Duration = Duration::from_millis(2_200);
/// A run goes on without its control plane for so many leases.
const LEASES_ALONE: u32 = 10;

/// How a probe is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The control plane, such as `http://127.0.0.1:7700`.
    pub control_plane: String,
    /// What the probe is called; the control plane may add a number.
    pub name: String,
    /// Chat servers to look at. Empty: the run's targets, if they are the bundled server's nodes.
    pub nodes: Vec<Node>,
    /// Where to keep what the data plane has not acknowledged.
    pub spool: SpoolLimits,
}

/// Serves a control plane until `shutdown` is cancelled; a run that is going on then is shipped as far as it came,
/// within 4 seconds.
///
/// # Errors
/// When the control plane's address is none, or it refuses this probe for good (another version).
pub async fn run(config: Config, clock: Clock, shutdown: CancellationToken) -> anyhow::Result<()> {
    let hello = hello(&config);
    let mut agent = Agent { config, clock, hello, state: State::Idle, told: Vec::new(), shutdown };
    agent.run().await
}

struct Agent {
    config: Config,
    clock: Clock,
    hello: Hello,
    state: State,
    /// What the control plane has to be told when it is there again.
    told: Vec<Report>,
    shutdown: CancellationToken,
}

enum State {
    Idle,
    Prepared(Box<Job>),
    Running {
        run: String,
        task: JoinHandle<Result<(), String>>,
        stop: CancellationToken,
        ship_within: watch::Sender<Duration>,
    },
}

/// Why a stretch with the control plane is over.
enum Parted {
    Lost(String),
    Shutdown,
}

impl Agent {
    async fn run(&mut self) -> anyhow::Result<()> {
        let (mut failures, mut lease, mut alone) = (0, Duration::from_secs(3), Instant::now());
        loop {
            let joined = tokio::select! {
                joined = Link::join(&self.config.control_plane, self.hello.clone()) => joined,
                () = self.shutdown.cancelled() => break,
            };
            let why = match joined {
                Ok(link) => {
                    (failures, lease) = (0, link.lease);
                    tracing::info!(agent = link.agent, "joined the control plane");
                    match self.serve(link).await {
                        Parted::Shutdown => return Ok(()),
                        Parted::Lost(why) => {
                            alone = Instant::now();
                            why
                        }
                    }
                }
                Err(NoLink::Ever(why)) => anyhow::bail!("the control plane refused this probe: {why}"),
                Err(NoLink::Yet(why)) => why,
            };
            failures += 1;
            tracing::warn!(failures, "no control plane: {why}");
            if alone.elapsed() > lease * LEASES_ALONE {
                self.stop_running();
            }
            // Half the delay is fixed, so that probes need no randomness to find each other a gap.
            let delay = reconnect_delay(failures, 0.5);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shutdown.cancelled() => break,
            }
        }
        self.end_in_a_hurry().await;
        Ok(())
    }

    async fn serve(&mut self, mut link: Link) -> Parted {
        for report in std::mem::take(&mut self.told) {
            link.say(report).await;
        }
        let mut beat = tokio::time::interval(link.lease / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let report = tokio::select! {
                order = link.order() => match order {
                    Ok(order) => self.obey(order, &link).await,
                    Err(why) => return Parted::Lost(why),
                },
                ended = ended(&mut self.state) => Some(self.finished(ended)),
                _ = beat.tick() => Some(self.alive()),
                () = self.shutdown.cancelled() => {
                    if let Some(report) = self.end_in_a_hurry().await {
                        link.say(report).await;
                    }
                    return Parted::Shutdown;
                }
            };
            let Some(report) = report else { continue };
            if !link.say(report.clone()).await && matches!(report, Report::Finished(_)) {
                self.told.push(report);
            }
        }
    }

    fn alive(&self) -> Report {
        match &self.state {
            State::Running { run, .. } => Report::Progress(Progress { run: run.clone(), ..Progress::default() }),
            _ => Report::Heartbeat(Heartbeat {}),
        }
    }

    async fn obey(&mut self, order: Order, link: &Link) -> Option<Report> {
        match order {
            Order::Prepare(prepare) => {
                let run = prepare.run.clone();
                Some(match self.prepare(prepare, link).await {
                    Ok(()) => Report::Ready(Ready { run }),
                    Err(reason) => Report::Refused(Refused { run, reason }),
                })
            }
            Order::Start(start) => {
                self.start(&start.run, Timestamp::from_nanos(start.at_ns));
                None
            }
            Order::Stop(stop) => {
                tracing::info!(run = stop.run, reason = stop.reason, "told to stop");
                self.stop(&stop.run)
            }
            Order::Rejected(rejected) => {
                tracing::warn!("the control plane rejected something: {}", rejected.reason);
                None
            }
            Order::Welcome(_) | Order::Heartbeat(_) => None,
        }
    }

    async fn prepare(&mut self, prepare: Prepare, link: &Link) -> Result<(), String> {
        match &self.state {
            State::Running { run, .. } if *run == prepare.run => return Ok(()),
            State::Running { run, .. } => return Err(format!("busy with run {run}")),
            State::Idle | State::Prepared(_) => {}
        }
        let scenario = prepare.scenario.ok_or("there is no scenario in the order")?;
        let scenario = scenarios::parse(&scenarios::Source {
            file_name: scenario.file_name,
            bytes: scenario.source.to_vec(),
            overrides: scenario.overrides,
            variables: scenario.variables.into_iter().collect(),
            base_dir: scenario.base_dir.into(),
        });
        let target = prepare.target.unwrap_or_default();
        let offset = self.offset(link).await?;
        let nodes = match self.config.nodes.is_empty() && target.bundled {
            false => self.config.nodes.clone(),
            true => target
                .urls
                .iter()
                .zip(1..)
                .map(|(url, n)| Node { name: format!("node-{n}"), url: url.clone() })
                .collect(),
        };
        self.state = State::Prepared(Box::new(Job {
            run: prepare.run,
            scenario: Arc::new(scenario.map_err(|e| e.to_string())?),
            target,
            data_plane: prepare.data_plane,
            source: link.agent.clone(),
            host: self.hello.host.clone(),
            cores: self.hello.cores,
            nodes,
            spool: self.config.spool.clone(),
            offset,
            clock: self.clock.clone(),
        }));
        Ok(())
    }

    /// The control plane's clock against ours; on the same host it is the same clock, and nobody has to be asked.
    async fn offset(&self, link: &Link) -> Result<watch::Receiver<Offset>, String> {
        let (set, offset) = watch::channel(Offset::SAME_CLOCK);
        if link.clock_id != self.hello.clock_id {
            let (mut client, mut estimator) = (link.client.clone(), Estimator::default());
            let estimate = sync::estimate(&mut client, &mut estimator, &self.clock);
            let estimate = tokio::time::timeout(link.lease, estimate).await;
            set.send_replace(estimate.map_err(|_| "the control plane did not tell its time".to_owned())??);
            tokio::spawn(sync::keep(client, estimator, self.clock.clone(), set));
        }
        Ok(offset)
    }

    fn start(&mut self, run: &str, at: Timestamp) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Prepared(job) if job.run == run => {
                let (stop, (ship_within, within)) = (CancellationToken::new(), watch::channel(SHIP_WITHIN));
                let ends = Ends { stop: stop.clone(), ship_within: within };
                let task = tokio::spawn(job.measure(at, ends));
                self.state = State::Running { run: run.to_owned(), task, stop, ship_within };
            }
            other => self.state = other,
        }
    }

    /// Stops a run. One that was only prepared is over at once.
    fn stop(&mut self, run: &str) -> Option<Report> {
        match &self.state {
            State::Running { run: ours, stop, .. } if ours == run => {
                stop.cancel();
                None
            }
            State::Prepared(job) if job.run == run => {
                self.state = State::Idle;
                Some(Report::Finished(Finished { run: run.to_owned(), error: String::new() }))
            }
            _ => None,
        }
    }

    fn stop_running(&self) {
        if let State::Running { stop, run, .. } = &self.state
            && !stop.is_cancelled()
        {
            tracing::warn!(run, "the control plane has been away for too long: stopping the run");
            stop.cancel();
        }
    }

    fn finished(&mut self, ended: Result<(), String>) -> Report {
        let run = match std::mem::replace(&mut self.state, State::Idle) {
            State::Running { run, .. } => run,
            State::Idle | State::Prepared(_) => String::new(),
        };
        Report::Finished(Finished { run, error: ended.err().unwrap_or_default() })
    }

    async fn end_in_a_hurry(&mut self) -> Option<Report> {
        let State::Running { stop, ship_within, .. } = &self.state else { return None };
        ship_within.send_replace(SHIP_IN_A_HURRY);
        stop.cancel();
        let ended = tokio::time::timeout(SHIP_IN_A_HURRY + Duration::from_secs(1), ended(&mut self.state)).await;
        Some(self.finished(ended.unwrap_or_else(|_| Err("there was no time to ship everything".to_owned()))))
    }
}

/// How the run ended; waits for ever when there is none.
async fn ended(state: &mut State) -> Result<(), String> {
    match state {
        State::Running { task, .. } => task.await.unwrap_or_else(|e| Err(format!("the probe's run broke: {e}"))),
        State::Idle | State::Prepared(_) => std::future::pending().await,
    }
}

fn hello(config: &Config) -> Hello {
    let uname = rustix::system::uname();
    Hello {
        name: config.name.clone(),
        kind: AgentKind::Probe.into(),
        version: proto::VERSION.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        clock_id: host_clock_id(),
        pid: std::process::id(),
        host: uname.nodename().to_string_lossy().into_owned(),
        ..Hello::default()
    }
}
