//! The data plane over its real gRPC services and its real files, and the report in all its shapes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod closing;
mod comparison;
mod conservation;
mod measured;
mod otlp;
mod plane;
mod render;
mod render_browser;
mod synthetic;
