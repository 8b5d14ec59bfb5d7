//! The scenario language: parse, validate, shard.
//!
//! A [`Scenario`] is plain data; what a run does follows from it and its seed alone, the same for every number of
//! [`Shard`]s: [`Scenario::planned_users`], [`Scenario::channels_of`], [`Scenario::stays`] and [`Scenario::arrivals`].

mod arrivals;
mod load;
pub mod model;
mod popularity;
mod shard;
mod timeline;

pub use arrivals::Arrival;
pub use load::{ChannelRef, PlannedUser, Stay};
pub use model::Scenario;
pub use shard::{NoSuchShard, Shard};
pub use timeline::Timeline;
