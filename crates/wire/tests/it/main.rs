//! What holds for every input.

mod frames;
