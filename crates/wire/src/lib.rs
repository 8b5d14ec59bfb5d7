//! The chat protocol as bytes: events, requests, WebSocket frames, close codes and limits.
