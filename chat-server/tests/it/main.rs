//! The server over real sockets, spoken to by independent HTTP and WebSocket clients.

mod connect;
mod limits;
mod messages;
mod resources;
mod restart;
mod slow;
mod support;
mod watch;
