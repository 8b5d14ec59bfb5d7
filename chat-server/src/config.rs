//! What a server is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A secret that logs and `Debug` don't show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, to compute with.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(redacted)")
    }
}

/// Limits of how often an endpoint may be called in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The window's length.
    pub window: Duration,
    /// Calls of one endpoint by all users together.
    pub per_app: u32,
    /// Calls of one endpoint by one user; `None`: no limit of its own, and no bookkeeping.
    pub per_user: Option<u32>,
}

impl Default for Rates {
    /// High enough for a benchmark, which joins far faster than a product allows.
    fn default() -> Self {
        Self { window: Duration::from_secs(60), per_app: 100_000_000, per_user: None }
    }
}

/// Everything that can be set; [`Config::new`] has good values for a benchmark on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The app's public key, which every call carries.
    pub api_key: String,
    /// The secret that tokens are signed with.
    pub api_secret: Secret,
    /// Where to keep channels and messages; `None`: in memory only, gone at the end.
    pub data_dir: Option<PathBuf>,
    /// Where edges attach; `None`: nowhere.
    pub link_listen: Option<SocketAddr>,
    /// `host:port` of the origin's link: this node is an edge. `None`: it is the origin, or everything.
    pub origin: Option<String>,
    /// How the origin is reached, and which edges are taken.
    pub links: tls::Links,
    /// How long calls and new watchers wait for a link that is down.
    pub link_patience: Duration,
    /// Bytes that may wait on either end of a link; over it the link begins anew.
    pub link_bytes_max: usize,
    /// How long a user must be away until those who asked for his presence are told.
    pub presence_grace: Duration,
    /// Rate limits.
    pub rates: Rates,
    /// Threads that share the connections among them; one a processor is best.
    pub shards: usize,
    /// Connections at once; further ones are refused.
    pub connections_max: usize,
    /// Users that may be connected at once: fewer than [`Config::connections_max`], so that there is room for what they
    /// ask. Others are told to come back later.
    pub users_max: usize,
    /// Sockets that may wait for a request at once: beyond, the one that has waited longest is closed, if that is longer
    /// than [`Config::guest_patience`], or if there is no room at all.
    pub guests_max: usize,
    /// No user's client takes so long between connecting and asking, however many come at once.
    pub guest_patience: Duration,
    /// Bytes that may wait for one connection; over it the connection is closed as a slow reader.
    pub outbox_bytes_max: usize,
    /// Above so many watchers, typing and read events are not broadcast, and watchers are announced as counts only;
    /// `None`: never.
    pub throttle_watchers: Option<usize>,
    /// How often throttled channels announce their watcher count.
    pub watcher_count_every: Duration,
    /// For each so many watchers a throttled channel lets one turn pass between two announcements: a count told to a
    /// million every 5 s would cost more than their messages.
    pub watcher_count_crowd: u64,
    /// A connection that sends nothing for so long is closed. Clients send a keep-alive every 25 s.
    pub silence_max: Duration,
    /// How long `GET /longpoll` waits for an event.
    pub longpoll_wait: Duration,
    /// A request's head, and then its body, must have come in so long.
    pub request_timeout: Duration,
    /// How long a closing connection may take to read its close frame.
    pub close_timeout: Duration,
    /// How long draining may take.
    pub drain_timeout: Duration,
    /// Messages that a channel keeps in memory; older ones are in the data directory, if there is one.
    pub window_messages: usize,
    /// Events that a channel keeps for `POST /sync`; beyond it a client must query the channel again.
    pub log_events: usize,
    /// Bytes of such events.
    pub log_bytes: usize,
    /// A user may send one message to a channel in so long (slow mode); `None`: as fast as the rate limits allow.
    pub slow_mode: Option<Duration>,
}

impl Config {
    /// A configuration with the defaults of everything else.
    pub fn new(listen: SocketAddr, api_key: impl Into<String>, api_secret: Secret) -> Self {
        Self {
            listen,
            api_key: api_key.into(),
            api_secret,
            data_dir: None,
            link_listen: None,
            origin: None,
            links: tls::Links::default(),
            link_patience: Duration::from_secs(5),
            link_bytes_max: 32 * 1024 * 1024,
            presence_grace: Duration::from_secs(2),
            rates: Rates::default(),
            shards: std::thread::available_parallelism().map_or(2, usize::from),
            connections_max: 1_000_000,
            users_max: 1_000_000,
            guests_max: 10_000,
            guest_patience: Duration::from_secs(5),
            outbox_bytes_max: 1024 * 1024,
            throttle_watchers: Some(100),
            watcher_count_every: Duration::from_secs(5),
            watcher_count_crowd: 20_000,
            silence_max: Duration::from_secs(65),
            longpoll_wait: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(3),
            window_messages: 10_000,
            log_events: 100_000,
            log_bytes: 64 * 1024 * 1024,
            slow_mode: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        let config = Config::new(([127, 0, 0, 1], 0).into(), "key", Secret::new("hush-hush"));
        assert!(!format!("{config:?}").contains("hush"));
    }
}
