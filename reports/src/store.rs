//! The runs that the data plane has, in memory and on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use proto::telemetry::OpenRequest;

use crate::cell::RunCell;
use crate::files;
use crate::journal::{self, Event, Journal};
use crate::opened::{self, Parse};
use crate::recover::Replay;
use crate::run::{Opened, RunState};

/// In the runs directory: one file for each open run, named as the run, which holds the path of the run's directory.
const OPEN_RUNS: &str = ".open";

/// Why the data plane refuses something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The run's id can't be a file name.
    #[error("{0:?} can't name a run: use letters, digits, '-', '_' and '.', at most 100 of them")]
    Name(String),
    /// The scenario doesn't parse here.
    #[error("the scenario can't be understood: {0}")]
    Scenario(String),
    /// Nobody opened the run, or another data plane did.
    #[error("run {0:?} is not open here")]
    NotOpen(String),
    /// It is over; what comes now can't be in its report any more.
    #[error("run {0:?} is closed; its report is written")]
    Closed(String),
    /// A stream's first shipment must be a hello.
    #[error("the first shipment of a stream must be a hello that names run and source")]
    NoHello,
    /// Files can't be written.
    #[error("can't write {}: {source}; free some space or make it writable, and it goes on", path.display())]
    Disk {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The result could not be made.
    #[error("the run can't be closed: {0:#}")]
    Report(anyhow::Error),
}

impl Refusal {
    /// Of a path and what happened there.
    pub(crate) fn disk(path: &Path, source: std::io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source }
    }
}

/// All runs.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    parse: Parse,
    /// Whether the last numbers of each run are kept for a collector.
    pushes: bool,
    runs: Mutex<HashMap<String, Arc<RunCell>>>,
}

impl Store {
    /// The store in `dir`, with all runs that were open when it was last in use, as their journals have them.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub(crate) fn recover(dir: &Path, parse: Parse, pushes: bool) -> Result<Self, Refusal> {
        let open = dir.join(OPEN_RUNS);
        files::writable(dir).and_then(|()| std::fs::create_dir_all(&open)).map_err(|e| Refusal::disk(dir, e))?;
        let dir = dir.canonicalize().map_err(|e| Refusal::disk(dir, e))?;
        let store = Self { dir, parse, pushes, runs: Mutex::default() };
        for entry in std::fs::read_dir(&open).map_err(|e| Refusal::disk(&open, e))?.flatten() {
            let run = entry.file_name().to_string_lossy().into_owned();
            match store.reopen(&run, &entry.path()) {
                Ok(cell) => {
                    tracing::info!(run, "went on with an open run from its journal");
                    store.lock().insert(run, Arc::new(cell));
                }
                Err(e) => tracing::warn!(run, "can't go on with a run that was open: {e:#}"),
            }
        }
        Ok(store)
    }

    fn reopen(&self, run: &str, entry: &Path) -> anyhow::Result<RunCell> {
        let dir = PathBuf::from(std::fs::read_to_string(entry)?.trim());
        let mut replay = Replay::new(dir.clone(), self.parse);
        let journal = Journal::reopen(&dir.join(journal::FILE), |event| replay.take(&event))?;
        let (state, _) = replay.done()?;
        anyhow::ensure!(state.opened.request.run == run, "its journal is of another run");
        let cell = RunCell::new(state, journal, entry.to_owned(), self.pushes);
        let text = "the data plane was started again and read the run's journal".to_owned();
        if let Err(e) = cell.note_now("data_plane_back", text) {
            tracing::warn!(run, "the report won't say that the data plane was started again: {e}");
        }
        Ok(cell)
    }

    /// Opens a run, or finds that it is open.
    ///
    /// # Errors
    /// When the request makes no sense, the run is over, or its files can't be written.
    pub(crate) fn open(&self, request: OpenRequest) -> Result<Arc<RunCell>, Refusal> {
        if !opened::is_name(&request.run) {
            return Err(Refusal::Name(request.run));
        }
        let mut runs = self.lock();
        if let Some(cell) = runs.get(&request.run) {
            return cell.open_again(request).map(|()| cell.clone());
        }
        let scenario = (self.parse)(&request).map_err(Refusal::Scenario)?;
        let dir = self.make_dir(&request)?;
        let path = dir.join(journal::FILE);
        let mut journal = Journal::create(&path).map_err(|e| Refusal::disk(&path, e))?;
        journal.append(Event::Open(request.clone())).map_err(|e| Refusal::disk(&path, e))?;
        let entry = self.dir.join(OPEN_RUNS).join(&request.run);
        files::writable(&self.dir.join(OPEN_RUNS)).map_err(|e| Refusal::disk(&entry, e))?;
        files::write(&entry, dir.to_string_lossy().as_bytes()).map_err(|e| Refusal::disk(&entry, e))?;
        let run = request.run.clone();
        let state = RunState::new(Opened { request, scenario: scenario.into(), dir });
        let cell = Arc::new(RunCell::new(state, journal, entry, self.pushes));
        runs.insert(run, cell.clone());
        Ok(cell)
    }

    /// The run's directory, with the scenario as it was written and nothing of a run before it.
    fn make_dir(&self, request: &OpenRequest) -> Result<PathBuf, Refusal> {
        let dir = match request.out_dir.as_str() {
            "" => self.dir.join(&request.run),
            named => PathBuf::from(named),
        };
        let made = files::writable(&dir).and_then(|()| {
            files::clear(&dir)?;
            files::write(&dir.join(files::SCENARIO), &request.scenario)?;
            dir.canonicalize()
        });
        made.map_err(|e| Refusal::disk(&dir, e))
    }

    /// A run that was opened.
    ///
    /// # Errors
    /// When it wasn't.
    pub(crate) fn run(&self, run: &str) -> Result<Arc<RunCell>, Refusal> {
        self.lock().get(run).cloned().ok_or_else(|| Refusal::NotOpen(run.to_owned()))
    }

    /// The runs that are open.
    pub(crate) fn open_runs(&self) -> Vec<Arc<RunCell>> {
        self.lock().values().filter(|cell| !cell.is_closed()).cloned().collect()
    }

    /// All runs, those that are over included.
    pub(crate) fn all_runs(&self) -> Vec<Arc<RunCell>> {
        self.lock().values().cloned().collect()
    }

    /// The runs directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<RunCell>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
