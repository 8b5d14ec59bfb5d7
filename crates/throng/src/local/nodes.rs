//! The bundled chat server's processes: one, or an origin and its edges. An edge holds connections and nothing else, so
//! that it may be started again at its address; an origin holds the channels, and may not.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use super::child::{Child, Ended, Role};
use super::fleet::{ANY_PORT, Keys, address, flags, niceness, spec};
use super::restart::Restartable;
use super::sizes::Sizes;

/// The origin's name.
const ORIGIN: &str = "chat-server";

/// The running processes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// By name.
    pub(super) children: Vec<(String, Child)>,
    /// Where clients reach it.
    pub(super) urls: Vec<String>,
    /// How each edge is started again.
    pub(super) edges: Vec<Restartable>,
}

/// Starts the bundled chat server, with so many edges of at most so many users each.
///
/// # Errors
/// When one of its processes doesn't serve; with the last lines of its log.
pub(super) async fn start(
    logs: &Path,
    tell: &mpsc::Sender<Ended>,
    edges: u32,
    edge_users: u64,
    keys: &Keys,
) -> Result<Nodes> {
    let mut origin = node(ORIGIN, ANY_PORT, edges, keys);
    if edges > 0 {
        origin.spec.flags.extend(flags(["--link-listen", ANY_PORT]));
    }
    let origin = origin.start(logs, tell.clone()).await?;
    if edges == 0 {
        let urls = vec![url(&address(&origin, "listen")?)];
        return Ok(Nodes { children: vec![(ORIGIN.to_owned(), origin)], urls, edges: Vec::new() });
    }
    let link = address(&origin, "link")?;
    let edge = |name: &str, listen: &str| {
        let mut edge = node(name, listen, edges, keys);
        edge.spec.flags.extend(flags(["--edge", "--origin", &link, "--users-max", &edge_users.to_string()]));
        edge.spec.threads = Sizes { workers: 0, edges }.threads(edges);
        edge
    };
    let started = (1..=edges).map(|n| {
        let name = format!("edge-{n}");
        let (edge, tell) = (edge(&name, ANY_PORT), tell.clone());
        async move { edge.start(logs, tell).await.map(|child| (name, child)) }
    });
    let mut nodes = Nodes { children: try_join_all(started).await?, ..Nodes::default() };
    for (name, child) in &nodes.children {
        let listen = address(child, "listen")?;
        nodes.urls.push(url(&listen));
        // Users and workers know it by this address, so it comes back there.
        nodes.edges.push(edge(name, &listen));
    }
    nodes.children.push((ORIGIN.to_owned(), origin));
    Ok(nodes)
}

fn node(name: &str, listen: &str, edges: u32, Keys { api_key, api_secret }: &Keys) -> Restartable {
    let mut spec = spec(name, Role::ChatServer, ["--listen", listen, "--api-key", api_key]);
    spec.nice = niceness(edges, None, Role::ChatServer);
    Restartable { spec, secret: Some((OsString::from("--api-secret-file"), api_secret.clone())) }
}

fn url(listen: &str) -> String {
    format!("ws://{listen}")
}
