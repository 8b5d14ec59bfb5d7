//! The data plane: ingest, store, merge, verdict, render.

mod cell;
pub mod charts;
mod clocks;
mod close;
pub mod compare;
mod doubts;
pub mod export;
mod exposition;
mod fanout;
mod files;
pub mod format;
mod glance;
mod hlog;
mod hosts;
mod ingest;
mod journal;
mod junit;
mod latency;
mod levels;
mod live;
mod live_page;
mod opened;
mod otlp;
mod plane;
mod push;
pub mod render;
pub mod result;
mod run;
mod scrape;
mod service;
mod slot;
mod slots;
mod source;
mod sources;
mod store;
mod summary;
#[cfg(test)]
mod testing;
mod thresholds;
mod timeline;
mod verdict;

pub use close::{load, render_again};
pub use compare::{Comparison, compare};
pub use plane::{Config, DataPlane};
pub use push::Collector;
pub use result::RunResult;
