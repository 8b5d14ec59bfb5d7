//! The scenario language from outside.

mod broken;
mod fuzz;
mod json;
mod plans;
mod shards;
mod shipped;
