//! One run of the data plane, shared by all who ship for it, ask for it, or close it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use measure::Timestamp;
use proto::otlp::ResourceMetrics;
use proto::telemetry::{
    CloseReply, CloseRequest, Goodbye, LiveReply, NoteRequest, OpenRequest, SealedInterval, SourceHello,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::close;
use crate::files;
use crate::journal::{Event, Journal};
use crate::live::live;
use crate::otlp;
use crate::run::RunState;
use crate::store::Refusal;
use crate::summary::so_far;

/// How often a collector is asked to take the last numbers of a run.
const LAST_TRIES: u32 = 12;

/// A run.
#[derive(Debug)]
pub(crate) struct RunCell {
    stage: Mutex<Stage>,
    /// Something came that may let the run close.
    changed: Notify,
    /// Held by the one who closes.
    closing: tokio::sync::Mutex<()>,
    /// The file that says that the run is open.
    entry: PathBuf,
    /// Whether somebody wants the numbers of the run once more when it has ended.
    pushes: bool,
}

#[derive(Debug)]
enum Stage {
    Open(Box<OpenRun>),
    Closing,
    Closed(Box<Closed>),
}

/// What is left of a run in memory.
#[derive(Clone, Debug)]
struct Closed {
    reply: CloseReply,
    live: LiveReply,
    /// Its numbers, until a collector has them.
    last: Option<ResourceMetrics>,
    /// How often a collector did not take them.
    misses: u32,
}

/// A run that is open: its state, and the journal that the state can be made from again.
#[derive(Debug)]
pub(crate) struct OpenRun {
    /// The state.
    pub state: RunState,
    journal: Journal,
}

impl OpenRun {
    /// Writes an event into the journal, then takes it.
    fn take(&mut self, event: Event) -> Result<(), Refusal> {
        let keep = event.clone();
        self.journal.append(event).map_err(|e| Refusal::disk(self.journal.path(), e))?;
        self.state.step(&keep);
        Ok(())
    }
}

impl RunCell {
    /// A run that is open, marked so by the file `entry`. With `pushes`, its last numbers are kept for a collector.
    pub(crate) fn new(state: RunState, journal: Journal, entry: PathBuf, pushes: bool) -> Self {
        let stage = Mutex::new(Stage::Open(Box::new(OpenRun { state, journal })));
        Self { stage, changed: Notify::new(), closing: tokio::sync::Mutex::default(), entry, pushes }
    }

    /// Whether nothing is taken any more.
    pub(crate) fn is_closed(&self) -> bool {
        !matches!(*self.lock(), Stage::Open(_))
    }

    /// The run is opened again: the first answer was late or lost.
    ///
    /// # Errors
    /// As all that come in: when the run is closed or the journal can't be written.
    pub(crate) fn open_again(&self, request: OpenRequest) -> Result<(), Refusal> {
        self.with(|run| {
            let known = run.state.opened.request == request;
            if known { Ok(()) } else { run.take(Event::Open(request)) }
        })
    }

    /// A source names itself.
    ///
    /// # Errors
    /// See [`Self::open_again`].
    pub(crate) fn hello(&self, hello: SourceHello) -> Result<(), Refusal> {
        self.with(|run| {
            let known = run.state.source(&hello.source).is_some_and(|s| s.hello == hello);
            if known { Ok(()) } else { run.take(Event::Hello(hello)) }
        })
    }

    /// An interval comes in; one that is here already is dropped. When this returns it is safe.
    ///
    /// # Errors
    /// See [`Self::open_again`].
    pub(crate) fn interval(&self, sealed: SealedInterval) -> Result<(), Refusal> {
        self.with(|run| {
            if run.state.has(&sealed.source, sealed.sequence) {
                run.state.repeats += 1;
                return Ok(());
            }
            run.take(Event::Interval(sealed))
        })
    }

    /// A source says that this was all.
    ///
    /// # Errors
    /// See [`Self::open_again`].
    pub(crate) fn goodbye(&self, goodbye: Goodbye) -> Result<(), Refusal> {
        self.with(|run| {
            let known = run.state.source(&goodbye.source).and_then(|s| s.goodbye.as_ref()) == Some(&goodbye);
            if known { Ok(()) } else { run.take(Event::Goodbye(goodbye)) }
        })?;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Something happened.
    ///
    /// # Errors
    /// See [`Self::open_again`].
    pub(crate) fn note(&self, note: NoteRequest) -> Result<(), Refusal> {
        self.with(|run| run.take(Event::Note(note)))
    }

    /// Something happened at the newest second that is complete.
    ///
    /// # Errors
    /// See [`Self::open_again`].
    pub(crate) fn note_now(&self, kind: &str, text: String) -> Result<(), Refusal> {
        self.with(|run| {
            // Notes are told by the control plane's clock.
            let since = Duration::from_secs(run.state.complete().into()).div_f64(run.state.speed());
            let at_ns = (Timestamp::from_nanos(run.state.opened.request.start_ns) + since).as_nanos();
            run.take(Event::Note(NoteRequest { run: self.name(), at_ns, kind: kind.to_owned(), text }))
        })
    }

    /// The last numbers of a run that has ended, if no collector has them yet.
    pub(crate) fn last_numbers(&self) -> Option<ResourceMetrics> {
        match &*self.lock() {
            Stage::Closed(closed) => closed.last.clone(),
            Stage::Open(_) | Stage::Closing => None,
        }
    }

    /// A collector did not take the last numbers; it is not asked for ever.
    pub(crate) fn miss_last_numbers(&self) {
        if let Stage::Closed(closed) = &mut *self.lock() {
            closed.misses += 1;
            closed.last.take_if(|_| closed.misses >= LAST_TRIES);
        }
    }

    /// A collector has the last numbers.
    pub(crate) fn forget_last_numbers(&self) {
        if let Stage::Closed(closed) = &mut *self.lock() {
            closed.last = None;
        }
    }

    /// The numbers of this second; of a closed run, those of its last.
    pub(crate) fn live(&self) -> LiveReply {
        match &*self.lock() {
            Stage::Open(run) => live(&run.state),
            Stage::Closing => LiveReply::default(),
            Stage::Closed(last) => last.live.clone(),
        }
    }

    /// Looks at the state of an open run.
    ///
    /// # Errors
    /// When it is closed.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut OpenRun) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match &mut *self.lock() {
            Stage::Open(run) => f(run),
            Stage::Closing | Stage::Closed(_) => Err(Refusal::Closed(self.name())),
        }
    }

    /// How much has come so far; rises with everything that a page of the run would show.
    pub(crate) fn news(&self) -> u64 {
        match &*self.lock() {
            Stage::Open(run) => run.state.news(),
            Stage::Closing | Stage::Closed(_) => 0,
        }
    }

    /// Renders the page of a run that goes on, from a snapshot, so that nobody who ships waits for it.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) async fn show(&self) -> Result<(), Refusal> {
        let Ok(snapshot) = self.with(|run| Ok(run.state.snapshot())) else { return Ok(()) };
        let page = tokio::task::spawn_blocking(move || {
            (snapshot.opened.dir.join(files::REPORT), crate::render::html(&so_far(&snapshot)))
        });
        let (path, html) = page.await.map_err(|e| Refusal::Report(e.into()))?;
        // Whoever closes the run writes its last page: ours must not come after that.
        let Ok(_one) = self.closing.try_lock() else { return Ok(()) };
        if self.is_closed() {
            return Ok(());
        }
        files::write(&path, html.as_bytes()).map_err(|e| Refusal::disk(&path, e))
    }

    /// Closes the run: waits for those who have not said goodbye, then judges and writes all files. Again: answers the
    /// same.
    ///
    /// # Errors
    /// When files can't be written; the run is then still open.
    pub(crate) async fn close(&self, request: CloseRequest) -> Result<CloseReply, Refusal> {
        let _one = self.closing.lock().await;
        if let Stage::Closed(last) = &*self.lock() {
            return Ok(last.reply.clone());
        }
        self.wait(&request).await;
        let Stage::Open(mut run) = std::mem::replace(&mut *self.lock(), Stage::Closing) else {
            return Err(Refusal::Closed(self.name()));
        };
        let pushes = self.pushes;
        let closed = tokio::task::spawn_blocking(move || {
            let live = live(&run.state);
            let reply = run.take(Event::Closed(request.clone())).and_then(|()| close::write(&mut run.state, &request));
            let last = pushes.then(|| otlp::metrics(&run.state));
            (run, reply.map(|reply| Closed { reply, live, last, misses: 0 }))
        });
        let (run, closed) = closed.await.map_err(|e| Refusal::Report(e.into()))?;
        let (stage, answer) = match closed {
            Ok(closed) => {
                let reply = closed.reply.clone();
                (Stage::Closed(Box::new(closed)), Ok(reply))
            }
            Err(e) => (Stage::Open(run), Err(e)),
        };
        *self.lock() = stage;
        if answer.is_ok() {
            self.unmark();
        }
        answer
    }

    /// The run is open no more; the last one's mark takes their directory with it.
    fn unmark(&self) {
        if let Err(e) = std::fs::remove_file(&self.entry) {
            tracing::warn!(entry = %self.entry.display(), "can't remove the mark of an open run: {e}");
        }
        if let Some(marks) = self.entry.parent() {
            // Fails while other runs are open, as it should.
            let _ = std::fs::remove_dir(marks);
        }
    }

    async fn wait(&self, request: &CloseRequest) {
        let deadline = Instant::now() + Duration::from_millis(request.wait_ms.into());
        loop {
            let changed = self.changed.notified();
            let all_said_goodbye = match &*self.lock() {
                Stage::Open(run) => run.state.outstanding(&request.lost_sources).next().is_none(),
                Stage::Closing | Stage::Closed(_) => true,
            };
            if all_said_goodbye || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return;
            }
        }
    }

    fn name(&self) -> String {
        self.entry.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
