//! Steps one after another, each timed, and a plain summary at the end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use measure::Clock;

/// What has been done so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
    clock: Clock,
}

struct Done {
    name: &'static str,
    took: Duration,
    outcome: Result<String>,
}

impl Steps {
    /// Does one step and goes on whatever comes of it; `work` answers a few words for the summary.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<String>) {
        println!("\n== {name}");
        let start = self.clock.now();
        let outcome = work();
        if let Err(error) = &outcome {
            eprintln!("{name}: {error:#}");
        }
        self.done.push(Done { name, took: self.clock.now().since(start), outcome });
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        let total: Duration = self.done.iter().map(|d| d.took).sum();
        println!("\n== summary");
        for Done { name, took, outcome } in &self.done {
            let (word, text) = match outcome {
                Ok(text) => ("ok    ", text.clone()),
                Err(error) => ("FAILED", format!("{error:#}").lines().next().unwrap_or_default().to_owned()),
            };
            println!("{word} {:>7.1} s  {name:<12} {text}", took.as_secs_f64());
        }
        println!("       {:>7.1} s  in all", total.as_secs_f64());
        let failed: Vec<&str> = self.done.iter().filter(|d| d.outcome.is_err()).map(|d| d.name).collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        println!("everything passed");
        Ok(())
    }
}

/// Runs a command whose output goes straight to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} can't be started"))?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

/// Runs a command, shows its stdout as it comes, and hands each line to `line` too.
pub(crate) fn run_reading(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?} can't be started"))?;
    let stdout = child.stdout.take().context("stdout was piped")?;
    for text in BufReader::new(stdout).lines() {
        let text = text?;
        println!("{text}");
        line(&text);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

fn words(command: &Command) -> String {
    let args = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once("cargo".to_owned()).chain(args).collect::<Vec<_>>().join(" ")
}
