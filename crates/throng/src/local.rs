//! The local fleet: this machine's processes of one run, started from our own binary with the flags that a fleet's
//! hosts use.

pub(crate) mod child;
pub(crate) mod fleet;
mod nodes;
mod restart;
pub(crate) mod sizes;
