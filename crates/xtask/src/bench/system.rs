//! throng itself, as whoever measures with it uses it: the release binary, a scenario, and the run's result.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{repo, steps};

/// A run of the release binary, and what it says.
pub(super) struct Run {
    directory: PathBuf,
    result: Value,
}

/// Builds the binary that is measured.
///
/// # Errors
/// When it doesn't build.
pub(super) fn build() -> Result<()> {
    steps::run(repo::cargo().args(["build", "--quiet", "--release", "--package", "throng"]))
}

impl Run {
    /// Runs a scenario with one worker and whatever else `args` say.
    ///
    /// # Errors
    /// When the run does not come to a result. A result that is *failed* or *invalid* is one: a bench drives the system
    /// to its limit.
    pub(super) fn of(scenario: &str, args: &[&str]) -> Result<Self> {
        let directory = repo::root().join("target/bench");
        std::fs::create_dir_all(&directory)?;
        let file = directory.join("scenario.yaml");
        std::fs::write(&file, scenario)?;
        let out = directory.join("run");
        if out.exists() {
            std::fs::remove_dir_all(&out)?;
        }
        let binary = std::env::current_exe()?.with_file_name("throng");
        let ended = Command::new(binary)
            .current_dir(repo::root())
            .args(["run", "--quiet", "--json", "--log", "error", "--out"])
            .args([&out, &file])
            .args(args)
            .stdout(Stdio::null())
            .status()
            .context("throng can't be started")?;
        let text = std::fs::read_to_string(out.join("result.json"))
            .with_context(|| format!("the run left no result ({ended})"))?;
        let result: Value = serde_json::from_str(&text)?;
        let run = Self { directory: out, result };
        ensure!(run.users() > 0.0, "no user was connected: {}", run.reasons());
        // What is fast because it leaves something out is not fast.
        let lost = run.number("/completeness/lost").context("nobody counted what was lost")?;
        ensure!(lost == 0.0, "{lost} events were lost: {}", run.reasons());
        Ok(run)
    }

    /// Copies the run's report.
    ///
    /// # Errors
    /// When it can't be copied.
    pub(super) fn keep_report(&self, to: &Path) -> Result<()> {
        std::fs::copy(self.directory.join("report.html"), to).with_context(|| to.display().to_string())?;
        Ok(())
    }

    /// A number of the result, by its path.
    pub(super) fn number(&self, path: &str) -> Option<f64> {
        self.result.pointer(path)?.as_f64()
    }

    /// Most users that were connected at once.
    pub(super) fn users(&self) -> f64 {
        self.number("/users/connected_max").unwrap_or_default()
    }

    /// Why the verdict is what it is.
    pub(super) fn reasons(&self) -> String {
        self.result["verdict"].to_string()
    }

    /// A series of the timeline, a value a second.
    pub(super) fn timeline(&self, name: &str) -> Vec<f64> {
        series(&self.result["timeline"][name])
    }

    /// A series of all sources of a kind, a value a second, added.
    pub(super) fn sum_of(&self, kind: &str, name: &str) -> Vec<f64> {
        let sources = self.result["sources"].as_array().into_iter().flatten();
        let wanted = sources.filter(|source| source["kind"] == kind).map(|source| series(&source[name]));
        wanted.fold(Vec::new(), |mut sum: Vec<f64>, one| {
            sum.resize(sum.len().max(one.len()), 0.0);
            sum.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
            sum
        })
    }
}

fn series(values: &Value) -> Vec<f64> {
    values.as_array().into_iter().flatten().map(|value| value.as_f64().unwrap_or_default()).collect()
}
