//! How long each thing may take. Every wait of a run has one of these as its deadline.

use std::time::Duration;

/// Deadlines of the control plane. The defaults suit a fleet on one machine as well as one over several hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An agent that says nothing for so long is lost.
    pub lease: Duration,
    /// An agent goes on with its run for so long while it hears nothing of us; then it stops by itself. A control plane
    /// that is started again waits as long for its agents.
    pub alone: Duration,
    /// The same of workers whose users others take over when they are lost; they end in a hurry then.
    pub alone_redistributed: Duration,
    /// How long after a worker was lost its load has surely ended: its time alone, and ending in a hurry. Then others may have
    /// its users.
    pub handover: Duration,
    /// How long a run waits, once it is its turn, for workers that can hold its users.
    pub queue: Duration,
    /// How long agents may take to answer a Prepare. All attempts of a run together may take three times that.
    pub prepare: Duration,
    /// How long agents may take to put a Prepare away before they are prepared for another shard.
    pub recall: Duration,
    /// How long the data plane may take to open a run, retries included.
    pub open: Duration,
    /// From the decision to start to the start instant, where all agents share the control plane's clock.
    pub start_margin: Duration,
    /// The same where an agent has another clock: its offset is an estimate and its link is longer.
    pub start_margin_remote: Duration,
    /// How long workers may go on after the planned end before they are told to stop; more than users may take to settle.
    pub overrun: Duration,
    /// How long agents may take to say Finished after a Stop: calls on their way come back, and what was measured is
    /// shipped, to a data plane that may be away for a while.
    pub drain: Duration,
    /// The same when somebody waits at a terminal.
    pub drain_interrupted: Duration,
    /// How long the data plane waits for the last intervals of sources that are alive.
    pub goodbye: Duration,
    /// How long the data plane may take to close a run, retries included; more than `goodbye`.
    pub report: Duration,
    /// The same for a data plane that did not answer before it was asked; less than what it was given until then. Its
    /// journal, and what workers and probes kept, can be reported later.
    pub report_silent: Duration,
    /// The same for a run that was stopped before its start: there is nothing to render.
    pub unstarted: Duration,
    /// How long the control plane may take to end when told to. The run that is on gets a quarter of it to stop its
    /// workers, a quarter for its probes, and the rest to be closed.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            lease: s(3),
            alone: s(15),
            alone_redistributed: s(6),
            handover: s(10),
            queue: s(60),
            prepare: s(30),
            recall: s(2),
            open: s(20),
            start_margin: Duration::from_millis(300),
            start_margin_remote: s(1),
            overrun: s(75),
            drain: s(60),
            drain_interrupted: s(15),
            goodbye: s(10),
            report: s(60),
            report_silent: s(5),
            unstarted: s(3),
            shutdown: Duration::from_millis(3_500),
        }
    }
}

impl Limits {
    /// The longest that a run with this planned duration can take from its turn to its end, whatever fails.
    pub fn longest(&self, planned: Duration) -> Duration {
        let before = self.queue + 3 * self.prepare + self.open + 2 * Self::START_MARGIN_MAX;
        let after = self.overrun + 2 * self.drain + self.report;
        before + planned + after
    }

    /// Margins double when the data plane is slow to open a run, up to this.
    pub(crate) const START_MARGIN_MAX: Duration = Duration::from_secs(5);
}
