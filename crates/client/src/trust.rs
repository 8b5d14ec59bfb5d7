//! Whose word counts for a service's certificate: the public CAs', or those of a file.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};

/// Whose word counts for a service's certificate.
#[derive(Clone)]
pub struct Trust {
    /// The CAs' certificates as they were given; none: the public ones.
    given: Arc<[u8]>,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// The public CAs, as Mozilla lists them.
    pub fn public() -> Self {
        static PUBLIC: OnceLock<Trust> = OnceLock::new();
        let make = || {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            Self { given: Arc::default(), config: config(roots) }
        };
        PUBLIC.get_or_init(make).clone()
    }

    /// The CAs whose certificates this PEM text holds, and no others; of an empty text, the public ones.
    ///
    /// # Errors
    /// When it holds no certificate, or one that can't be read.
    pub fn of(pem: &[u8]) -> Result<Self, String> {
        if pem.is_empty() {
            return Ok(Self::public());
        }
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|e| format!("it is no PEM file ({e})"))?;
        if found.is_empty() {
            return Err("it holds no certificate; those of a PEM file stand behind -----BEGIN CERTIFICATE-----".into());
        }
        let mut roots = RootCertStore::empty();
        for (certificate, number) in found.into_iter().zip(1..) {
            roots.add(certificate).map_err(|e| format!("its certificate no. {number} can't be read ({e})"))?;
        }
        Ok(Self { given: pem.into(), config: config(roots) })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// What went wrong in a handshake, in words that say what to do.
    pub(crate) fn explain(&self, error: &std::io::Error) -> String {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(invalid)) => self.of_certificate(invalid),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                "it answers without TLS: ws:// instead of wss://, or another port?".to_owned()
            }
            _ => error.to_string(),
        }
    }

    fn of_certificate(&self, invalid: &CertificateError) -> String {
        match invalid {
            CertificateError::UnknownIssuer | CertificateError::BadSignature if self.given.is_empty() => {
                "its certificate is of no public CA: name the file of its CA's certificate with --target-ca".to_owned()
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not of the CA that was named with --target-ca (or as the target's `ca`)".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
                let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
                format!("its certificate is for {names}, and not for {}: dial a host that it is for", expected.to_str())
            }
            CertificateError::ExpiredContext { .. } | CertificateError::Expired => {
                "its certificate has ended, if this host's clock is right".to_owned()
            }
            CertificateError::NotValidYetContext { .. } | CertificateError::NotValidYet => {
                "its certificate does not count yet: is this host's clock right?".to_owned()
            }
            other => format!("its certificate is no good: {other}"),
        }
    }
}

/// `DnsName("a")` or `IpAddress(10.0.0.1)`, as rustls shows a name, as people write it.
fn plain(shown: &str) -> &str {
    let inner = shown.split_once('(').map_or(shown, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"')
}

/// No client certificate, and versions as rustls has them.
fn config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring serves the default versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.given.is_empty() { "public CAs" } else { "given CAs" })
    }
}

/// The same CAs.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl Eq for Trust {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_is_refused_in_words() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (pem, words) in [
            ("a file of another kind\n", "holds no certificate"),
            (key, "holds no certificate"),
            (broken, "no. 1 can't be read"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "no PEM file"),
        ] {
            let why = Trust::of(pem.as_bytes()).unwrap_err();
            assert!(why.contains(words), "{pem}: {why}");
        }
        assert_eq!(Trust::of(b"").unwrap(), Trust::public());
    }
}
