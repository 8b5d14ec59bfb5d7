//! A scenario's file: read with all that it needs to mean the same elsewhere, and checked.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use scenarios::{Diagnostics, LARGEST_FILE, Scenario, Source};

use crate::exit::{Exit, Failure};
use crate::say;

/// A scenario that validates, and what it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// What it means.
    pub(crate) scenario: Scenario,
    source: Source,
}

impl Loaded {
    /// Users of the whole run, canaries included.
    pub(crate) fn users(&self) -> u64 {
        self.scenario.users() + u64::from(self.scenario.probes.canaries)
    }

    /// Whether it leaves its target to the bundled server.
    pub(crate) fn bundled(&self) -> bool {
        self.scenario.target.urls.is_empty()
    }

    /// What a control plane is given.
    pub(crate) fn message(&self) -> proto::control::Scenario {
        let Source { file_name, bytes, overrides, variables, base_dir } = self.source.clone();
        let (variables, base_dir) = (variables.into_iter().collect(), base_dir.display().to_string());
        proto::control::Scenario { file_name, source: bytes.into(), overrides, variables, base_dir }
    }
}

/// Reads a scenario's file.
///
/// # Errors
/// When it can't be read; what to do about it.
pub(crate) fn read(path: &Path, overrides: &[String]) -> Result<Source, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("can't read the scenario {}: {why}", path.display()))
    };
    if path.is_dir() {
        return Err(refuse(&"it is a directory; name the file in it"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| refuse(&e))?;
    // One byte more than is allowed, so that a file that is too large is told from one that just fits.
    file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes).map_err(|e| refuse(&e))?;
    let text = String::from_utf8_lossy(&bytes);
    let named = std::iter::once(text.as_ref()).chain(overrides.iter().map(String::as_str));
    let names = named.flat_map(scenarios::variables_needed);
    let variables: BTreeMap<String, String> =
        names.filter_map(|name| std::env::var(&name).ok().map(|value| (name, value))).collect();
    Ok(Source {
        file_name: path.display().to_string(),
        overrides: overrides.to_vec(),
        variables,
        base_dir: base_dir(path),
        bytes,
    })
}

/// The directory that the scenario's own paths start from, absolute, so that it is the same for every process.
fn base_dir(path: &Path) -> PathBuf {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned())
}

/// Reads and checks a scenario; all that is wrong with it is told on stderr.
///
/// # Errors
/// When it can't be read, or doesn't validate.
pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<Loaded, Failure> {
    let source = read(path, overrides)?;
    match scenarios::parse(&source) {
        Ok(scenario) => Ok(Loaded { scenario, source }),
        Err(diagnostics) => {
            tell(&diagnostics);
            Err(Failure::told(Exit::Usage))
        }
    }
}

/// Shows all that is wrong, in colour where that can be seen.
pub(crate) fn tell(diagnostics: &Diagnostics) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    say::tell(diagnostics.render(std::io::stderr().is_terminal() && !plain));
}

/// The command line as a person would type it again, for the report; values of secrets are left out.
pub(crate) fn command(words: impl Iterator<Item = String>) -> String {
    let is_secret = |key: &str| ["secret", "token", "api_key", "api-key"].iter().any(|part| key.contains(part));
    let mut hide_next = false;
    let quoted = words.skip(1).map(|word| {
        let secret = word.match_indices('=').map(|(at, _)| &word[..at]).find(|key| is_secret(key));
        let hidden = std::mem::replace(&mut hide_next, word == "--api-key");
        let word = match secret {
            _ if hidden => "…".to_owned(),
            Some(key) => format!("{key}=…"),
            None => word,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    std::iter::once("throng".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_typed_again_and_hold_no_secret() {
        let line = [
            "/usr/bin/throng",
            "run",
            "my file.yaml",
            "--set",
            "hold=5s",
            "--set",
            "target.tokens.secret=hush",
            "--api-key",
            "hush",
            "--set=target.api_key=hush",
        ];
        let told = command(line.into_iter().map(str::to_owned));
        assert_eq!(
            told,
            "throng run 'my file.yaml' --set hold=5s --set 'target.tokens.secret=…' --api-key '…' '--set=target.api_key=…'"
        );
    }

    #[test]
    fn paths_start_where_the_scenario_lies() {
        assert!(base_dir(Path::new("s.yaml")).is_absolute());
        assert_eq!(base_dir(Path::new("/tmp/s.yaml")), Path::new("/tmp").canonicalize().unwrap());
    }
}
