//! System tests: the real binary with all its processes, small loads, and everything that can go wrong.

mod by_hand;
mod certs;
mod chat_server;
mod ctl;
mod edges;
mod faults;
mod frozen;
mod harness;
mod hlog;
mod killed;
mod otlp;
mod passes;
mod polled;
mod reborn;
mod redistributed;
mod refused;
mod rehearse;
mod reports;
mod secrets;
mod secured;
mod side_by_side;
mod sizes;
mod stopped;
mod twice;
mod usage;
mod witness;
