//! What goes to and from the data plane while a run is open: notes out, the second's numbers in, and the close.

use std::collections::VecDeque;
use std::time::Duration;

use proto::telemetry::{CloseReply, CloseRequest, LiveReply, NoteRequest, OpenReply};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::data_plane::{DataPlane, Failure};

/// Notes that wait while the data plane is away; later ones are dropped, and the log says so.
const NOTES_MAX: usize = 1_024;
/// Numbers are asked for so often.
const LIVE_EVERY: Duration = Duration::from_secs(1);

/// What the courier is told.
pub(crate) enum Errand {
    /// Bring this line to the report.
    Note(NoteRequest),
    /// Close the run, until this instant; then the courier is done.
    Close(CloseRequest, Instant),
}

/// What comes from the data plane.
pub(crate) enum News {
    /// The run is open, or isn't.
    Opened(Result<OpenReply, Failure>),
    /// The numbers of this second, or that there is no answer.
    Live(Result<LiveReply, Failure>),
    /// The run is closed, or isn't.
    Closed(Result<CloseReply, Failure>),
}

/// Runs errands for one open run until it is closed or nobody sends errands any more.
pub(crate) async fn run(
    data_plane: DataPlane,
    run: String,
    mut errands: mpsc::Receiver<Errand>,
    tell: mpsc::Sender<(String, News)>,
) {
    let mut notes = VecDeque::new();
    // While there is no answer, notes only queue up, so that a Close never waits behind them.
    let mut is_up = true;
    let mut second = interval(LIVE_EVERY);
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            errand = errands.recv() => match errand {
                Some(Errand::Note(note)) if notes.len() < NOTES_MAX => {
                    notes.push_back(note);
                    is_up = is_up && deliver(&data_plane, &mut notes).await;
                }
                Some(Errand::Note(note)) => {
                    tracing::warn!(run, kind = note.kind, "a note is dropped: the data plane is away");
                }
                Some(Errand::Close(request, until)) => {
                    deliver(&data_plane, &mut notes).await;
                    let answer = data_plane.close(&request, until).await;
                    if tell.send((run, News::Closed(answer))).await.is_err() {
                        tracing::debug!("the control plane ended before the run was closed");
                    }
                    return;
                }
                None => return,
            },
            _ = second.tick() => {
                let answer = data_plane.live(&run).await;
                is_up = answer.is_ok();
                if tell.send((run.clone(), News::Live(answer))).await.is_err() {
                    return;
                }
                is_up = is_up && deliver(&data_plane, &mut notes).await;
            }
        }
    }
}

/// Brings notes in order; those that fail for want of an answer stay for the next time. False if there was none.
async fn deliver(data_plane: &DataPlane, notes: &mut VecDeque<NoteRequest>) -> bool {
    while let Some(note) = notes.front() {
        match data_plane.note(note.clone()).await {
            Err(failure) if !failure.refused => return false,
            Err(failure) => tracing::warn!(run = note.run, "the data plane refused a note: {}", failure.reason),
            Ok(()) => {}
        }
        notes.pop_front();
    }
    true
}
