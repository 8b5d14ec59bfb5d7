//! How this process reaches others of the fleet, and how it lets itself be reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::files::Mutual;
use crate::incoming::Incoming;

/// What one must give to speak TLS.
const FLAGS: &str = "--tls-ca, --tls-cert and --tls-key (`throng certs` makes them)";

/// How a process speaks with others of the fleet. By default in plaintext, with this host alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    mutual: Option<Arc<Mutual>>,
    plaintext_anywhere: bool,
}

/// Why an address is not dialled or listened on: nothing that time mends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no address.
    #[error("{address:?} is no address of ours ({why}): write http://host:port, or https://host:port")]
    Address {
        /// What was given.
        address: String,
        /// Why.
        why: String,
    },
    /// TLS is asked for, and there are no certificates.
    #[error("{address} is reached by TLS: give {FLAGS}")]
    NoCertificates {
        /// What was given.
        address: String,
    },
    /// We have certificates, and would speak plaintext.
    #[error("{address} is plaintext, although certificates are given: write https://, or leave them out")]
    Downgrade {
        /// What was given.
        address: String,
    },
    /// Plaintext would leave this host.
    #[error(
        "{address} is not on this host, and plaintext must not leave it: give {FLAGS}, or allow it with --plaintext"
    )]
    Plaintext {
        /// What was given.
        address: String,
    },
}

impl Links {
    /// Mutual TLS with everybody.
    pub fn mutual(mutual: Mutual) -> Self {
        Self { mutual: Some(Arc::new(mutual)), plaintext_anywhere: false }
    }

    /// Lets plaintext leave this host.
    #[must_use]
    pub fn with_plaintext_anywhere(self, allowed: bool) -> Self {
        Self { plaintext_anywhere: allowed, ..self }
    }

    /// Whether it has certificates.
    pub fn is_mutual(&self) -> bool {
        self.mutual.is_some()
    }

    /// How to dial this address, `http://host:port`, `https://host:port` or `host:port`.
    ///
    /// # Errors
    /// When it is no address, or must not be dialled so.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, Refused> {
        let owned = || address.to_owned();
        let bad = |why: &str| Refused::Address { address: owned(), why: why.to_owned() };
        let scheme = if self.mutual.is_some() { "https" } else { "http" };
        let full = if address.contains("://") { owned() } else { format!("{scheme}://{address}") };
        let endpoint = Endpoint::from_shared(full).map_err(|e| bad(&e.to_string()))?;
        let host = endpoint.uri().host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        match (endpoint.uri().scheme_str(), &self.mutual) {
            (Some("https"), Some(mutual)) => {
                let config = ClientTlsConfig::new()
                    .ca_certificate(Certificate::from_pem(&mutual.ca))
                    .identity(Identity::from_pem(&mutual.cert, &mutual.key))
                    .domain_name(host);
                endpoint.tls_config(config).map_err(|e| bad(&crate::explain(&e)))
            }
            (Some("https"), None) => Err(Refused::NoCertificates { address: owned() }),
            (Some("http"), _) if self.plaintext_anywhere => Ok(endpoint),
            (Some("http"), Some(_)) => Err(Refused::Downgrade { address: owned() }),
            (Some("http"), None) if is_here(&host) => Ok(endpoint),
            (Some("http"), None) => Err(Refused::Plaintext { address: owned() }),
            _ => Err(bad("it is neither http:// nor https://")),
        }
    }

    /// Whether this address may be listened on.
    ///
    /// # Errors
    /// When others than this host could reach it in plaintext.
    pub fn may_listen(&self, address: SocketAddr) -> Result<(), Refused> {
        if self.mutual.is_some() || self.plaintext_anywhere || address.ip().is_loopback() {
            return Ok(());
        }
        Err(Refused::Plaintext { address: format!("listening on {address}") })
    }

    /// The fleet's connections to this listener.
    pub fn fleet(&self, listener: TcpListener) -> Incoming {
        Incoming::new(listener, self.mutual.as_ref().map(|mutual| mutual.for_fleet.clone()))
    }

    /// Connections of programs that show a certificate of the fleet, and speak HTTP/1.1.
    pub fn programs(&self, listener: TcpListener) -> Incoming {
        Incoming::new(listener, self.mutual.as_ref().map(|mutual| mutual.for_programs.clone()))
    }

    /// People's connections to this listener: a browser has no certificate.
    pub fn people(&self, listener: TcpListener) -> Incoming {
        Incoming::new(listener, self.mutual.as_ref().map(|mutual| mutual.for_people.clone()))
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn plaintext_stays_on_this_host_unless_allowed() {
        let (plain, anywhere) = (Links::default(), Links::default().with_plaintext_anywhere(true));
        for here in ["127.0.0.1:1", "http://127.9.0.1:1", "localhost:1", "http://[::1]:1"] {
            plain.endpoint(here).unwrap();
        }
        for there in ["10.0.0.1:1", "http://throng.example:1", "http://localhost.example:1", "http://[2001:db8::1]:1"] {
            assert!(matches!(plain.endpoint(there), Err(Refused::Plaintext { .. })), "{there}");
            anywhere.endpoint(there).unwrap();
        }
        plain.may_listen("127.0.0.1:0".parse().unwrap()).unwrap();
        anywhere.may_listen("0.0.0.0:0".parse().unwrap()).unwrap();
        let why = plain.may_listen("0.0.0.0:80".parse().unwrap()).unwrap_err().to_string();
        assert!(why.contains("0.0.0.0:80") && why.contains("--tls-ca") && why.contains("--plaintext"), "{why}");
        for none in ["ftp://127.0.0.1:1", "http://", "not an address"] {
            assert!(matches!(plain.endpoint(none), Err(Refused::Address { .. })), "{none}");
        }
    }

    #[test]
    fn certificates_and_scheme_must_agree() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let host = authority.issue("a", &["localhost".to_owned()], 9).unwrap();
        let mutual = Links::mutual(Mutual::load(&host.files).unwrap());
        assert_eq!(mutual.endpoint("10.0.0.1:1").unwrap().uri().scheme_str(), Some("https"));
        mutual.endpoint("https://[::1]:1").unwrap();
        mutual.may_listen("0.0.0.0:0".parse().unwrap()).unwrap();
        assert!(matches!(mutual.endpoint("http://127.0.0.1:1"), Err(Refused::Downgrade { .. })));
        assert!(matches!(Links::default().endpoint("https://a:1"), Err(Refused::NoCertificates { .. })));
    }
}
