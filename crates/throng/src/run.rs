//! `throng run`: a fleet (started here, or already there), one submitted scenario, its progress, its verdict.

mod conclude;
pub(crate) mod control;
mod directory;
mod follow;
mod interrupts;
mod progress;
mod target;
mod words;

use std::path::PathBuf;

use proto::control::{SubmitReply, SubmitRequest};
use tls::Links;

use crate::args::RunArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::local::sizes::{self, Sizes};
use crate::local::{fleet, fleet::Fleet};
use crate::rehearse::Rehearsal;
use crate::scenario::{self, Loaded};
use control::{Control, Refused};
use follow::Follower;
use interrupts::Interrupts;
use progress::Progress;
use target::Chosen;

/// Runs a scenario.
///
/// # Errors
/// When it can't be run, or no report came of it.
pub(crate) async fn run(args: &RunArgs, open_files: u64, rehearsal: Option<Rehearsal>) -> Result<Exit, Failure> {
    // Before anything starts: a baseline that is none is known now, and not after the run.
    let baseline = args.baseline.as_deref().map(reports::load).transpose().or_exit(Exit::Usage)?;
    let loaded = scenario::load(&args.alike.scenario, &args.alike.overrides)?;
    let chosen = match rehearsal {
        Some(_) => Chosen::none(),
        None => target::choose(&args.target, args.target_ca.as_deref(), &args.credentials, &loaded.scenario)?,
    };
    let mut interrupts = Interrupts::listen().or_exit(Exit::Unexpected)?;
    let mut progress = Progress::new(args.alike.quiet);
    let mut session = Session { args, rehearsal, loaded, baseline, id: String::new(), dir: None, fleet: None };
    let started = tokio::select! {
        started = session.start(chosen, open_files, &mut progress) => started,
        () = interrupts.next() => Err(Failure::new(Exit::Interrupted, "interrupted before the run began")),
    };
    let control = match started {
        Ok(control) => control,
        Err(failure) => {
            session.stop_fleet().await;
            return Err(failure);
        }
    };
    let follower = Follower {
        run: &session.id,
        control,
        rehearsal: session.rehearsal.as_ref(),
        fleet: session.fleet.as_mut(),
        interrupts: &mut interrupts,
        progress: &mut progress,
    };
    let ending = follower.follow().await;
    progress.erase();
    session.conclude(ending, &mut progress).await
}

/// One `throng run`, from its arguments to its verdict.
struct Session<'a> {
    args: &'a RunArgs,
    /// What makes it a rehearsal.
    rehearsal: Option<Rehearsal>,
    loaded: Loaded,
    /// An earlier run to compare this one with.
    baseline: Option<reports::RunResult>,
    id: String,
    /// The run's directory, where it is on this machine.
    dir: Option<PathBuf>,
    fleet: Option<Fleet>,
}

impl Session<'_> {
    /// Everything up to the run's acceptance by a control plane.
    async fn start(
        &mut self,
        mut chosen: Chosen,
        open_files: u64,
        progress: &mut Progress,
    ) -> Result<Control, Failure> {
        // A fleet on this machine speaks over loopback.
        let links = if self.args.control_plane.is_some() { self.args.links.links()? } else { Links::default() };
        let token = if self.args.control_plane.is_some() { self.args.people.token()? } else { None };
        if let Some(url) = &self.args.control_plane {
            links.endpoint(url).or_exit(Exit::Usage)?;
        }
        chosen.check().await?;
        let mut workers = self.args.workers.unwrap_or(0);
        let mut probes = 0;
        let control_plane = match &self.args.control_plane {
            Some(url) if chosen.bundled() => {
                let text = format!("the fleet of {url} needs a target: name one with --target URL, or in the scenario");
                return Err(Failure::new(Exit::Usage, text));
            }
            Some(url) => {
                if self.args.otlp_endpoint.is_some() {
                    progress
                        .say(&format!("the data plane of {url} pushes to the collector that it was told of, not here"));
                }
                self.dir.clone_from(&self.args.alike.out);
                url.clone()
            }
            None if self.rehearsal.is_some() => {
                probes = 1;
                self.start_fleet(&mut chosen, Sizes { workers, edges: 0 }, open_files, progress).await?
            }
            None => {
                let room = sizes::Room::here(open_files);
                let chosen_sizes = sizes::choose(self.loaded.users(), chosen.bundled(), self.args.workers, room);
                let sizes = chosen_sizes.map_err(|text| Failure::new(Exit::Unavailable, text))?;
                workers = sizes.workers;
                probes = 1;
                self.start_fleet(&mut chosen, sizes, open_files, progress).await?
            }
        };
        let mut control = Control::connect(&control_plane, &links, token.as_ref()).await.or_exit(Exit::Unavailable)?;
        let SubmitReply { run, dir } = match control.submit(self.request(&chosen, workers, probes)).await {
            Ok(reply) => reply,
            Err(Refused::Wrong(text)) => return Err(Failure::new(Exit::Usage, text)),
            Err(Refused::Unavailable(error)) => return Err(Failure { exit: Exit::Unavailable, error: Some(error) }),
        };
        self.id = run;
        if self.dir.is_none() && !dir.is_empty() {
            self.dir = Some(dir.into());
        }
        Ok(control)
    }

    /// Starts the processes of this machine, and answers the control plane's URL.
    async fn start_fleet(
        &mut self,
        chosen: &mut Chosen,
        sizes: Sizes,
        open_files: u64,
        progress: &mut Progress,
    ) -> Result<String, Failure> {
        self.id = directory::id(&self.loaded.scenario.name);
        let dir = directory::make(self.args.alike.out.as_deref(), &self.id)?;
        progress.say(&format!("run {} in {}", self.id, dir.display()));
        let collector = self.args.otlp_endpoint.as_ref().map(|collector| collector.url().to_owned());
        let Sizes { workers, edges } = sizes;
        if edges > 0 {
            progress.say(&format!("{edges} edges hold the connections: one process may not open as many files"));
        }
        let rehearsal = self.rehearsal.clone();
        let chat_server = chosen.bundled_keys();
        let edge_users = sizes.users_an_edge(open_files);
        let plan = fleet::Plan { dir: dir.clone(), workers, chat_server, edges, edge_users, collector, rehearsal };
        self.dir = Some(dir);
        let fleet = Fleet::start(plan).await.or_exit(Exit::Unavailable)?;
        if let Some(page) = &fleet.page {
            progress.say(&format!("live at {page}"));
        }
        if chosen.bundled() {
            chosen.take_bundled(fleet.bundled.clone());
        }
        let control_plane = fleet.control_plane.clone();
        self.fleet = Some(fleet);
        Ok(control_plane)
    }

    fn request(&self, chosen: &Chosen, workers: u32, probes: u32) -> SubmitRequest {
        let out_dir = self.dir.as_deref().map(|d| d.display().to_string()).unwrap_or_default();
        SubmitRequest {
            scenario: Some(self.loaded.message()),
            target: Some(chosen.message()),
            out_dir,
            workers,
            probes,
            command: scenario::command(std::env::args_os().map(|word| word.to_string_lossy().into_owned())),
            run: self.id.clone(),
            build: env!("THRONG_BUILD").to_owned(),
            rehearsal_speed: self.rehearsal.as_ref().map_or(0.0, |rehearsal| rehearsal.speed),
        }
    }

    async fn stop_fleet(&mut self) {
        if let Some(fleet) = self.fleet.take() {
            fleet.stop().await;
        }
    }
}
