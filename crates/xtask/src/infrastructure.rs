//! `terraform/` and `deploy/kubernetes/`, checked with the real command-line tools: what can be found out about a fleet
//! without having one. The checks themselves are Python, beside what they check; this installs what they run on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::{repo, steps};

/// The AWS provider's published typings, of which the tests make its schema. They are fetched and never kept in the
/// repository: their licence is not ours.
const TYPINGS: &str = "cdktf-cdktf-provider-aws==21.22.1";
/// The file that pip makes of that.
const WHEEL: &str = "cdktf_cdktf_provider_aws-21.22.1-py3-none-any.whl";

/// Makes fleets with the real Terraform out of a stand-in for AWS, and mistakes in copies of the modules.
///
/// # Errors
/// What could not be installed, or what isn't right.
pub(crate) fn terraform() -> Result<String> {
    let how = "see https://developer.hashicorp.com/terraform/install, 1.9 or newer";
    if let Some(said) = missing("terraform", &["version"], how) {
        return Ok(said);
    }
    let directory = directory();
    let python = python(&directory)?;
    let wheel = directory.join(WHEEL);
    if !wheel.exists() {
        println!("fetching {TYPINGS} from PyPI into {}", directory.display());
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]);
        steps::run(pip.arg(&directory).arg(TYPINGS)).context("let pip reach PyPI")?;
    }
    checked(&python, "terraform/tests/run.py", &[&directory.join("terraform"), &wheel])
}

/// Holds the manifests against Kubernetes' published schemas.
///
/// # Errors
/// What could not be installed, or what isn't right.
pub(crate) fn kubernetes() -> Result<String> {
    let how = "see https://kubernetes.io/docs/tasks/tools, 1.29 or newer";
    if let Some(said) = missing("kubectl", &["version", "--client"], how) {
        return Ok(said);
    }
    let directory = directory();
    let python = python(&directory)?;
    checked(&python, "deploy/kubernetes/tests/run.py", &[&directory.join("kubernetes")])
}

fn directory() -> PathBuf {
    repo::target().join("infrastructure")
}

/// Words for the summary where a tool is missing that can't be installed from here: whoever reads them knows what was not
/// checked.
fn missing(tool: &str, version: &[&str], how: &str) -> Option<String> {
    let mut there = Command::new(tool);
    there.args(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let is_there = there.status().is_ok_and(|status| status.success());
    (!is_there).then(|| format!("SKIPPED, nothing was checked: no {tool} here: please install it ({how})"))
}

/// A Python with what the checks need, installed anew when that changes.
fn python(directory: &Path) -> Result<PathBuf> {
    let environment = directory.join("python");
    let python = environment.join("bin/python");
    let requirements = repo::root().join("terraform/tests/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let installed = environment.join("requirements.txt");
    if python.exists() && std::fs::read_to_string(&installed).is_ok_and(|had| had == wanted) {
        return Ok(python);
    }
    println!("installing {} from PyPI into {}", requirements.display(), environment.display());
    let help = "please install Python's venv and pip (Debian: python3-venv), or let pip reach PyPI";
    steps::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).context(help)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    steps::run(pip.arg(&requirements)).context(help)?;
    std::fs::write(&installed, wanted).with_context(|| installed.display().to_string())?;
    Ok(python)
}

/// Runs a script of checks; its last line sums up.
fn checked(python: &Path, script: &str, arguments: &[&Path]) -> Result<String> {
    let mut last = String::new();
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command.arg(repo::root().join(script)).args(arguments);
    steps::run_reading(&mut command, |line| line.clone_into(&mut last)).with_context(|| format!("{script}: {last}"))?;
    Ok(last)
}
