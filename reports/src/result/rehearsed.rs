//! The mark of a rehearsal.

use serde::{Deserialize, Serialize};

/// What a rehearsal was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rehearsed {
    /// How many times faster than real time its time went.
    pub speed: f64,
    /// That nothing of it was measured, in words.
    pub note: String,
}

impl Rehearsed {
    /// One at this speed.
    pub(crate) fn at(speed: f64) -> Self {
        let note = "Rehearsed: no service was measured and no connection was made. Control plane and data plane were real; \
                    the users and their latencies were simulated.";
        Self { speed, note: note.to_owned() }
    }
}
