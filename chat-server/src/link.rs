//! The link between an edge, which holds connections, and its origin, which has the channels.
//!
//! Both ends are cores without I/O: [`edge`] knows which channels the edge has subscribed to and how far it is in each;
//! [`origin`] knows, for one edge, which channels its short names mean. What travels is in `throng/link/v1/link.proto`.
//! A link that breaks leaves nothing behind: the edge dials again and subscribes from the last number that it has passed
//! on, the origin replays what its channel's log has since then and goes on from there, under the channel's lock.

mod calls;
pub(crate) mod edge;
pub(crate) mod origin;
pub(crate) mod outbox;
mod outlet;
mod proof;
mod serve;
#[cfg(test)]
mod simulation;

pub(crate) use outlet::EdgeOutlet;
pub(crate) use proof::Proof;
pub(crate) use serve::{Attached, KEEP_ALIVE, Links, WINDOWS, serve};
