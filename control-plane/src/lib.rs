//! Runs and fleets: who does what, and when.
