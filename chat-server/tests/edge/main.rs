//! Origin and edges over real sockets. The tests of one node run here once more, through an edge: whoever speaks to it
//! must not notice the difference.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

#[path = "../it/connect.rs"]
mod connect;
#[path = "../it/http.rs"]
mod http;
#[path = "../it/limits.rs"]
mod limits;
mod links;
#[path = "../it/messages.rs"]
mod messages;
mod nodes;
mod people;
#[path = "../it/resources.rs"]
mod resources;
#[path = "../it/restart.rs"]
mod restart;
#[path = "../it/slow.rs"]
mod slow;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/watch.rs"]
mod watch;

/// Whether servers are an origin and an edge.
const THROUGH_EDGE: bool = true;
