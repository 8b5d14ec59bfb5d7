//! Tests of the control plane as a whole.

mod simulation;
mod world;
