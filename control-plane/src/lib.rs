//! Runs and fleets: who does what, and when.

pub mod core;
pub mod fleet;
pub mod limits;
pub mod run;
