//! Where a chat service is: one base URL that serves both the WebSocket and the API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::error::ConnectError;
use crate::trust::Trust;

/// How long one of several addresses may take to show that somebody is there.
const LOOK: Duration = Duration::from_secs(3);

/// A parsed base URL: `ws://`, `wss://`, `http://` or `https://`, with an optional path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
    prefix: String,
    addresses: Vec<SocketAddr>,
    trust: Trust,
}

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    /// When it is no URL, has another scheme, no host, or room for a secret. The text says how to mend it.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        if let Some(secret) = secretive(text) {
            return Err(secret);
        }
        let bad = |why: String| ConnectError::Url { url: text.to_owned(), why };
        let url = Url::parse(text).map_err(|e| bad(format!("{e}; write it like wss://chat.example.com")))?;
        let tls = match url.scheme() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            other => return Err(bad(format!("{other}:// is not a chat service's; use ws:// or wss://"))),
        };
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| bad("it has no host".into()))?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port_or_known_default().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            prefix: url.path().trim_end_matches('/').to_owned(),
            addresses: Vec::new(),
            trust: Trust::public(),
        })
    }

    /// The same, with others than the public CAs trusted for its certificate.
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// Looks the host's addresses up once, so that connecting needs no more look-ups.
    ///
    /// # Errors
    /// When the name can't be resolved within the look-up's own time limits.
    pub async fn resolved(mut self) -> Result<Self, ConnectError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<_> =
            found.map_err(|e| ConnectError::Address { host: self.host.clone(), why: e.to_string() })?.collect();
        if found.is_empty() {
            return Err(ConnectError::Address { host: self.host.clone(), why: "it has no address".into() });
        }
        self.addresses = found;
        Ok(self)
    }

    /// One endpoint for each address that was found and takes connections, all of one family, in the same order for everybody
    /// who finds the same: behind a name with several addresses are several nodes, and what belongs to a connection must
    /// be asked of the node that holds it. The endpoint itself if there is nothing to choose from.
    pub async fn apart(self) -> Vec<Self> {
        if self.addresses.len() < 2 {
            return vec![self];
        }
        let dial = |address: &SocketAddr| {
            let address = *address;
            async move { matches!(timeout(LOOK, TcpStream::connect(address)).await, Ok(Ok(_))).then_some(address) }
        };
        let there = join_all(self.addresses.iter().map(dial)).await;
        let there: Vec<SocketAddr> = there.into_iter().flatten().collect();
        // Both families of a name lead to the same nodes; the resolver's first is the better one.
        let first = there.first().copied();
        let same = there.into_iter().filter(|address| first.is_some_and(|first| first.is_ipv4() == address.is_ipv4()));
        let same: BTreeSet<SocketAddr> = same.collect();
        if same.is_empty() {
            return vec![self];
        }
        same.into_iter().map(|address| Self { addresses: vec![address], ..self.clone() }).collect()
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own unless the URL names another.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it speaks TLS.
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Whose word counts for its certificate.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The addresses that [`Endpoint::resolved`] found.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A path of the service, below the URL's own.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// `host:port` as the Host header has it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A text as it may stand in a query string or as one segment of a path.
pub fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Addresses stand in reports, logs and arguments. One with a name, a password or a query is refused without saying them.
fn secretive(text: &str) -> Option<ConnectError> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let whole = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = whole.split_once('/').unwrap_or((whole, ""));
    let host = authority.rsplit_once('@').map(|(_, host)| host);
    if host.is_none() && whole.len() == rest.len() {
        return None;
    }
    let (host, slash) = (host.unwrap_or(authority), if path.is_empty() { "" } else { "/" });
    let instead = if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}{slash}{path}") };
    let why = "it has a user's name, a password, `?…` or `#…`, which would stand in reports; leave that out, and give \
               --api-key and --api-secret-file"
        .to_owned();
    Some(ConnectError::Url { url: instead, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_schemes_are_read() {
        let e = Endpoint::parse("ws://127.0.0.1:8080/chat/").unwrap();
        assert_eq!((e.host(), e.port(), e.tls(), e.path("/app").as_str()), ("127.0.0.1", 8080, false, "/chat/app"));
        let e = Endpoint::parse("https://chat.example.com").unwrap();
        assert_eq!((e.port(), e.tls(), e.authority().as_str()), (443, true, "chat.example.com:443"));
        assert_eq!(Endpoint::parse("wss://[::1]").unwrap().authority(), "[::1]:443");
    }

    #[tokio::test]
    async fn nodes_behind_one_name_are_endpoints_of_their_own() {
        let mut listeners = Vec::new();
        for host in ["127.0.0.3", "127.0.0.2"] {
            listeners.push(tokio::net::TcpListener::bind((host, 0)).await.unwrap());
        }
        let nowhere = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
        let mut named = Endpoint::parse("wss://edges.example.com/chat").unwrap();
        named.addresses = listeners.iter().map(|l| l.local_addr().unwrap()).chain([nowhere]).collect();
        let apart = named.clone().apart().await;
        let found: Vec<_> = apart.iter().map(|e| e.addresses()[0].ip().to_string()).collect();
        assert_eq!(found, ["127.0.0.2", "127.0.0.3"]);
        assert!(apart.iter().all(|e| e.addresses().len() == 1 && e.host() == "edges.example.com" && e.tls()));
        drop(listeners);
        assert_eq!(named.clone().apart().await, [named], "nobody is there: whoever dials says so");
    }

    #[test]
    fn what_is_no_chat_url_is_refused_in_words() {
        for (url, word) in [("ftp://x", "use ws://"), ("127.0.0.1:80", "write it like"), ("ws://", "host")] {
            assert!(Endpoint::parse(url).unwrap_err().to_string().contains(word), "{url}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_refused_and_not_said() {
        for url in [
            "wss://me:hush@chat.example.com/x",
            "ws://hush@127.0.0.1:80",
            "wss://me:hush@x@chat.example.com",
            "wss://chat.example.com?token=hush",
            "wss://chat.example.com/x#hush",
            "me:hush@chat.example.com",
            "wss://:hush@/x",
        ] {
            let said = Endpoint::parse(url).unwrap_err().to_string();
            assert!(said.contains("leave that out") && !said.contains("hush"), "{url}: {said}");
        }
        assert!(Endpoint::parse("wss://chat.example.com/a@b").is_ok(), "a path may have any letter");
    }

    #[test]
    fn what_has_a_meaning_in_urls_is_escaped() {
        assert_eq!(encode("a b&c/d{\"é"), "a%20b%26c%2Fd%7B%22%C3%A9");
    }
}
