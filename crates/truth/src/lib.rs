//! A chat server whose truth is known: what a load tester says of it can be checked.
//!
//! It speaks as much of the protocol as throng's users need, shares no line with the bundled chat server, and does wrong
//! what it is told to do wrong: every delivery is delayed by a draw from a known distribution, the whole server stands
//! still once, and one frame in so many is left out, repeated, or swapped with its successor; all of it drawn from a seed.
//! Of each delivery it keeps how long after the message was due it really wrote the frame, on the clock that throng stamps
//! by, so that its timer's slack and its own slowness are part of the truth and not of the error. `GET /truth` tells it.
//!
//! It remembers no events: `/sync` answers with numbers only, and reactions, typing and read events are taken and told to
//! nobody. Tokens are read for the user's name and not checked.

mod api;
mod config;
mod delay;
mod faults;
mod hub;
mod ledger;
mod outlet;
mod post;
mod server;
mod socket;
mod stall;
mod told;

pub use config::{Config, OneIn, StallSpec};
pub use delay::{Delay, NotUnderstood};
pub use ledger::{Counts, Fate, Heard, Ledger, Truth, quantile};
pub use server::{Bound, TestTarget};
