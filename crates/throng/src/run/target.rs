//! The service under test: the command line's, or else the scenario's, or else the bundled chat server.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use client::{ConnectError, Endpoint, Trust, transport};
use measure::Clock;
use proto::control::Target;
use scenarios::Scenario;
use scenarios::model::Tokens;
use tokio::time::Instant;

use crate::args::Credentials;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::local::fleet::Keys;
use crate::secrets::{Secret, random_word};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The largest file of CAs that is taken: all public ones together are 200 KiB.
const CA_BYTES_MAX: u64 = 1 << 20;

/// The service under test.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Base URLs; none: the bundled server's, once it serves.
    urls: Vec<String>,
    api_key: String,
    api_secret: Option<Secret>,
    bundled: bool,
    /// The CAs of its certificate, as PEM; none: the public ones.
    ca: Vec<u8>,
}

/// Decides what is measured.
///
/// # Errors
/// When a URL or the CA's file is none, or a service that isn't ours is named without a way to sign in.
pub(super) fn choose(
    urls: &[String],
    ca: Option<&Path>,
    credentials: &Credentials,
    scenario: &Scenario,
) -> Result<Chosen, Failure> {
    let spec = &scenario.target;
    let urls = if urls.is_empty() { spec.urls.clone() } else { urls.to_vec() };
    let mut over_tls = false;
    for url in &urls {
        over_tls |= Endpoint::parse(url).or_exit(Exit::Usage)?.tls();
    }
    // A scenario's CA is of the scenario's own URL, which a plain one may stand in for.
    let ca = ca
        .or(spec.ca.as_deref().filter(|_| over_tls))
        .map(|file| read_ca(file, over_tls))
        .transpose()?
        .unwrap_or_default();
    if urls.is_empty() {
        let secret = Secret::from_file_or_environment(credentials.api_secret_file.as_deref()).or_exit(Exit::Usage)?;
        let api_key = credentials.api_key.clone().unwrap_or_else(|| random_word(12));
        let api_secret = Some(secret.unwrap_or_else(Secret::random));
        return Ok(Chosen { urls, api_key, api_secret, bundled: true, ca });
    }
    let api_secret = Secret::from_file_or_environment(credentials.api_secret_file.as_deref()).or_exit(Exit::Usage)?;
    let missing = |what: &str, how: &str| Failure::new(Exit::Usage, format!("{} needs {what}: {how}", urls.join(", ")));
    let api_key = credentials.api_key.clone().or_else(|| spec.api_key.clone());
    let api_key = api_key.ok_or_else(|| {
        missing("an API key", "give --api-key, set THRONG_API_KEY, or name it in the scenario's target")
    })?;
    if api_secret.is_none() && spec.tokens == Tokens::Bundled {
        let how = "give --api-secret-file, set THRONG_API_SECRET, or name tokens in the scenario's target";
        return Err(missing("a way to sign users in", how));
    }
    Ok(Chosen { urls, api_key, api_secret, bundled: false, ca })
}

/// The certificates in a file of CAs.
///
/// # Errors
/// When it can't be read, holds none, or no target needs it.
fn read_ca(file: &Path, over_tls: bool) -> Result<Vec<u8>, Failure> {
    let wrong = |why: &str| Failure::new(Exit::Usage, format!("the target's CA in {}: {why}", file.display()));
    if !over_tls {
        return Err(wrong("it is for a wss:// or https:// target, and there is none: leave --target-ca out"));
    }
    let mut pem = Vec::new();
    let read = File::open(file).and_then(|open| open.take(CA_BYTES_MAX + 1).read_to_end(&mut pem));
    read.map_err(|e| wrong(&e.to_string()))?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(wrong(&format!("it is larger than {} MiB: name a PEM file of certificates", CA_BYTES_MAX >> 20)));
    }
    if pem.is_empty() {
        return Err(wrong("it is empty: name a PEM file of certificates"));
    }
    Trust::of(&pem).map_err(|why| wrong(&why))?;
    Ok(pem)
}

impl Chosen {
    /// No service at all, in a rehearsal.
    pub(super) fn none() -> Self {
        Self { urls: Vec::new(), api_key: String::new(), api_secret: None, bundled: false, ca: Vec::new() }
    }

    /// Whether the bundled server is measured.
    pub(super) fn bundled(&self) -> bool {
        self.bundled
    }

    /// What the bundled server is to sign with; none: another service is measured.
    pub(super) fn bundled_keys(&self) -> Option<Keys> {
        let api_secret = self.api_secret.clone().filter(|_| self.bundled)?;
        Some(Keys { api_key: self.api_key.clone(), api_secret })
    }

    /// The bundled server serves here.
    pub(super) fn take_bundled(&mut self, urls: Vec<String>) {
        self.urls = urls;
    }

    /// What agents are told.
    pub(super) fn message(&self) -> Target {
        Target {
            urls: self.urls.clone(),
            api_key: self.api_key.clone(),
            api_secret: self.api_secret.as_ref().map(|s| s.expose().to_owned()).unwrap_or_default(),
            bundled: self.bundled,
            ca: self.ca.clone().into(),
        }
    }

    /// Whether somebody answers at each URL, and shows a certificate that is trusted.
    ///
    /// # Errors
    /// When nobody does, within a few seconds.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let trust = Trust::of(&self.ca).map_err(|why| Failure::new(Exit::Usage, why))?;
        for url in &self.urls {
            let endpoint = Endpoint::parse(url).or_exit(Exit::Usage)?.trusting(trust.clone());
            reach(&endpoint).await.map_err(|why| Failure::new(Exit::Unavailable, format!("the target {url} {why}")))?;
        }
        Ok(())
    }
}

async fn reach(endpoint: &Endpoint) -> Result<(), String> {
    let hint = "\nis it running, and is the port right?";
    match transport::open(endpoint, &Clock::System, Instant::now() + CONNECT_WITHIN).await {
        Ok(_) => Ok(()),
        Err(ConnectError::Tls(why)) => Err(format!("can't be spoken to by TLS: {why}")),
        Err(ConnectError::Timeout { step }) => {
            Err(format!("can't be reached: no answer within {} s ({step}){hint}", CONNECT_WITHIN.as_secs()))
        }
        Err(ConnectError::Io { error, .. }) => Err(format!("can't be reached: {error}{hint}")),
        Err(error) => Err(format!("can't be reached: {error}{hint}")),
    }
}
