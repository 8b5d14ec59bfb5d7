//! Tells the binary from which commit it is built, for reports and `--version`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What of a crate is part of the binary.
const SOURCES: [&str; 4] = ["src", "assets", "templates", "proto"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let version = env!("CARGO_PKG_VERSION");
    // Outside a checkout nobody knows; a version is then all there is to say.
    let build = git(&root, &["rev-parse", "--short=12", "HEAD"]).map_or_else(
        || version.to_owned(),
        |commit| {
            let changed =
                git(&root, &["status", "--porcelain", "--untracked-files=no"]).is_none_or(|all| !all.is_empty());
            format!("{version} (commit {commit}{})", if changed { ", with changes" } else { "" })
        },
    );
    println!("cargo:rustc-env=THRONG_BUILD={build}");
    for path in watched(&root) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// What another commit, or a change of one, is seen by.
fn watched(root: &Path) -> Vec<PathBuf> {
    let crates = [root.to_owned(), root.join("crates")].into_iter().filter_map(|dir| dir.read_dir().ok()).flatten();
    let sources = crates.flatten().flat_map(|entry| SOURCES.map(|part| entry.path().join(part)));
    let head = git(root, &["rev-parse", "--git-path", "logs/HEAD"]).map(|path| root.join(path));
    // One that is missing would count as changed each time.
    sources.chain(head).filter(|path| path.exists()).chain([PathBuf::from("build.rs")]).collect()
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let answer = Command::new("git").arg("--no-optional-locks").arg("-C").arg(root).args(args).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}
