//! What the tests need beside Rust: a browser that opens the report, and programs that know nothing of throng to speak
//! to its chat server.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

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
];

/// Installs what is missing when root, and otherwise says what to install.
///
/// # Errors
/// When something is missing and could not be installed.
pub(crate) fn ensure() -> Result<String> {
    let missing: Vec<&Needed> = NEEDED.iter().filter(|n| !(n.there)()).collect();
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

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
