//! From submitted to ended: the run's updates, the fleet's processes, and a person who may want to stop.

use std::time::Duration;

use anyhow::{Context as _, Result};
use control_plane::run::kind;
use proto::control::{RunState, RunUpdate};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt as _;
use tonic::Streaming;

use super::control::{Control, broken, note};
use super::interrupts::Interrupts;
use super::progress::Progress;
use crate::local::child::{Ended, Role};
use crate::local::fleet::{CONTROL_PLANE, DATA_PLANE, Fleet};
use crate::rehearse::Rehearsal;
use crate::rehearse::faults::What;

/// The control plane sends an update a second; one that sends nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a control plane that we have not started may be away.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// How long to wait for word that the control plane's process ended, once its stream broke.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// A data plane of ours that answers nothing for so long after the control plane has noticed is ended and started again:
/// its journal has all that it acknowledged, and the rest is sent again.
const FROZEN_MAX: Duration = Duration::from_secs(10);

/// How following a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// In order; the last update has the verdict.
    Ended(Box<RunUpdate>),
    /// The control plane is gone, in words.
    ControlPlaneLost(String),
    /// The data plane is gone and doesn't come back, in words.
    DataPlaneLost(String),
    /// Its user does not want to wait for the report.
    GivenUp,
}

/// All that is watched while a run goes.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    pub(super) run: &'a str,
    pub(super) control: Control,
    /// What makes the run a rehearsal.
    pub(super) rehearsal: Option<&'a Rehearsal>,
    /// The processes of this machine, if the fleet is ours.
    pub(super) fleet: Option<&'a mut Fleet>,
    pub(super) interrupts: &'a mut Interrupts,
    pub(super) progress: &'a mut Progress,
}

enum Seen {
    Update(Result<Box<RunUpdate>>),
    Ended(Ended),
    Frozen,
    Interrupted,
}

