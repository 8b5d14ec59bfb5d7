//! The data plane: ingest, store, merge, verdict, render.

pub mod result;

pub use result::RunResult;
