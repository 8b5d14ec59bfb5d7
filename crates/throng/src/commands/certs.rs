//! `throng certs`: a CA for a fleet, and certificates for its hosts.

use tls::Authority;

use crate::args::{CertsArgs, Host};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::say;

/// Makes certificates, and the CA if there is none, and says which file is for whom.
///
/// # Errors
/// When the directory can't be used, or a host has its files already.
pub(crate) fn certs(args: &CertsArgs) -> Result<Exit, Failure> {
    let authority = Authority::open(&args.dir).or_exit(Exit::Usage)?;
    let localhost = [Host::localhost()];
    let hosts = if args.hosts.is_empty() { &localhost[..] } else { &args.hosts };
    let made = if authority.made() { "a new CA" } else { "the CA that was there" };
    let (ca, key) = (authority.certificate(), authority.key());
    say::result(format_args!(
        "{made}: {} goes to every host; {} signs, and stays here\n",
        ca.display(),
        key.display()
    ))?;
    for host in hosts {
        let made = authority.issue(&host.file, &host.names, args.days).or_exit(Exit::Usage)?;
        say::result(format_args!(
            "for {} until {}: --tls-ca {} --tls-cert {} --tls-key {}\n",
            made.names.join(", "),
            made.until,
            made.files.ca.display(),
            made.files.cert.display(),
            made.files.key.display()
        ))?;
    }
    Ok(Exit::Passed)
}
