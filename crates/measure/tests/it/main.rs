//! The laws that every number of throng rests on, as properties.

mod any;
mod coverage;
mod merge;
mod offset;
mod recorder;
