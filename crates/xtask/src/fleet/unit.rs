//! A unit file of `deploy/units`, as far as starting throng goes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::repo;

/// What an init system does with a process that has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Never,
    OnFailure,
    Always,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The command, with its variables.
    command: String,
    /// Files of variables, as the host names them.
    pub(super) environment: Vec<String>,
    /// Who runs it.
    pub(super) user: String,
    /// What the init system makes below /var/lib.
    pub(super) state: Vec<String>,
    pub(super) state_mode: String,
    /// What it makes below /run.
    pub(super) runtime: Vec<String>,
    pub(super) working_directory: String,
    pub(super) restart: Restart,
    pub(super) restart_after: Duration,
    /// How long it may take to end before it is killed.
    pub(super) stop_within: Duration,
    /// Files that it may have open.
    pub(super) files: String,
}

impl Unit {
    /// Reads `deploy/units/<name>.service`.
    ///
    /// # Errors
    /// When there is none, or it can't be understood.
    pub(super) fn read(name: &str) -> Result<Self> {
        let path = repo::root().join(format!("deploy/units/{name}.service"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads a unit.
    ///
    /// # Errors
    /// When it can't be understood.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let joined = text.replace("\\\n", " ");
        let mut service = BTreeMap::<&str, Vec<&str>>::new();
        let mut section = "";
        for line in joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            match line.split_once('=') {
                Some((key, value)) if section == "[Service]" => service.entry(key).or_default().push(value),
                Some(_) => {}
                None => section = line,
            }
        }
        let of = |key: &str| service.get(key).and_then(|all| all.last()).copied();
        let words = |key: &str| of(key).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let seconds = |key: &str, default: u64| match of(key) {
            Some(text) => text.parse().map(Duration::from_secs).with_context(|| format!("{key}={text}")),
            None => Ok(Duration::from_secs(default)),
        };
        Ok(Self {
            command: of("ExecStart").context("it starts nothing")?.to_owned(),
            environment: service.get("EnvironmentFile").into_iter().flatten().map(|&f| f.to_owned()).collect(),
            user: of("User").unwrap_or("root").to_owned(),
            state: words("StateDirectory"),
            state_mode: of("StateDirectoryMode").unwrap_or("0755").to_owned(),
            runtime: words("RuntimeDirectory"),
            working_directory: of("WorkingDirectory").unwrap_or("/").to_owned(),
            restart: match of("Restart").unwrap_or("no") {
                "no" => Restart::Never,
                "on-failure" => Restart::OnFailure,
                "always" => Restart::Always,
                other => bail!("Restart={other} is not known here"),
            },
            restart_after: seconds("RestartSec", 0)?,
            stop_within: seconds("TimeoutStopSec", 90)?,
            files: of("LimitNOFILE").unwrap_or("1024").to_owned(),
        })
    }

    /// The words of the command, with the variables filled in: `${X}` in a word, `$X` as words.
    ///
    /// # Errors
    /// Which variable is not set.
    pub(super) fn words(&self, variables: &BTreeMap<String, String>) -> Result<Vec<String>> {
        let value = |name: &str| variables.get(name).with_context(|| format!("{name} is not set: {}", self.command));
        let mut words = Vec::new();
        for word in self.command.split_whitespace() {
            if let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                words.extend(value(name)?.split_whitespace().map(str::to_owned));
                continue;
            }
            let mut whole = String::new();
            let mut rest = word;
            while let Some((before, after)) = rest.split_once("${") {
                let (name, after) = after.split_once('}').with_context(|| format!("{word} has no end"))?;
                whole = whole + before + value(name)?;
                rest = after;
            }
            words.push(whole + rest);
        }
        Ok(words)
    }
}

/// The variables of a file of them.
pub(super) fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';']));
    lines.filter_map(|l| l.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_as_an_init_system_reads_it() {
        let text = "[Unit]\nRestart=not here\n[Service]\nUser=throng\nEnvironmentFile=/a\nEnvironmentFile=/b\n# no\n\
                    ExecStart=/usr/local/bin/throng \\\n    worker \\\n  --at ${HOST}:7 $MORE\nRestart=always\nRestartSec=2\n";
        let unit = Unit::parse(text).unwrap();
        assert_eq!((unit.user.as_str(), unit.restart), ("throng", Restart::Always));
        assert_eq!((unit.environment.len(), unit.restart_after), (2, Duration::from_secs(2)));
        let variables = variables("# of a host\nHOST=h\nMORE=--one 1 --two\nNONE=\n");
        let words = unit.words(&variables).unwrap();
        assert_eq!(words, ["/usr/local/bin/throng", "worker", "--at", "h:7", "--one", "1", "--two"]);
        assert!(unit.words(&BTreeMap::new()).unwrap_err().to_string().contains("HOST is not set"));
        assert!(Unit::parse("[Service]\nExecStart=/bin/x\nRestart=sometimes\n").is_err());
    }

    #[test]
    fn every_role_has_a_unit() {
        for role in ["control-plane", "data-plane", "origin", "edge", "worker", "probe"] {
            let unit = Unit::read(&format!("throng-{role}")).unwrap();
            assert!(unit.command.starts_with("/usr/local/bin/throng ") && unit.user == "throng", "{unit:?}");
        }
    }
}
