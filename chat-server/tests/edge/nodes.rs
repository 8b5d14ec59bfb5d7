//! One origin and as many edges as a test wants, whose links lead through a proxy that can be cut.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_server::Config;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use crate::support::{Answer, Server, Socket, soon, start_with};

/// A TCP proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, open) = (Arc::new(Mutex::new(to)), Arc::new(Mutex::new(Vec::new())));
        let (target, streams) = (to.clone(), open.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to = *target.lock().unwrap();
                let copied = tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
                streams.lock().unwrap().push(copied.abort_handle());
            }
        });
        Self { address, to, open, accepting }
    }

    /// Breaks all connections; new ones are taken.
    pub(crate) fn cut(&self) {
        self.open.lock().unwrap().drain(..).for_each(|copied| copied.abort());
    }

    /// From now on connections lead elsewhere.
    pub(crate) fn lead_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = to;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

/// An origin, in memory or in a directory.
pub(crate) async fn origin(directory: Option<&Path>, change: impl FnOnce(&mut Config)) -> Server {
    start_with(|config| {
        config.link_listen = Some(([127, 0, 0, 1], 0).into());
        config.data_dir = directory.map(Path::to_owned);
        change(config);
    })
    .await
}

/// An edge of the origin at this address.
pub(crate) async fn edge(link: SocketAddr, change: impl FnOnce(&mut Config)) -> Server {
    start_with(|config| {
        config.origin = Some(link.to_string());
        change(config);
    })
    .await
}

/// Waits until an edge's link has come up so often.
pub(crate) async fn attached(edge: &Server, times: u64) {
    edge.until_stats(|stats| {
        stats["link"]["is_up"] == true && stats["link"]["attached"].as_u64().is_some_and(|attached| attached >= times)
    })
    .await;
}

impl Server {
    /// Waits until what the server counts is as wanted.
    pub(crate) async fn until_stats(&self, wanted: impl Fn(&Value) -> bool) {
        soon(async {
            while !wanted(&self.stats().await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until so many users watch a channel.
    pub(crate) async fn until_watchers(&self, channel: &str, count: u64) {
        soon(async {
            loop {
                let state = self.post("counter", &format!("/channels/{channel}/query"), json!({})).await.good();
                if state["watcher_count"] == json!(count) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Tries to watch a channel.
    pub(crate) async fn try_watch(&self, user: &str, socket: &Socket, channel: &str) -> Answer {
        let path = format!("/channels/{channel}/query?connection_id={}", socket.id);
        self.post(user, &path, json!({"watch": true})).await
    }
}
