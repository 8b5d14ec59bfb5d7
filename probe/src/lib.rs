//! Takes intervals from a process, adds host statistics and clock offset, and ships them.
