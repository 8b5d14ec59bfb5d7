//! Who of a fleet may speak with whom.
//!
//! Off loopback, our processes speak mutual TLS: each has a certificate of the fleet's own CA, and takes nobody without
//! one ([`Links`]). [`Authority`] makes CA and certificates, [`Files`] are read by [`Mutual::load`], which refuses what
//! would fail later. Without certificates a process speaks plaintext, with this host alone unless told otherwise.

mod authority;
mod files;
mod incoming;
mod links;
mod words;

pub use authority::{Authority, Certificate, Unmade};
pub use files::{Fault, Files, Mutual};
pub use incoming::{Incoming, Io};
pub use links::{Links, Refused};
pub use words::{explain, is_about_trust};
