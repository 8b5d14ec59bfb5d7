//! The service under test: the command line's, or else the scenario's, or else the bundled chat server.

use std::time::Duration;

use client::Endpoint;
use proto::control::Target;
use scenarios::Scenario;
use scenarios::model::Tokens;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::Credentials;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::local::fleet::Keys;
use crate::secrets::{Secret, random_word};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The service under test.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Base URLs; none: the bundled server's, once it serves.
    urls: Vec<String>,
    api_key: String,
    api_secret: Option<Secret>,
    bundled: bool,
}

/// Decides what is measured.
///
/// # Errors
/// When a URL is none, or a service that isn't ours is named without a way to sign in.
pub(super) fn choose(urls: &[String], credentials: &Credentials, scenario: &Scenario) -> Result<Chosen, Failure> {
    let spec = &scenario.target;
    let urls = if urls.is_empty() { spec.urls.clone() } else { urls.to_vec() };
    if urls.is_empty() {
        let secret = Secret::from_file_or_environment(credentials.api_secret_file.as_deref()).or_exit(Exit::Usage)?;
        let api_key = credentials.api_key.clone().unwrap_or_else(|| random_word(12));
        let api_secret = Some(secret.unwrap_or_else(Secret::random));
        return Ok(Chosen { urls, api_key, api_secret, bundled: true });
    }
    for url in &urls {
        Endpoint::parse(url).or_exit(Exit::Usage)?;
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
    Ok(Chosen { urls, api_key, api_secret, bundled: false })
}

impl Chosen {
    /// No service at all, in a rehearsal.
    pub(super) fn none() -> Self {
        Self { urls: Vec::new(), api_key: String::new(), api_secret: None, bundled: false }
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
        }
    }

    /// Whether somebody answers at each URL.
    ///
    /// # Errors
    /// When nobody does, within a few seconds.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        for url in &self.urls {
            reach(url).await.map_err(|why| {
                let text = format!("the target {url} can't be reached: {why}\nis it running, and is the port right?");
                Failure::new(Exit::Unavailable, text)
            })?;
        }
        Ok(())
    }
}

async fn reach(url: &str) -> Result<(), String> {
    let endpoint = Endpoint::parse(url).map_err(|e| e.to_string())?;
    match timeout(CONNECT_WITHIN, TcpStream::connect((endpoint.host(), endpoint.port()))).await {
        Err(_) => Err(format!("no answer within {} s", CONNECT_WITHIN.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) => Ok(()),
    }
}
