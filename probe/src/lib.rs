//! Takes intervals from a process, adds host statistics and clock offset, and ships them.
//!
//! A [`Shipper`] ships for one run. Nothing that a recorder counted is lost on its way: the data plane stores, then
//! acknowledges; until then intervals wait in a bounded spool.

mod ledger;
mod shipper;
mod spool;
mod stream;

pub use ledger::Account;
pub use shipper::{Sampler, Shipper, ShipperConfig, Source, Unshipped};
pub use spool::SpoolLimits;
