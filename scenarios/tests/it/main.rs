//! The scenario language from outside.

mod broken;
mod fleets;
mod fuzz;
mod json;
mod plans;
mod shards;
mod shipped;