impl Follower<'_> {
    /// Follows the run until it has ended, one way or another.
    pub(super) async fn follow(mut self) -> Ending {
        let mut updates = match self.control.watch(self.run).await {
            Ok(updates) => updates,
            Err(error) => return Ending::ControlPlaneLost(format!("{error:#}")),
        };
        let mut interrupts = 0;
        let mut frozen_at = None;
        let mut failed = 0;
        loop {
            let seen = tokio::select! {
                update = next_update(&mut updates) => Seen::Update(update),
                ended = next_ended(&mut self.fleet) => Seen::Ended(ended),
                () = at(frozen_at) => Seen::Frozen,
                () = self.interrupts.next() => Seen::Interrupted,
            };
            match seen {
                Seen::Update(Ok(update)) => {
                    self.progress.show(&update);
                    frozen_at = frozen(&update, frozen_at);
                    self.fail_what_is_due(&update, &mut failed).await;
                    if update.state() == RunState::Ended {
                        return Ending::Ended(update);
                    }
                }
                Seen::Update(Err(error)) => match self.watch_again(&error).await {
                    Ok(again) => updates = again,
                    Err(ending) => return ending,
                },
                Seen::Ended(ended) if ended.role == Role::ControlPlane => {
                    match self.restart_control_plane(&ended.how).await {
                        Ok(again) => updates = again,
                        Err(ending) => return ending,
                    }
                }
                Seen::Frozen => {
                    frozen_at = None;
                    self.end_frozen_data_plane();
                }
                Seen::Ended(ended) => {
                    if let Some(ending) = self.process_ended(&ended).await {
                        return ending;
                    }
                }
                Seen::Interrupted => {
                    interrupts += 1;
                    if interrupts > 1 {
                        return Ending::GivenUp;
                    }
                    self.progress.say("stopping; what was measured is reported (once more to stop at once)");
                    self.stop("interrupted", true).await;
                }
            }
        }
    }

    /// Says which of a rehearsal's faults have come, here and in the report, and ends a plane where they have it; it is
    /// then started again as at any other time. What fails of workers fails in their process. So many faults have come.
    async fn fail_what_is_due(&mut self, update: &RunUpdate, failed: &mut usize) {
        let (Some(rehearsal), Some(fleet)) = (self.rehearsal, self.fleet.as_deref()) else { return };
        if update.state() != RunState::Running {
            return;
        }
        let now = update.elapsed_s * rehearsal.speed;
        while let Some(fault) = rehearsal.faults.get(*failed).filter(|fault| fault.at.as_secs_f64() <= now) {
            *failed += 1;
            let text = fault.words();
            self.progress.say(&text);
            note(&fleet.data_plane, self.run, "fault", &text).await;
            if let What::Restart(plane) = fault.what {
                fleet.kill(plane);
            }
        }
    }

    fn end_frozen_data_plane(&mut self) {
        let Some(fleet) = self.fleet.as_deref() else { return };
        let seconds = FROZEN_MAX.as_secs();
        self.progress.say(&format!("data-plane does not answer for {seconds} s; ending it, to start it again"));
        fleet.kill(DATA_PLANE);
    }

    /// A broken stream means for our own control plane that it is gone, and for another that we dial again.
    async fn watch_again(&mut self, error: &anyhow::Error) -> Result<Streaming<RunUpdate>, Ending> {
        if self.fleet.is_some() {
            let until = Instant::now() + NEWS_WITHIN;
            while let Ok(ended) = timeout_at(until, next_ended(&mut self.fleet)).await {
                if ended.role == Role::ControlPlane {
                    return self.restart_control_plane(&ended.how).await;
                }
                if let Some(ending) = self.process_ended(&ended).await {
                    return Err(ending);
                }
            }
            return Err(Ending::ControlPlaneLost(format!("{error:#}")));
        }
        self.progress.say(&format!("the control plane is away ({error:#}); dialling again"));
        self.dial_again(&format!("{error:#}")).await
    }

    /// Our own control plane has ended: where it remembers its run it is started again, and goes on with it.
    async fn restart_control_plane(&mut self, how: &str) -> Result<Streaming<RunUpdate>, Ending> {
        let fleet = self.fleet.as_deref_mut().filter(|fleet| fleet.may_restart(CONTROL_PLANE));
        let Some(fleet) = fleet else { return Err(Ending::ControlPlaneLost(format!("it {how}"))) };
        self.progress.say(&format!("control-plane {how}; starting it again"));
        if let Err(error) = fleet.restart(CONTROL_PLANE).await {
            return Err(Ending::ControlPlaneLost(format!("it {how} and could not be started again: {error:#}")));
        }
        self.dial_again(&format!("it {how}")).await
    }

    async fn dial_again(&mut self, why: &str) -> Result<Streaming<RunUpdate>, Ending> {
        let until = Instant::now() + AWAY_MAX;
        while Instant::now() < until {
            if let Ok(updates) = self.control.watch(self.run).await {
                self.progress.say("the control plane is back");
                return Ok(updates);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(Ending::ControlPlaneLost(format!("{why}; it stayed away for {} s", AWAY_MAX.as_secs())))
    }

    /// What the end of a process that isn't the control plane means for the run.
    async fn process_ended(&mut self, ended: &Ended) -> Option<Ending> {
        let Ended { name, role, how } = ended;
        match role {
            Role::ControlPlane => {}
            Role::DataPlane => return self.restart_data_plane(how).await,
            Role::ChatServer if self.fleet.as_deref().is_some_and(|fleet| fleet.may_restart(name)) => {
                self.restart_edge(name, how).await;
                return None;
            }
            // Its channels, and the numbers of their events, were in its memory: without them no account could go on.
            Role::ChatServer => {
                self.progress.say(&format!("{name} {how}; the run stops, since its channels are gone with it"));
                self.stop(&format!("the chat server {how}"), false).await;
            }
            Role::RehearsedWorkers => {
                self.progress.say(&format!("the simulated workers' process {how}"));
                self.stop(&format!("the simulated workers' process {how}"), false).await;
            }
            Role::Worker => self.progress.say(&format!("{name} {how}; its users are gone")),
            Role::Probe => {
                self.progress.say(&format!("{name} {how}; the run goes on without what it measured"));
            }
        }
        if let Some(fleet) = self.fleet.as_deref() {
            note(&fleet.data_plane, self.run, "process_ended", &format!("{name} {how}")).await;
        }
        None
    }

    async fn restart_data_plane(&mut self, how: &str) -> Option<Ending> {
        self.progress.say(&format!("data-plane {how}; starting it again"));
        let fleet = self.fleet.as_deref_mut()?;
        match fleet.restart(DATA_PLANE).await {
            Ok(()) => {
                self.progress.say("data-plane serves again; what it missed is sent again");
                let text = format!("the data plane {how} and was started again");
                note(&fleet.data_plane, self.run, "data_plane_restarted", &text).await;
                None
            }
            Err(error) => Some(Ending::DataPlaneLost(format!("it {how} and could not be started again: {error:#}"))),
        }
    }

    /// Its users connect elsewhere meanwhile, and what it held itself is known to its origin: so it goes on where it was. One
    /// that does not come back, or dies again and again, ends the run.
    async fn restart_edge(&mut self, name: &str, how: &str) {
        let Some(fleet) = self.fleet.as_deref_mut() else { return };
        self.progress.say(&format!("{name} {how}; starting it again, its users connect elsewhere meanwhile"));
        let data_plane = fleet.data_plane.clone();
        let text = format!("{name} {how}: its users were cut off");
        let lost = note(&data_plane, self.run, reports::EDGE_LOST, &text);
        let (restarted, ()) = tokio::join!(fleet.restart(name), lost);
        match restarted {
            Ok(()) => {
                self.progress.say(&format!("{name} serves again"));
                note(&data_plane, self.run, reports::EDGE_BACK, &format!("{name} was started again, and serves")).await;
            }
            Err(error) => {
                self.progress.say(&format!("{name} can't be started again: {error:#}"));
                self.stop(&format!("{name} {how} and could not be started again: {error:#}"), false).await;
            }
        }
    }

    async fn stop(&mut self, reason: &str, interrupted: bool) {
        if let Err(error) = self.control.stop(self.run, reason, interrupted).await {
            self.progress.say(&format!("{error:#}"));
        }
    }
}

/// When the data plane counts as frozen, if it stays as silent as these events say.
fn frozen(update: &RunUpdate, before: Option<Instant>) -> Option<Instant> {
    let told = update.events.iter().rev().find(|e| [kind::DATA_PLANE_LOST, kind::DATA_PLANE_BACK].contains(&&*e.kind));
    match told.map(|event| event.kind == kind::DATA_PLANE_LOST) {
        Some(true) => Some(Instant::now() + FROZEN_MAX),
        Some(false) => None,
        None => before,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn next_update(updates: &mut Streaming<RunUpdate>) -> Result<Box<RunUpdate>> {
    let next = timeout(SILENCE_MAX, updates.next()).await;
    let next = next.with_context(|| format!("it said nothing for {} s", SILENCE_MAX.as_secs()))?;
    let update = next.context("it ended the stream")?;
    Ok(Box::new(update.map_err(|status| broken(&status))?))
}

async fn next_ended(fleet: &mut Option<&mut Fleet>) -> Ended {
    match fleet {
        Some(fleet) => fleet.next_ended().await,
        None => std::future::pending().await,
    }
}
