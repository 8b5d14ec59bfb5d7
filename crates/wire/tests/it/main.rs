//! What holds for every input.

mod deflate;
mod frames;
