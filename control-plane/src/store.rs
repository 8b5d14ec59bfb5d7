//! Runs on disk: one file of JSON lines for each, so that a control plane that comes back knows what was.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::run::{Outcome, RunState, Verdict};
use crate::view::{EventView, RunView};

/// Runs of earlier lives that are known; older ones stay on disk.
const EARLIER_MAX: usize = 1_000;

/// A line of a run's file. Nothing secret is in it: neither scenario nor target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The run as it was submitted; always the first line.
    Submitted(Box<RunView>),
    /// It stands somewhere else now.
    State(RunState),
    /// Something happened.
    Event(EventView),
    /// The run as it ended; always the last line.
    Ended(Box<RunView>),
}

/// The directory of runs, or none.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Option<PathBuf>,
}

impl Store {
    /// Opens the directory, which is made if need be.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let runs = dir.map(|d| d.join("runs"));
        if let Some(runs) = &runs {
            std::fs::create_dir_all(runs)?;
        }
        Ok(Self { dir: runs })
    }

    /// The newest runs of earlier lives, oldest first. One that did not end was interrupted.
    pub(crate) fn earlier(&self) -> Vec<RunView> {
        let Some(dir) = &self.dir else { return Vec::new() };
        let files = match std::fs::read_dir(dir) {
            Ok(files) => files.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")),
            Err(error) => {
                tracing::warn!("can't list {}: {error}", dir.display());
                return Vec::new();
            }
        };
        let read = |path: PathBuf| match read(&path) {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!("can't read {}: {error}", path.display());
                None
            }
        };
        let mut runs: Vec<RunView> = files.filter_map(read).collect();
        runs.sort_by(|a, b| (&a.submitted, &a.id).cmp(&(&b.submitted, &b.id)));
        runs.drain(..runs.len().saturating_sub(EARLIER_MAX));
        runs
    }

    /// Keeps a run that was submitted.
    pub(crate) fn submitted(&self, view: &RunView) {
        self.append(&view.id, &Line::Submitted(Box::new(view.clone())));
    }

    /// Keeps where a run stands.
    pub(crate) fn state(&self, run: &str, state: RunState) {
        self.append(run, &Line::State(state));
    }

    /// Keeps a line of a run's story.
    pub(crate) fn event(&self, run: &str, event: &EventView) {
        self.append(run, &Line::Event(event.clone()));
    }

    /// Keeps how a run ended.
    pub(crate) fn ended(&self, view: &RunView) {
        self.append(&view.id, &Line::Ended(Box::new(view.clone())));
    }

    /// A run is worth more than its record: a full disk is logged, and the run goes on.
    fn append(&self, run: &str, line: &Line) {
        let Some(dir) = &self.dir else { return };
        let path = dir.join(format!("{run}.jsonl"));
        let write = || -> io::Result<()> {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(&bytes)
        };
        if let Err(error) = write() {
            tracing::warn!("can't write {}: {error}", path.display());
        }
    }
}

/// What a run's file says; a last line that was cut off by a crash is passed over.
fn read(path: &Path) -> io::Result<Option<RunView>> {
    let mut run: Option<RunView> = None;
    for line in BufReader::new(File::open(path)?).lines() {
        match (serde_json::from_str(&line?), &mut run) {
            (Ok(Line::Submitted(view) | Line::Ended(view)), _) => run = Some(*view),
            (Ok(Line::Event(event)), Some(run)) => run.events.push(event),
            (Ok(Line::State(state)), Some(run)) => run.state = state,
            _ => {}
        }
    }
    Ok(run.map(interrupted))
}

fn interrupted(mut run: RunView) -> RunView {
    if run.state != RunState::Ended || run.verdict.is_none() {
        run.state = RunState::Ended;
        let reasons = vec!["the control plane ended before the run did".to_owned()];
        run.verdict = Some(Verdict { outcome: Outcome::Invalid, reasons, interrupted: true });
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: &str) -> RunView {
        RunView {
            id: id.to_owned(),
            name: "quickstart".to_owned(),
            submitted: "2026-11-24T03:00:00Z".to_owned(),
            state: RunState::Queued,
            phase: String::new(),
            elapsed_s: 0.0,
            planned_s: 40.0,
            users: 1_000,
            live: None,
            workers: Vec::new(),
            events: Vec::new(),
            verdict: None,
            dir: String::new(),
            report_path: String::new(),
        }
    }

    #[test]
    fn what_was_kept_is_known_to_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Some(dir.path())).unwrap();
        store.submitted(&view("a"));
        store.state("a", RunState::Running);
        store.event("a", &EventView { at_s: 0.0, kind: "started".to_owned(), text: "the run starts".to_owned() });
        store.submitted(&view("b"));
        let verdict = Verdict { outcome: Outcome::Passed, reasons: Vec::new(), interrupted: false };
        store.ended(&RunView { state: RunState::Ended, verdict: Some(verdict.clone()), ..view("b") });
        // A crash in mid-write.
        let mut file = OpenOptions::new().append(true).open(dir.path().join("runs/a.jsonl")).unwrap();
        file.write_all(b"{\"event\":{\"at_").unwrap();

        let earlier = Store::open(Some(dir.path())).unwrap().earlier();
        assert_eq!(earlier.len(), 2);
        assert_eq!(earlier[0].events.len(), 1);
        assert!(earlier[0].verdict.as_ref().unwrap().interrupted);
        assert_eq!(earlier[1].verdict, Some(verdict));
        assert!(Store::open(None).unwrap().earlier().is_empty());
    }
}
