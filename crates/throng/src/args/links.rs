//! How this process speaks with others of the fleet: certificates, or plaintext.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::FalseyValueParser;
use tls::{Files, Links, Mutual};

use crate::exit::{Exit, Failure, OrExit as _};
use crate::secrets::Secret;

/// Certificates, or plaintext. With all three files, everything between our processes is mutual TLS.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Security")]
pub(crate) struct LinkArgs {
    /// The certificate of the fleet's CA; `throng certs` makes it and the other two.
    #[arg(long, env = "THRONG_TLS_CA", value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub(crate) tls_ca: Option<PathBuf>,
    /// This host's certificate, of that CA.
    #[arg(long, env = "THRONG_TLS_CERT", value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "THRONG_TLS_KEY", value_name = "FILE", requires_all = ["tls_ca", "tls_cert"])]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let plaintext leave this host: everybody on the way can read it and forge it.
    #[arg(long, env = "THRONG_PLAINTEXT", value_parser = FalseyValueParser::new())]
    pub(crate) plaintext: bool,
}

impl LinkArgs {
    /// Reads the certificates, and warns of plaintext.
    ///
    /// # Errors
    /// When a certificate is no good, with what to do about it.
    pub(crate) fn links(&self) -> Result<Links, Failure> {
        let links = match (&self.tls_ca, &self.tls_cert, &self.tls_key) {
            (Some(ca), Some(cert), Some(key)) => {
                let files = Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
                Links::mutual(Mutual::load(&files).or_exit(Exit::Usage)?)
            }
            _ => Links::default(),
        };
        if self.plaintext {
            tracing::warn!("--plaintext: what is said to other hosts can be read and forged by everybody on the way");
        }
        Ok(links.with_plaintext_anywhere(self.plaintext))
    }
}

/// What people show to a control plane.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Security")]
pub(crate) struct PeopleArgs {
    /// A file with the token that people show to the control plane, for its page and to run scenarios; or set
    /// THRONG_TOKEN.
    #[arg(long, env = "THRONG_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl PeopleArgs {
    /// The token, if there is one.
    ///
    /// # Errors
    /// When its file can't be read or is empty.
    pub(crate) fn token(&self) -> Result<Option<Secret>, Failure> {
        Secret::from_file_or(self.token_file.as_deref(), "THRONG_TOKEN").or_exit(Exit::Usage)
    }
}

/// `throng certs`.
#[derive(Debug, ClapArgs)]
pub(crate) struct CertsArgs {
    /// The directory of the CA; made, with a new CA, if it isn't there.
    pub(crate) dir: PathBuf,
    /// A host: what its files are called, and the names and addresses at which others dial it; may be given again
    /// [default: localhost=localhost,127.0.0.1,::1].
    #[arg(long = "host", value_name = "NAME[=ADDRESS,…]", value_parser = host)]
    pub(crate) hosts: Vec<Host>,
    /// How many days its certificates count.
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=825))]
    pub(crate) days: i64,
}

/// A host that needs a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its files' name.
    pub(crate) file: String,
    /// Where it is dialled.
    pub(crate) names: Vec<String>,
}

impl Host {
    /// This machine, for itself alone.
    pub(crate) fn localhost() -> Self {
        Self { file: "localhost".to_owned(), names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec() }
    }
}

fn host(text: &str) -> Result<Host, String> {
    let (file, names) = text.split_once('=').unwrap_or((text, text));
    let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
    let plain = |word: &str, others: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        !word.is_empty() && !word.starts_with(['-', '.']) && word.chars().all(allowed)
    };
    if !plain(file, "-_.") || file == "ca" {
        return Err(format!("{file:?} can't be a host's name here: letters, digits, - _ . only, and not `ca`"));
    }
    match names
        .iter()
        .find(|name| !plain(name.strip_prefix("*.").unwrap_or(name), "-.") && name.parse::<std::net::IpAddr>().is_err())
    {
        Some(none) => {
            Err(format!("{none:?} is no name or address of a host: write worker-1=worker-1.internal,10.0.0.5"))
        }
        None => Ok(Host { file: file.to_owned(), names }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_files_and_where_they_are_dialled() {
        let of = |text: &str| host(text).map(|host| (host.file, host.names.join(" ")));
        assert_eq!(of("a.internal"), Ok(("a.internal".into(), "a.internal".into())));
        assert_eq!(of("cp=10.0.0.5, cp.internal,::1"), Ok(("cp".into(), "10.0.0.5 cp.internal ::1".into())));
        assert_eq!(of("w=*.workers.internal"), Ok(("w".into(), "*.workers.internal".into())));
        for none in ["", "=a", "a=", "../a", "ca", "a=b c", "-a", "a=http://b"] {
            assert!(host(none).is_err(), "{none}");
        }
    }
}
