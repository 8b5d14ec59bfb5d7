//! The chat client: connect, watch, send, resync.
