//! Starting a process, for the first time and again, and how often that is worth it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;

use super::child::{Child, Ended, Spec};
use crate::secrets::{Secret, SecretFile};

/// How often processes of one role are started again in one run; or once each, where they are more.
const RESTARTS_MAX: u32 = 5;
/// How often one start is tried: its port may be held for a moment.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// A process that goes on where it was when it is started again, at the address that everybody knows.
#[derive(Debug)]
pub(super) struct Restartable {
    pub(super) spec: Spec,
    /// A secret, and the flag that names the file it is read from.
    pub(super) secret: Option<(OsString, Secret)>,
}

impl From<Spec> for Restartable {
    fn from(spec: Spec) -> Self {
        Self { spec, secret: None }
    }
}

impl Restartable {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// When it doesn't; with the last lines of its log.
    pub(super) async fn start(&self, logs: &Path, tell: mpsc::Sender<Ended>) -> Result<Child> {
        let mut spec = self.spec.clone();
        // Read once, when it starts; so the file is gone as soon as it serves, and made anew for each start.
        let mut file = None;
        if let Some((flag, secret)) = &self.secret {
            let made = file.insert(SecretFile::new(secret)?);
            spec.flags.extend([flag.clone(), made.path().into_os_string()]);
        }
        Child::start(&spec, logs, tell).await
    }
}

/// Those that may be started again, by name, and how often that was done.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    may: BTreeMap<String, Restartable>,
    /// By the role's name.
    done: BTreeMap<&'static str, u32>,
}

impl Restarts {
    /// Of these processes.
    pub(super) fn of(processes: impl IntoIterator<Item = Restartable>) -> Self {
        let may = processes.into_iter().map(|process| (process.spec.name.clone(), process)).collect();
        Self { may, done: BTreeMap::new() }
    }

    /// Whether a process goes on where it was when it is started again.
    pub(super) fn may(&self, name: &str) -> bool {
        self.may.contains_key(name)
    }

    /// Counts another end of a process, and answers how it is started again.
    ///
    /// # Errors
    /// When it can't be, or those of its role have ended too often.
    fn again(&mut self, name: &str) -> Result<&Restartable> {
        let again = self.may.get(name).with_context(|| format!("{name} can't go on where it was"))?;
        let role = again.spec.role;
        let alike = self.may.values().filter(|process| process.spec.role == role).count();
        let ended = self.done.entry(role.name()).or_default();
        *ended += 1;
        let who = if alike > 1 { format!("{name} and others like it have") } else { format!("{name} has") };
        ensure!(*ended <= RESTARTS_MAX.max(u32::try_from(alike).unwrap_or(u32::MAX)), "{who} ended {ended} times");
        Ok(again)
    }

    /// Starts a process again.
    ///
    /// # Errors
    /// When it is none that may be, doesn't come back, or has come back often enough.
    pub(super) async fn restart(&mut self, name: &str, logs: &Path, tell: &mpsc::Sender<Ended>) -> Result<Child> {
        let again = self.again(name)?;
        let mut tried = 1;
        loop {
            match again.start(logs, tell.clone()).await {
                Ok(child) => return Ok(child),
                Err(error) if tried >= TRIES => return Err(error),
                Err(_) => tried += 1,
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::child::Role;
    use super::*;

    fn named(name: &str, role: Role) -> Restartable {
        Spec { name: name.to_owned(), role, flags: Vec::new(), nice: None, threads: None }.into()
    }

    fn edges(n: usize) -> Restarts {
        let edges = (1..=n).map(|n| named(&format!("edge-{n}"), Role::ChatServer));
        Restarts::of(edges.chain([named("data-plane", Role::DataPlane)]))
    }

    #[test]
    fn the_edges_of_a_run_share_their_restarts_and_leave_the_others_theirs() {
        let mut restarts = edges(2);
        for n in 0..5 {
            restarts.again(["edge-1", "edge-2"][n % 2]).unwrap();
        }
        let told = restarts.again("edge-2").unwrap_err().to_string();
        assert_eq!(told, "edge-2 and others like it have ended 6 times");
        for _ in 0..5 {
            restarts.again("data-plane").unwrap();
        }
        assert_eq!(restarts.again("data-plane").unwrap_err().to_string(), "data-plane has ended 6 times");
        assert!(restarts.may("edge-1") && !restarts.may("chat-server"));
        assert!(restarts.again("chat-server").unwrap_err().to_string().contains("chat-server can't go on"));
    }

    #[test]
    fn each_of_many_edges_may_die_once() {
        let mut restarts = edges(60);
        for n in 1..=60 {
            restarts.again(&format!("edge-{n}")).unwrap();
        }
        assert!(restarts.again("edge-1").is_err());
    }
}
