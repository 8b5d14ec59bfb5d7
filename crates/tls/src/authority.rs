//! The fleet's own CA, and the certificates that it signs.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::pki_types::UnixTime;

use crate::files::{Fault, Files, Mutual};

/// How a CA of ours is called in its certificates.
const CA_NAME: &str = "throng fleet CA";
/// Days that a CA lasts: its fleet's certificates end long before.
const CA_DAYS: i64 = 3_650;
/// Days before today from which on a certificate counts, as clocks differ.
const BACKDATED_DAYS: i64 = 1;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    /// A file can't be read or written.
    #[error("{}: {source}; name another directory, or one that you may write", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there already, and may be in use.
    #[error("{} is there already, and hosts may use it: remove it to make another", .0.display())]
    Exists(PathBuf),
    /// One of the CA's two files is missing.
    #[error("{} is missing beside {}: put it back, or remove both for a new CA", missing.display(), found.display())]
    Half {
        /// The file that is not there.
        missing: PathBuf,
        /// The one that is.
        found: PathBuf,
    },
    /// What was made, or the CA that made it, is no good.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// A name or a key that can't be used.
    #[error("{what}: {source}; {mend}")]
    Refused {
        /// What.
        what: String,
        /// Why.
        source: rcgen::Error,
        /// What to do.
        mend: &'static str,
    },
}

/// The files of one host.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Where they are; `ca` is the same for all.
    pub files: Files,
    /// The names and addresses that it stands for.
    pub names: Vec<String>,
    /// The last day on which it counts.
    pub until: Date,
}

/// A CA: two files in a directory of their own, `ca.pem` and `ca.key`.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Whether it was made just now.
    made: bool,
}

impl Authority {
    /// The CA in this directory; made, with the directory, if there is none.
    ///
    /// # Errors
    /// When files can't be read or written, or only half of a CA is there.
    pub fn open(dir: &Path) -> Result<Self, Unmade> {
        let unwritten = |path: &Path| {
            let path = path.to_owned();
            move |source| Unmade::File { path, source }
        };
        DirBuilder::new().mode(0o700).recursive(true).create(dir).map_err(unwritten(dir))?;
        let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        match (cert.exists(), key.exists()) {
            (true, false) => return Err(Unmade::Half { missing: key, found: cert }),
            (false, true) => return Err(Unmade::Half { missing: cert, found: key }),
            (true, true) => {
                let text = std::fs::read_to_string(&key).map_err(unwritten(&key))?;
                let signs = KeyPair::from_pem(&text).map_err(|source| Unmade::Refused {
                    what: format!("{} is no key", key.display()),
                    source,
                    mend: "put it back, or remove it and ca.pem for a new CA",
                })?;
                return Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(ca(today()), signs), made: false });
            }
            (false, false) => {}
        }
        let signs = KeyPair::generate().map_err(ours)?;
        let params = ca(today());
        let text = params.self_signed(&signs).map_err(ours)?.pem();
        write(&key, &signs.serialize_pem(), 0o600)?;
        write(&cert, &text, 0o644)?;
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(params, signs), made: true })
    }

    /// Whether there was none before.
    pub fn made(&self) -> bool {
        self.made
    }

    /// The certificate that everybody in the fleet needs.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The key that signs: for making certificates, and no host's.
    pub fn key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    /// Makes `<file>.pem` and `<file>.key`, for a host with these names and addresses, from yesterday on for `days`
    /// days. Fewer than none: it has expired, for tests.
    ///
    /// # Errors
    /// When a name is none, or the files are there already or can't be written.
    pub fn issue(&self, file: &str, names: &[String], days: i64) -> Result<Certificate, Unmade> {
        let files = Files {
            ca: self.certificate(),
            cert: self.dir.join(format!("{file}.pem")),
            key: self.dir.join(format!("{file}.key")),
        };
        for path in [&files.cert, &files.key] {
            if path.exists() {
                return Err(Unmade::Exists(path.clone()));
            }
        }
        let mut params = CertificateParams::new(names.to_vec()).map_err(|source| Unmade::Refused {
            what: format!("{names:?} are no names of a host"),
            source,
            mend: "write them like throng-1.internal or 10.0.0.5",
        })?;
        let (from, until) = (today() - span(BACKDATED_DAYS.max(1 - days)), today() + span(days));
        counts(&mut params, from, until + span(1));
        params.distinguished_name = called(file);
        params.serial_number = None;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(ours)?;
        let text = params.signed_by(&key, &self.issuer).map_err(ours)?.pem();
        write(&files.key, &key.serialize_pem(), 0o600)?;
        write(&files.cert, &text, 0o644)?;
        // A CA whose halves don't belong together would be noticed by nobody before the fleet starts.
        if days >= 0 {
            Mutual::load(&files).inspect_err(|_| {
                let _ = std::fs::remove_file(&files.cert);
                let _ = std::fs::remove_file(&files.key);
            })?;
        }
        Ok(Certificate { files, names: names.to_vec(), until })
    }
}

/// The CA's own certificate. All but the dates is the same each time, so that its key alone suffices to sign more.
fn ca(from: Date) -> CertificateParams {
    let mut params = CertificateParams::default();
    counts(&mut params, from - span(BACKDATED_DAYS), from + span(CA_DAYS));
    params.distinguished_name = called(CA_NAME);
    params.serial_number = Some(SerialNumber::from(1));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn today() -> Date {
    // The calendar's clock, by which certificates are judged too.
    let second = i64::try_from(UnixTime::now().as_secs()).unwrap_or_default();
    Timestamp::from_second(second).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

fn span(days: i64) -> Span {
    Span::new().days(days)
}

/// From the beginning of one day to that of another.
fn counts(params: &mut CertificateParams, from: Date, until: Date) {
    let midnight =
        |date: Date| date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
    (params.not_before, params.not_after) = (midnight(from), midnight(until));
}

fn ours(source: rcgen::Error) -> Unmade {
    Unmade::Refused { what: "a certificate can't be made".to_owned(), source, mend: "this is a fault of throng" }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Unmade> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Unmade::Exists(path.to_owned()),
        _ => Unmade::File { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_their_owners_alone_and_certificates_are_of_the_ca() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("certs");
        let authority = Authority::open(&at).unwrap();
        assert!(authority.made());
        let names = ["localhost".to_owned(), "10.0.0.5".to_owned(), "::1".to_owned()];
        let host = authority.issue("a", &names, 30).unwrap();
        for key in [authority.key(), host.files.key.clone()] {
            assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
        }
        assert_eq!(std::fs::metadata(&at).unwrap().permissions().mode() & 0o777, 0o700);
        // Another process, later.
        let again = Authority::open(&at).unwrap();
        assert!(!again.made());
        Mutual::load(&again.issue("b", &names, 30).unwrap().files).unwrap();
        let twice = again.issue("b", &names, 30).unwrap_err().to_string();
        assert!(twice.contains("b.pem is there already"), "{twice}");
    }

    #[test]
    fn half_a_ca_and_halves_of_two_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        Authority::open(&one).unwrap();
        let authority = Authority::open(&other).unwrap();
        std::fs::copy(one.join("ca.pem"), other.join("ca.pem")).unwrap();
        let why = authority.issue("a", &["a".to_owned()], 1).unwrap_err().to_string();
        assert!(why.contains("was not signed by the CA"), "{why}");
        assert!(!other.join("a.key").exists(), "what is no good is not left behind");
        std::fs::remove_file(other.join("ca.pem")).unwrap();
        let why = Authority::open(&other).err().unwrap().to_string();
        assert!(why.contains("ca.pem is missing"), "{why}");
    }
}
