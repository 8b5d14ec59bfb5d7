//! Users that lost their worker, until others had them.

use serde::{Deserialize, Serialize};

/// Users that were without a worker for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GapInfo {
    /// How many.
    pub users: u64,
    /// When their worker was heard last, in seconds since the start.
    pub from_s: f64,
    /// When others had them, or the load was over.
    pub to_s: f64,
}
