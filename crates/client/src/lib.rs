//! The chat client: connect, watch, send, and miss nothing across reconnects.
//!
//! [`Client`] is for people and canaries: one user, one connection that keeps itself alive. Load generators take the
//! parts: [`websocket::Socket`] and the pooled [`http::Http`] under the typed calls of [`api::Api`].

pub mod api;
mod carrier;
pub mod connection;
pub mod endpoint;
pub mod error;
pub mod http;
pub mod lean;
mod link;
pub mod longpoll;
pub mod transport;
mod trust;
pub mod websocket;

pub use api::{Api, Caller};
pub use connection::{Client, Notice, Notices, Settings};
pub use endpoint::Endpoint;
pub use error::{CallError, Closed, ConnectError};
pub use link::{KEEP_ALIVE, SILENCE, keep_alive};
pub use trust::Trust;
pub use websocket::{LOG_FILTER, Socket, Timings};
