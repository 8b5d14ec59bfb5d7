//! The scenario language from outside.

mod shards;
