//! Takes intervals from a process, adds host statistics and clock offset, and ships them.
//!
//! A [`Shipper`] ships for one run. Nothing that a recorder counted is lost on its way: the data plane stores, then
//! acknowledges; until then intervals wait in a bounded spool. [`run`] is the probe as a role: it looks at its host and
//! at the chat server's nodes, and is the canaries.

mod canary;
mod host;
mod job;
mod ledger;
mod loop_delay;
mod node;
mod process;
mod shipper;
mod spool;
mod stream;
mod work;

pub use host::host;
pub use ledger::Account;
pub use loop_delay::LoopDelay;
pub use node::Node;
pub use process::own_process;
pub use shipper::{Sampler, Shipper, ShipperConfig, Source, Unshipped};
pub use spool::SpoolLimits;
pub use work::{Config, run};
