//! What workers and probes have in common: they dial out to the control plane, keep a lease, know how far its clock is
//! from theirs, and do one run at a time as they are told. What a run is to them is their own: a [`Work`]. Both start what
//! is due by the same [`Timer`].

mod agent;
mod beside;
mod link;
mod stage;
mod sync;
mod timer;

use std::fmt::Debug;

pub use sync::Known;
pub use timer::Timer;

use futures_util::future::BoxFuture;
use measure::{Clock, Timestamp};
use proto::control::{Adopt, Hello, Prepare};
use tls::Links;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What an agent does with a run.
pub trait Work: Send + 'static {
    /// A run that could begin at any moment.
    type Prepared: Send + 'static;

    /// Gets ready for a run. Its error says in words why that can't be done here.
    fn prepare(&self, order: Prepare) -> BoxFuture<'static, Result<Self::Prepared, String>>;

    /// Begins a prepared run. Must return at once; its error says in words what went wrong.
    ///
    /// # Errors
    /// When it can't begin.
    fn start(&self, prepared: Self::Prepared, begin: Begin) -> Result<Running, String>;
}

/// How a run begins.
#[derive(Debug)]
pub struct Begin {
    /// What the control plane calls us: our name in the run.
    pub source: String,
    /// The start instant, on the control plane's clock.
    pub at: Timestamp,
    /// The control plane's clock against ours, kept up to date.
    pub known: watch::Receiver<Known>,
    /// When to end it.
    pub ending: Ending,
}

/// A run that goes on.
pub struct Running {
    /// Ends when the run is over and all that was measured is shipped; its error says in words what went wrong.
    pub outcome: BoxFuture<'static, Result<(), String>>,
    /// Users connected, and users that should be.
    pub progress: Box<dyn Fn() -> (u64, u64) + Send>,
    /// When its load really began, on our clock; nothing before that, and of who makes none.
    pub began: Box<dyn Fn() -> Option<Timestamp> + Send>,
    /// Takes a lost worker's users over, if that can be done here. Must return at once.
    pub adopt: Option<Adopts>,
}

/// Its error says in words why these users can't be taken.
pub type Adopts = Box<dyn FnMut(&Adopt) -> Result<(), String> + Send>;

/// How fast a run should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// In order.
    Ordinary,
    /// The process must be gone within 4 s, of which a run has 3.5.
    Hurry,
}

/// Whether a run should end, and how fast.
#[derive(Clone, Debug)]
pub struct Ending(watch::Receiver<Option<Haste>>);

impl Ending {
    /// Waits until the run should end. An agent that is gone wants it to end in a hurry.
    pub async fn asked(&mut self) -> Haste {
        self.0.wait_for(Option::is_some).await.map_or(Haste::Hurry, |haste| haste.unwrap_or(Haste::Hurry))
    }

    /// Waits until it should end in a hurry.
    pub async fn hurried(&mut self) {
        // An error means that the agent is gone, which is a reason to hurry too.
        let _ = self.0.wait_for(|haste| *haste == Some(Haste::Hurry)).await;
    }

    /// How fast it should end by now.
    pub fn haste(&self) -> Haste {
        self.0.borrow().unwrap_or(Haste::Ordinary)
    }
}

/// Serves a control plane until `shutdown` is cancelled. A run that goes on then is ended in a hurry and shipped as far
/// as it came.
///
/// # Errors
/// When the control plane's address is none or must not be dialled so, it refuses this agent for good (another version),
/// or one side does not take the other's certificate at the first try.
pub async fn run<W: Work>(
    control_plane: String,
    links: Links,
    hello: Hello,
    work: W,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    agent::Agent::new(control_plane, links, hello, work, clock, shutdown).run().await
}

impl Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}
