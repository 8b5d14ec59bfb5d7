//! The chat protocol as bytes: events, requests and answers, and what both ends must agree on.
//!
//! The protocol follows the published conventions of Stream Chat's client protocol; what is ours is `seq`, the
//! channel's own gapless event number, and the stamp that throng's messages carry. This crate does no I/O.

pub mod api;
pub mod backoff;
pub mod close;
pub mod deflate;
pub mod error;
pub mod event;
pub mod frame;
pub mod handshake;
pub mod limits;
pub mod stamp;
pub mod token;

pub use error::ApiError;
pub use event::Event;
pub use stamp::Stamp;
