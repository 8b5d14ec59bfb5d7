//! The server over real sockets, spoken to by independent HTTP and WebSocket clients.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod connect;
mod deflate;
mod fuzz;
mod half_open;
mod http;
mod limits;
mod longpoll;
mod messages;
mod resources;
mod restart;
mod slow;
mod slow_crowd;
mod support;
mod watch;

/// Whether servers are an origin and an edge: another test target runs the same tests so.
const THROUGH_EDGE: bool = false;
