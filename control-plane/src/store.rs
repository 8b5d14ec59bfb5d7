//! Runs on disk: one file of JSON lines for each, so that a control plane that comes back knows what was.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::control::SubmitRequest;
use serde::{Deserialize, Serialize};

use crate::run::{Outcome, RunState, Saved, Verdict};
use crate::view::{EventView, RunView};

/// Runs of earlier lives that are known; older ones stay on disk.
const EARLIER_MAX: usize = 1_000;

/// A line of a run's file. Nothing secret is in it: neither scenario nor target, which lie beside it while the run goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The run as it was submitted; always the first line.
    Submitted(Box<RunView>),
    /// It stands somewhere else now.
    State(RunState),
    /// Something happened.
    Event(EventView),
    /// What the next life needs to go on; the last one counts.
    Kept(Box<Kept>),
    /// The run as it ended; always the last line.
    Ended(Box<RunView>),
}

/// What the next life needs beside the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Names the clock of its instants.
    pub(crate) clock_id: String,
    /// The run's directory at the data plane.
    pub(crate) dir: String,
    /// The run.
    pub(crate) run: Saved,
}

/// A run that an earlier life did not end, and that this one can go on with. It holds secrets, so it has no `Debug`.
pub(crate) struct Unfinished {
    pub(crate) view: RunView,
    pub(crate) kept: Kept,
    pub(crate) request: SubmitRequest,
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
            DirBuilder::new().recursive(true).mode(0o700).create(runs)?;
        }
        Ok(Self { dir: runs })
    }

    /// The newest runs of earlier lives, oldest first, and those that can go on. One that did not end, and can't go on
    /// (it began on another clock), was interrupted.
    pub(crate) fn earlier(&self, clock_id: &str) -> (Vec<RunView>, Vec<Unfinished>) {
        let Some(dir) = &self.dir else { return (Vec::new(), Vec::new()) };
        let files = match std::fs::read_dir(dir) {
            Ok(files) => files.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")),
            Err(error) => {
                tracing::warn!("can't list {}: {error}", dir.display());
                return (Vec::new(), Vec::new());
            }
        };
        let read = |path: PathBuf| match read(&path) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("can't read {}: {error}", path.display());
                None
            }
        };
        let mut runs: Vec<(RunView, Option<Kept>)> = files.filter_map(read).collect();
        runs.sort_by(|(a, _), (b, _)| (&a.submitted, &a.id).cmp(&(&b.submitted, &b.id)));
        runs.drain(..runs.len().saturating_sub(EARLIER_MAX));
        let (mut earlier, mut unfinished) = (Vec::new(), Vec::new());
        for (view, kept) in runs {
            let over = view.state == RunState::Ended && view.verdict.is_some();
            let kept = kept.filter(|k| !over && (k.clock_id == clock_id || !k.run.has_instants()));
            match kept.and_then(|kept| Some((kept, self.request(&view.id)?))) {
                Some((kept, request)) => unfinished.push(Unfinished { view, kept, request }),
                None => {
                    self.forget_request(&view.id);
                    earlier.push(interrupted(view));
                }
            }
        }
        (earlier, unfinished)
    }

    /// The request of a run that isn't over, secrets and all, in a file that only its owner can read.
    fn request_path(&self, run: &str) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{run}.request")))
    }

    fn request(&self, run: &str) -> Option<SubmitRequest> {
        let bytes = std::fs::read(self.request_path(run)?).ok()?;
        SubmitRequest::decode(&bytes[..]).ok()
    }

    fn keep_request(&self, run: &str, request: &SubmitRequest) {
        let Some(path) = self.request_path(run) else { return };
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
            file.write_all(&request.encode_to_vec())?;
            file.sync_all()
        };
        if let Err(error) = write() {
            tracing::warn!("can't write {}: {error}", path.display());
        }
    }

    fn forget_request(&self, run: &str) {
        if let Some(path) = self.request_path(run)
            && let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("can't remove {}: {error}", path.display());
        }
    }

    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        self.dir.is_some()
    }

    /// Keeps a run that was submitted.
    pub(crate) fn submitted(&self, view: &RunView, request: &SubmitRequest) {
        self.keep_request(&view.id, request);
        self.append(&view.id, &Line::Submitted(Box::new(view.clone())), true);
    }

    /// Keeps what the next life needs; with `sync` it is on the disk before anybody is told.
    pub(crate) fn kept(&self, run: &str, kept: Kept, sync: bool) {
        self.append(run, &Line::Kept(Box::new(kept)), sync);
    }

    /// Keeps where a run stands.
    pub(crate) fn state(&self, run: &str, state: RunState) {
        self.append(run, &Line::State(state), false);
    }

    /// Keeps a line of a run's story.
    pub(crate) fn event(&self, run: &str, event: &EventView) {
        self.append(run, &Line::Event(event.clone()), false);
    }

    /// Keeps how a run ended.
    pub(crate) fn ended(&self, view: &RunView) {
        self.append(&view.id, &Line::Ended(Box::new(view.clone())), true);
        self.forget_request(&view.id);
    }

    /// A run is worth more than its record: a full disk is logged, and the run goes on.
    fn append(&self, run: &str, line: &Line, sync: bool) {
        let Some(dir) = &self.dir else { return };
        let path = dir.join(format!("{run}.jsonl"));
        let write = || -> io::Result<()> {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            file.write_all(&bytes)?;
            if sync { file.sync_data() } else { Ok(()) }
        };
        if let Err(error) = write() {
            tracing::warn!("can't write {}: {error}", path.display());
        }
    }
}

/// What a run's file says; a last line that was cut off by a crash is passed over.
fn read(path: &Path) -> io::Result<Option<(RunView, Option<Kept>)>> {
    let (mut run, mut last): (Option<RunView>, _) = (None, None);
    for line in BufReader::new(File::open(path)?).lines() {
        match (serde_json::from_str(&line?), &mut run) {
            (Ok(Line::Submitted(view) | Line::Ended(view)), _) => run = Some(*view),
            (Ok(Line::Event(event)), Some(run)) => run.events.push(event),
            (Ok(Line::State(state)), Some(run)) => run.state = state,
            (Ok(Line::Kept(kept)), Some(_)) => last = Some(*kept),
            _ => {}
        }
    }
    Ok(run.map(|run| (run, last)))
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
        store.submitted(&view("a"), &SubmitRequest::default());
        store.state("a", RunState::Running);
        store.event("a", &EventView { at_s: 0.0, kind: "started".to_owned(), text: "the run starts".to_owned() });
        store.submitted(&view("b"), &SubmitRequest::default());
        let verdict = Verdict { outcome: Outcome::Passed, reasons: Vec::new(), interrupted: false };
        store.ended(&RunView { state: RunState::Ended, verdict: Some(verdict.clone()), ..view("b") });
        // A crash in mid-write.
        let mut file = OpenOptions::new().append(true).open(dir.path().join("runs/a.jsonl")).unwrap();
        file.write_all(b"{\"event\":{\"at_").unwrap();

        let earlier = Store::open(Some(dir.path())).unwrap().earlier("clock").0;
        assert_eq!(earlier.len(), 2);
        assert_eq!(earlier[0].events.len(), 1);
        assert!(earlier[0].verdict.as_ref().unwrap().interrupted);
        assert_eq!(earlier[1].verdict, Some(verdict));
        assert!(Store::open(None).unwrap().earlier("clock").0.is_empty());
    }
}
