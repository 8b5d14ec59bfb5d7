//! The scenario language from outside.

mod broken;
mod json;
mod shards;
mod shipped;
