//! The scenario language: parse, validate, shard.

pub mod model;

pub use model::Scenario;
