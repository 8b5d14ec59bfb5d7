//! The scenario language from outside.

mod broken;
mod fuzz;
mod json;
mod shards;
mod shipped;
