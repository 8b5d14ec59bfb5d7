//! The scenario language: parse, validate, shard.
//!
//! A [`Scenario`] is plain data; what a run does follows from it and its seed alone, the same for every number of
//! [`Shard`]s: [`Scenario::planned_users`], [`Scenario::channels_of`], [`Scenario::stays`] and [`Scenario::arrivals`].

mod arrivals;
mod audience;
mod check;
mod constants;
mod decode;
mod diagnostic;
pub mod fleet;
mod fleet_text;
pub mod hosts;
mod language;
mod leaf;
mod load;
pub mod model;
mod overrides;
mod parse;
pub mod plan;
mod plan_text;
mod popularity;
mod repair;
mod schema;
mod shard;
mod syntax;
mod timeline;
mod tree;
mod variables;
mod words;

pub use arrivals::Arrival;
pub use audience::Heard;
pub use check::{LARGEST_MESSAGE, LONGEST_RUN, MOST_CANARIES, MOST_COHORTS, MOST_PER_USER, MOST_USERS};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use load::{ChannelRef, PlannedUser, Stay};
pub use model::Scenario;
pub use parse::{LARGEST_FILE, Source, parse, redacted, redacted_override};
pub use plan::{Hints, Plan, PlannedAction};
pub use schema::schema;
pub use shard::{NoSuchShard, Shard};
pub use timeline::Timeline;
pub use variables::variables_needed;
