//! What throng writes into a message so that every receiver can tell which one it is and when it was due.

use serde::{Deserialize, Serialize};

/// The custom field `throng` of a message. Times are nanoseconds of run time (the control plane's monotonic clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Which sending action of the scenario; [`Stamp::CANARY`] for the canaries'.
    pub action: u16,
    /// Its number in that action.
    pub number: u64,
    /// When the schedule wanted it sent.
    pub due: u64,
    /// When it was really sent.
    pub sent: u64,
}

impl Stamp {
    /// The action number of messages that canaries send.
    pub const CANARY: u16 = u16::MAX;
}
