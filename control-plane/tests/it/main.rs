//! Tests of the control plane as a whole.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod fakes;
mod faults;
mod pages;
mod redistributed;
mod service;
mod simulation;
mod world;
