//! Shipping over real gRPC, to a data plane that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod fake_plane;
mod shipping;
