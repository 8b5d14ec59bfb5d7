//! One host: a network namespace, and below a directory of its own the parts of the file system that a host has for itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use measure::{Clock, Timestamp};

use super::network::Port;
use super::tool;
use super::unit::{Restart, Unit, variables};

/// Goes into a host, makes what an init system makes for a unit, and becomes the unit's command.
const ENTER: &str = include_str!("enter.sh");
/// How long a kernel may take to end whom it was told to end.
const KILLED_WITHIN: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) port: Port,
    pub(super) role: &'static str,
    root: PathBuf,
    shared: PathBuf,
    unit: Option<Unit>,
    process: Option<Child>,
    /// When the init system starts the unit again.
    again: Option<Timestamp>,
    /// How long the log was when the process started.
    log_before: usize,
}

impl Host {
    /// A host without a unit yet, below `directory`.
    ///
    /// # Errors
    /// When its directories or its namespace can't be made.
    pub(super) fn new(port: Port, role: &'static str, directory: &Path) -> Result<Self> {
        let root = directory.join(&port.name);
        for part in ["etc/throng", "etc/alternatives", "lib/throng", "run"] {
            fs::create_dir_all(root.join(part))?;
        }
        port.plug()?;
        let shared = directory.join("shared");
        Ok(Self { port, role, root, shared, unit: None, process: None, again: None, log_before: 0 })
    }

    /// Where a file of the host is really.
    pub(super) fn path(&self, of_host: &str) -> PathBuf {
        let parts = [("/var/lib/", "lib/"), ("/etc/", "etc/"), ("/run/", "run/")];
        let ours = parts.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", of_host.strip_prefix(theirs)?)));
        self.root.join(ours.unwrap_or_else(|| of_host.trim_start_matches('/').to_owned()))
    }

    /// Writes a file of the host.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn write(&self, of_host: &str, text: &str) -> Result<()> {
        let path = self.path(of_host);
        let directory = path.parent().context("a file lies in a directory")?;
        fs::create_dir_all(directory)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// A command on this host, as the unit says, with these words in place of the unit's.
    pub(super) fn command(&self, unit: &Unit, words: &[String]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.port.name));
        command.args(["unshare", "--mount", "--uts", "sh", "-c", ENTER, "enter"]);
        command.args([&self.root, &self.shared]).args([&self.port.name, &unit.user, &unit.state_mode, &unit.files]);
        command.arg(&unit.working_directory).arg(unit.state.join(" ")).arg(unit.runtime.join(" ")).args(words);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").env("LANG", "C");
        command.stdin(Stdio::null());
        command
    }

    fn with_environment(&self, unit: &Unit) -> Result<Command> {
        let mut all = BTreeMap::new();
        for file in &unit.environment {
            let path = self.path(file);
            all.extend(variables(&fs::read_to_string(&path).with_context(|| path.display().to_string())?));
        }
        let mut command = self.command(unit, &unit.words(&all)?);
        command.envs(all);
        Ok(command)
    }

    /// Does what a oneshot unit does.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn once(&self, unit: &str) -> Result<()> {
        let unit = Unit::read(unit)?;
        tool(&mut self.with_environment(&unit)?).with_context(|| format!("{} boots", self.port.name)).map(drop)
    }

    /// Starts the role's unit.
    ///
    /// # Errors
    /// When it can't be started.
    pub(super) fn start(&mut self) -> Result<()> {
        let unit = Unit::read(&format!("throng-{}", self.role))?;
        self.log_before = self.log().len();
        let log = File::options().create(true).append(true).open(self.root.join("log"))?;
        let mut command = self.with_environment(&unit)?;
        self.process = Some(command.stdout(log.try_clone()?).stderr(log).spawn().context("nsenter can't be started")?);
        (self.unit, self.again) = (Some(unit), None);
        Ok(())
    }

    /// What an init system does from time to time: starts again what has ended by itself.
    ///
    /// # Errors
    /// When it can't be started.
    pub(super) fn tend(&mut self) -> Result<()> {
        let now = Clock::System.now();
        if let (Some(process), Some(unit)) = (&mut self.process, &self.unit)
            && let Some(status) = process.try_wait()?
        {
            self.process = None;
            let restarts = match unit.restart {
                Restart::Never => false,
                Restart::OnFailure => !status.success(),
                Restart::Always => true,
            };
            self.again = restarts.then(|| now + unit.restart_after);
        }
        match self.again {
            Some(due) if now >= due => self.start(),
            _ => Ok(()),
        }
    }

    /// Kills the process, as nothing can prevent; what then happens is the unit's.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn kill(&mut self) -> Result<()> {
        let process = self.process.as_mut().with_context(|| format!("{} runs nothing", self.port.name))?;
        process.kill().context("it can't be killed")
    }

    /// Kills the process, and keeps it from being started again.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn kill_and_hold(&mut self) -> Result<()> {
        self.kill()?;
        self.gone(KILLED_WITHIN).map(drop)
    }

    /// Stops the unit in order: SIGTERM, and its time to end.
    ///
    /// # Errors
    /// When it doesn't end in time.
    pub(super) fn stop(&mut self) -> Result<()> {
        let (Some(process), Some(unit)) = (&self.process, &self.unit) else { return Ok(()) };
        let within = unit.stop_within;
        tool(Command::new("kill").args(["-TERM", &process.id().to_string()]))?;
        let code = self.gone(within)?;
        ensure!(code == Some(0), "{} ended with {code:?} when it was stopped\n{}", self.port.name, self.tail());
        Ok(())
    }

    fn gone(&mut self, within: Duration) -> Result<Option<i32>> {
        let start = Clock::System.now();
        let Some(process) = &mut self.process else { return Ok(None) };
        loop {
            if let Some(status) = process.try_wait()? {
                (self.process, self.again) = (None, None);
                return Ok(status.code());
            }
            if Clock::System.now().since(start) > within {
                bail!("{} did not end within {} s\n{}", self.port.name, within.as_secs(), self.tail());
            }
            std::thread::sleep(super::LOOK);
        }
    }

    /// Whether the process that runs now has said that it serves.
    pub(super) fn serves(&self) -> bool {
        let log = self.log();
        // Lines of the log proper have a time.
        let says_so =
            |line: &str| line.starts_with('{') && line.contains("\"role\":") && !line.contains("\"timestamp\"");
        self.process.is_some() && log.get(self.log_before..).is_some_and(|new| new.lines().any(says_so))
    }

    /// How often its agent has joined the control plane.
    pub(super) fn joins(&self) -> usize {
        self.log().matches("joined the control plane").count()
    }

    /// Everything that its unit said.
    pub(super) fn log(&self) -> String {
        fs::read(self.root.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The end of that, for a person.
    pub(super) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(4)..].join("\n");
        format!("-- {}\n{last}", self.port.name)
    }
}
