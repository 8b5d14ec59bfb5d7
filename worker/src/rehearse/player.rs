//! The thread that a simulated worker's users live on: asked to go on to an instant, it does, and says so.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use measure::{SharedRecorder, Timestamp};
use scenarios::{Scenario, Shard};

use super::canaries::Canaries;
use super::latency::Latency;
use super::losses::{Losses, Piece};
use super::simulation::Simulation;
use crate::load::Progress;

/// A second of a large worker takes some milliseconds; a machine that needs so long has stopped.
const WITHIN: Duration = Duration::from_secs(20);

/// How far simulated users give way, as `nice` counts: nobody times them, and the planes are who is rehearsed.
const NICENESS: i32 = 10;

/// What there is to play.
pub(super) struct Part {
    pub(super) scenario: Scenario,
    /// A worker's users; `None`: the canaries.
    pub(super) shard: Option<Shard>,
    pub(super) recorder: SharedRecorder,
    pub(super) progress: Arc<Progress>,
    pub(super) losses: Arc<Losses>,
    /// Users that it takes over, to be told before they are its own: taken out of here by the next turn.
    pub(super) taken: Arc<Mutex<Vec<Piece>>>,
    /// The start instant, in run time.
    pub(super) start: Timestamp,
}

#[derive(Clone, Copy, Debug)]
enum Cue {
    /// On to an instant since the run's start.
    Advance(Duration),
    /// The run ends then.
    Settle(Duration),
}

/// A handle to the thread.
#[derive(Clone, Debug)]
pub(super) struct Player(SyncSender<(Cue, SyncSender<()>)>);

impl Player {
    /// Starts the thread; it ends when all handles are gone.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(super) fn start(part: Part) -> std::io::Result<Self> {
        let (cues, told) = sync_channel(1);
        std::thread::Builder::new().name("simulated".into()).spawn(move || {
            // Of this thread alone, on Linux. Where it is refused, users only take more from those who are rehearsed.
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::debug!(%error, "simulated users give way to nobody");
            }
            play(&part, &told);
        })?;
        Ok(Self(cues))
    }

    /// Brings everything up to an instant into the recorder. Blocks for as long as that takes.
    pub(super) fn advance(&self, until: Duration) {
        self.cue(Cue::Advance(until));
    }

    /// Ends the run: everybody settles. Blocks.
    pub(super) fn settle(&self, at: Duration) {
        self.cue(Cue::Settle(at));
    }

    fn cue(&self, cue: Cue) {
        let (done, is_done) = sync_channel(1);
        if self.0.send((cue, done)).is_err() || is_done.recv_timeout(WITHIN).is_err() {
            tracing::error!("the simulated users stand still");
        }
    }
}

fn play(part: &Part, cues: &Receiver<(Cue, SyncSender<()>)>) {
    let Part { scenario, shard, recorder, progress, losses, taken, start } = part;
    let latency = Latency::of(scenario);
    let recorder = recorder.clone();
    match shard {
        Some(shard) => {
            let own = (recorder, Arc::clone(progress));
            let mut users = Simulation::new(scenario, &latency, losses, *shard, own, *start);
            follow(cues, |cue| {
                let pieces = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
                pieces.into_iter().for_each(|piece| users.take_over(piece));
                match cue {
                    Cue::Advance(until) => users.advance(until),
                    Cue::Settle(at) => users.settle(at),
                }
            });
        }
        None => {
            let mut canaries = Canaries::new(scenario, &latency, losses, recorder);
            follow(cues, |cue| match cue {
                Cue::Advance(until) | Cue::Settle(until) => canaries.advance(until),
            });
        }
    }
}

fn follow(cues: &Receiver<(Cue, SyncSender<()>)>, mut play: impl FnMut(Cue)) {
    // Ends with the last handle: the run is over, or its worker was killed.
    while let Ok((cue, done)) = cues.recv() {
        play(cue);
        // Whoever asked may have given up.
        let _ = done.send(());
    }
}
