//! The bundled chat server: API, channels, storage, connections, fan-out.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use chat_server::{ChatServer, Config, Secret};
//! let config = Config::new(([127, 0, 0, 1], 0).into(), "key", Secret::new("secret"));
//! let server = ChatServer::bind(config).await?;
//! println!("listening on {}", server.local_addr());
//! server.serve(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
//! # }
//! ```
//!
//! The way of a message: [`api`] reads the request, `channel` (pure) gives it its number and says what must be kept
//! and told, `store` keeps it if there is a data directory, `hub` knows which shards have watchers and, on each `shard`,
//! who they are, and one pass over them writes the one encoded frame to each socket.

mod accept;
mod api;
mod app;
mod auth;
mod cell;
mod channel;
mod config;
mod connect;
mod connection;
mod cuckoo;
mod custom;
mod edge;
mod failure;
mod guests;
mod history;
mod hub;
mod link;
mod online;
mod outbox;
mod outlets;
mod presence;
mod rate;
mod record;
mod server;
mod session;
mod shard;
mod sharded;
mod skip_list;
mod stats;
mod store;
mod stream;
mod time;
mod users;

pub use config::{Config, Rates, Secret};
pub use server::ChatServer;
