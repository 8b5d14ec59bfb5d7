//! A run that was never closed, as its journal has it: what came in before its data plane was lost.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use proto::telemetry::{CloseRequest, Shipment, shipment};

use crate::journal::{self, Event};
use crate::opened::{Parse, understand};
use crate::result::RunResult;
use crate::run::{Opened, RunState};
use crate::summary::summarize;

/// Makes the state of a run from the events of its journal.
#[derive(Debug)]
pub(crate) struct Replay {
    dir: PathBuf,
    parse: Parse,
    state: Option<RunState>,
    failure: Option<String>,
    closed: Option<CloseRequest>,
}

impl Replay {
    /// Of the run whose files are in `dir`.
    pub(crate) fn new(dir: PathBuf, parse: Parse) -> Self {
        Self { dir, parse, state: None, failure: None, closed: None }
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, event: &Event) {
        match (event, &mut self.state) {
            (Event::Open(request), None) => match (self.parse)(request) {
                Ok(scenario) => {
                    let opened = Opened { request: request.clone(), scenario: scenario.into(), dir: self.dir.clone() };
                    self.state = Some(RunState::new(opened));
                }
                Err(e) => self.failure = Some(e),
            },
            (event, Some(state)) => {
                if let Event::Closed(request) = event {
                    self.closed = Some(request.clone());
                }
                state.step(event);
            }
            (_, None) => {}
        }
    }

    /// The run, and how it was to be closed, if somebody asked for that.
    ///
    /// # Errors
    /// When the journal has no run that can be understood.
    pub(crate) fn done(self) -> anyhow::Result<(RunState, Option<CloseRequest>)> {
        if let Some(why) = self.failure {
            anyhow::bail!("its scenario can't be understood: {why}");
        }
        Ok((self.state.context("its journal holds no run")?, self.closed))
    }
}

/// Whether a directory holds a run that was never closed.
pub(crate) fn is_unclosed(run_dir: &Path) -> bool {
    run_dir.join(journal::FILE).is_file()
}

/// The run of a directory that has a journal and no result; and how to close it.
///
/// # Errors
/// When the journal can't be read, or holds no run.
pub(crate) fn state(run_dir: &Path) -> anyhow::Result<(RunState, CloseRequest)> {
    let path = run_dir.join(journal::FILE);
    let mut replay = Replay::new(run_dir.to_owned(), understand);
    let torn =
        journal::read(&path, |event| replay.take(&event)).with_context(|| format!("can't read {}", path.display()))?;
    let (mut state, closed) = replay.done().with_context(|| format!("{} can't be reported", path.display()))?;
    let kept = take_kept(&mut state, run_dir)?;
    state.finish();
    let close = closed.unwrap_or_else(|| unclosed(&state, kept, torn));
    Ok((state, close))
}

/// What that run says.
///
/// # Errors
/// See [`state`].
pub(crate) fn result(run_dir: &Path) -> anyhow::Result<RunResult> {
    let (state, close) = state(run_dir)?;
    Ok(summarize(&state, &close))
}

/// Adds what workers and probes kept because there was no data plane to take it; answers how many intervals were new.
fn take_kept(state: &mut RunState, run_dir: &Path) -> anyhow::Result<u64> {
    let before = state.news();
    let Ok(entries) = std::fs::read_dir(run_dir.join(proto::kept::DIR)) else { return Ok(0) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| proto::kept::is_file(p)).collect();
    files.sort();
    for path in files {
        let read = proto::kept::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        for Shipment { shipment } in read {
            match shipment {
                Some(shipment::Shipment::Hello(hello)) if hello.run == state.opened.request.run => {
                    state.step(&Event::Hello(hello));
                }
                // Of another run that used the directory before.
                Some(shipment::Shipment::Hello(_)) => break,
                Some(shipment::Shipment::Interval(sealed)) => state.step(&Event::Interval(sealed)),
                Some(shipment::Shipment::Goodbye(goodbye)) => state.step(&Event::Goodbye(goodbye)),
                None => {}
            }
        }
    }
    Ok(state.news() - before)
}

/// Nobody closed it: why it can't be trusted, in words.
fn unclosed(state: &RunState, kept: u64, torn: u64) -> CloseRequest {
    let mut reason =
        "The run was never closed: its data plane was lost, or still has it open. This is what its journal \
                      holds"
            .to_owned();
    if kept > 0 {
        reason.push_str(&format!(", and {kept} intervals that workers and probes kept"));
    }
    reason.push_str(if torn > 0 { "; its last record is torn and left out." } else { "." });
    CloseRequest {
        run: state.opened.request.run.clone(),
        interrupted: true,
        invalid_reasons: vec![reason],
        ..CloseRequest::default()
    }
}
