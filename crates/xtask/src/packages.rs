//! What the tests need beside Rust: a browser that opens the report, and programs that know nothing of throng to speak
//! to its chat server.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{repo, steps};

struct Needed {
    /// Why it is needed, in words.
    why: &'static str,
    debian: &'static str,
    there: fn() -> bool,
}

const NEEDED: &[Needed] = &[
    Needed { why: "opens the report in a real browser", debian: "chromium", there: browser },
    Needed { why: "an independent WebSocket client", debian: "python3-websockets", there: python_websockets },
    Needed { why: "an independent HTTP client", debian: "curl", there: || answers("curl", &["--version"]) },
    Needed { why: "an independent reader of our histograms goes into one", debian: "python3-venv", there: venvs },
];

/// What a fleet in network namespaces needs.
const NEEDED_FOR_FLEET: &[Needed] = &[
    Needed { why: "makes the network of a fleet", debian: "iproute2", there: || answers("ip", &["-V"]) },
    Needed { why: "makes the hosts of a fleet", debian: "util-linux", there: || answers("setpriv", &["--version"]) },
];

/// PyPI's HdrHistogram, which reads `intervals.hlog` in a test.
const HDRHISTOGRAM: &str = "hdrhistogram==0.10.8";

/// Installs what is missing: Debian's packages when root, and otherwise says what to install; PyPI's into a virtual
/// environment of ours.
///
/// # Errors
/// When something is missing and could not be installed.
pub(crate) fn ensure() -> Result<String> {
    let debian = ensure_debian(NEEDED)?;
    Ok(if ensure_hdrhistogram()? { format!("{debian}; {HDRHISTOGRAM} from PyPI") } else { debian })
}

/// Installs what a fleet in network namespaces needs.
///
/// # Errors
/// When something is missing and could not be installed.
pub(crate) fn ensure_for_fleet() -> Result<String> {
    ensure_debian(NEEDED_FOR_FLEET)
}

fn ensure_debian(needed: &[Needed]) -> Result<String> {
    let missing: Vec<&Needed> = needed.iter().filter(|n| !(n.there)()).collect();
    if missing.is_empty() {
        return Ok("all there".to_owned());
    }
    for n in &missing {
        println!("missing: {} ({})", n.debian, n.why);
    }
    let names: Vec<&str> = missing.iter().map(|n| n.debian).collect();
    let names = names.join(" ");
    if !is_root() || !answers("apt-get", &["--version"]) {
        bail!("please install: sudo apt-get install {names}");
    }
    println!("installing with apt-get, since we are root: {names}");
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        apt
    };
    steps::run(apt().args(["update", "-qq"]))?;
    steps::run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(names.split(' ')))?;
    let still: Vec<&str> = missing.iter().filter(|n| !(n.there)()).map(|n| n.debian).collect();
    if !still.is_empty() {
        bail!("apt-get succeeded, but these can still not be used: {}", still.join(", "));
    }
    Ok(format!("installed {names}"))
}

/// Whether it had to be installed.
fn ensure_hdrhistogram() -> Result<bool> {
    let venv = venv()?;
    let python = venv.join("bin/python").display().to_string();
    let has = |python: &str| answers(python, &["-c", "import hdrh"]);
    if has("python3") || has(&python) {
        return Ok(false);
    }
    println!(
        "missing: {HDRHISTOGRAM} (an independent reader of our histograms); installing it into {}",
        venv.display()
    );
    steps::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", HDRHISTOGRAM];
    steps::run(Command::new(&python).args(pip)).with_context(|| {
        format!("where PyPI can't be reached, give the python3 in the path a package of {HDRHISTOGRAM} by other means")
    })?;
    if !has(&python) {
        bail!("pip succeeded, but {python} can still not import hdrh");
    }
    Ok(true)
}

/// Beside what cargo builds, where the test looks for it, too: it lies as far above us as above the test's binary.
fn venv() -> Result<PathBuf> {
    let us = std::env::current_exe().context("our own program can't be found")?;
    Ok(us.ancestors().nth(2).context("our own program lies in no target directory")?.join("python"))
}

fn answers(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .current_dir(repo::root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}

fn browser() -> bool {
    ["chromium", "chromium-browser", "google-chrome"].iter().any(|b| answers(b, &["--version"]))
}

/// Debian's module belongs to Debian's Python, which may not be the first in the path.
fn python_websockets() -> bool {
    ["python3", "/usr/bin/python3"].iter().any(|p| answers(p, &["-c", "import websockets"]))
}

/// Whether there is no need of a virtual environment any more, or one can be made.
fn venvs() -> bool {
    answers("python3", &["-c", "import hdrh"]) || answers("python3", &["-c", "import venv, ensurepip"])
}

/// Whether we may do everything on this machine.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
