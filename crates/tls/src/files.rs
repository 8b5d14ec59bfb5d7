//! The three files that a process is given, read and checked before anything depends on them.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{CertificateError, RootCertStore, ServerConfig};

use crate::words::day;

/// A certificate that ends within so long is warned of when a process starts.
const SOON: Duration = Duration::from_secs(3 * 86_400);

/// Where a process's certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The CA that everybody's certificate in the fleet is of.
    pub ca: PathBuf,
    /// This host's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file can't be read as what it should be.
    #[error("can't read {what} in {}: {why}; name a PEM file as `throng certs` makes them", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key is another certificate's.
    #[error("the key in {} does not belong to the certificate in {}: name both of one host", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// The certificate is no good.
    #[error("the certificate in {} {why}", cert.display())]
    Certificate {
        /// Its file.
        cert: PathBuf,
        /// Why, and what to do.
        why: String,
    },
}

/// What a process needs to speak mutual TLS.
pub struct Mutual {
    files: Files,
    /// The CA's certificates, as PEM.
    pub(crate) ca: Vec<u8>,
    /// This host's chain, as PEM.
    pub(crate) cert: Vec<u8>,
    /// Its key, as PEM: a secret.
    pub(crate) key: Vec<u8>,
    /// Takes those only that have a certificate of the CA; they speak HTTP/2.
    pub(crate) for_fleet: Arc<ServerConfig>,
    /// The same with HTTP/1.1.
    pub(crate) for_programs: Arc<ServerConfig>,
    /// Takes everybody, and shows our certificate: for people's browsers.
    pub(crate) for_people: Arc<ServerConfig>,
}

impl fmt::Debug for Mutual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

/// The same files are the same certificates.
impl PartialEq for Mutual {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for Mutual {}

impl Mutual {
    /// Reads the files, and checks that they belong together and count today.
    ///
    /// # Errors
    /// When they don't, with what to do about it.
    pub fn load(files: &Files) -> Result<Self, Fault> {
        let (ca, cert, key) =
            (read("the CA", &files.ca)?, read("the certificate", &files.cert)?, read("the key", &files.key)?);
        warn_if_open(&files.key);
        let mut roots = RootCertStore::empty();
        for root in certificates("the CA", &files.ca, &ca)? {
            roots.add(root).map_err(|e| unreadable("the CA", &files.ca, &e))?;
        }
        let chain = certificates("the certificate", &files.cert, &cert)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let verifier = verifier.map_err(|e| unreadable("the CA", &files.ca, &e))?;
        counts(files, &chain, verifier.as_ref())?;
        let our_key = || PrivateKeyDer::from_pem_slice(&key).map_err(|e| unreadable("the key", &files.key, &e));
        let (people_chain, people_key) = (chain.clone(), our_key()?);
        let mismatch = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => Fault::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
            other => unreadable("the key", &files.key, &other),
        };
        let builder = || ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = || builder().expect("ring serves TLS 1.3");
        let for_fleet = builder().with_client_cert_verifier(verifier).with_single_cert(chain, our_key()?);
        let mut for_fleet = for_fleet.map_err(mismatch)?;
        // Nobody resumes an old session past a certificate that has ended meanwhile.
        for_fleet.send_tls13_tickets = 0;
        let mut for_programs = for_fleet.clone();
        for_fleet.alpn_protocols = vec![b"h2".to_vec()];
        for_programs.alpn_protocols = vec![b"http/1.1".to_vec()];
        let for_people = builder().with_no_client_auth().with_single_cert(people_chain, people_key);
        let mut for_people = for_people.map_err(mismatch)?;
        for_people.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (for_fleet, for_programs, for_people) = (Arc::new(for_fleet), Arc::new(for_programs), Arc::new(for_people));
        Ok(Self { files: files.clone(), ca, cert, key, for_fleet, for_programs, for_people })
    }

    /// Where they were read from.
    pub fn files(&self) -> &Files {
        &self.files
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|e| unreadable(what, path, &e))
}

fn unreadable(what: &'static str, path: &Path, why: &dyn fmt::Display) -> Fault {
    Fault::Unreadable { what, path: path.to_owned(), why: why.to_string() }
}

fn certificates(what: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| unreadable(what, path, &e))?;
    if found.is_empty() { Err(unreadable(what, path, &"it holds no certificate")) } else { Ok(found) }
}

/// Whether the others will take our certificate: they check it so.
fn counts(files: &Files, chain: &[CertificateDer<'_>], verifier: &dyn ClientCertVerifier) -> Result<(), Fault> {
    let (own, between) = chain.split_first().expect("there is one at least");
    let at = |time| verifier.verify_client_cert(own, between, time).map(drop);
    let now = UnixTime::now();
    match at(now) {
        Ok(()) => {}
        Err(error) => return Err(Fault::Certificate { cert: files.cert.clone(), why: why(&files.ca, &error) }),
    }
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
    if let Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) = at(soon) {
        tracing::warn!(certificate = %files.cert.display(), ends = day(not_after), "the certificate ends soon");
    }
    Ok(())
}

fn why(ca: &Path, error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(invalid) = error else { return format!("is no good: {error}") };
    match invalid {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("ended on {}: make another with `throng certs`, or set this host's clock", day(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("counts from {} on: is this host's clock right?", day(*not_before))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("was not signed by the CA in {}: name certificate and CA of one fleet", ca.display())
        }
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "is not for both serving and dialling (serverAuth and clientAuth): `throng certs` makes such".to_owned()
        }
        other => format!("is no good: {other}"),
    }
}

fn warn_if_open(key: &Path) {
    let open = std::fs::metadata(key).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(key = %key.display(), "others on this host may read the key: chmod 600 it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    fn host(authority: &Authority, name: &str, days: i64) -> Files {
        authority.issue(name, &["localhost".to_owned()], days).unwrap().files
    }

    #[test]
    fn files_that_would_fail_later_are_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(&dir.path().join("one")).unwrap();
        let other = host(&Authority::open(&dir.path().join("other")).unwrap(), "x", 9);
        let (a, b, old) = (host(&authority, "a", 9), host(&authority, "b", 9), host(&authority, "old", -2));
        Mutual::load(&a).unwrap();
        for (files, words) in [
            (Files { key: b.key.clone(), ..a.clone() }, ["b.key does not belong", "a.pem"]),
            (Files { ca: other.ca.clone(), ..a.clone() }, ["was not signed by the CA", "other/ca.pem"]),
            (old, ["old.pem ended on ", "throng certs"]),
            (Files { cert: a.key.clone(), ..a.clone() }, ["the certificate in", "holds no certificate"]),
            (Files { key: a.cert.clone(), ..a.clone() }, ["the key in", "a.pem"]),
            (Files { ca: dir.path().join("none"), ..a.clone() }, ["the CA in", "No such file"]),
        ] {
            let why = Mutual::load(&files).unwrap_err().to_string();
            assert!(words.iter().all(|word| why.contains(word)), "{why}");
        }
        let shown = format!("{:?}", Mutual::load(&a).unwrap());
        assert!(shown.contains("a.key") && !shown.contains("PRIVATE"), "{shown}");
    }
}
