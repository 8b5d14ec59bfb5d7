//! The run's id and its directory.

use std::path::{Path, PathBuf};

use measure::clock::wall_clock;

use crate::exit::{Exit, Failure};
use crate::secrets::random_word;

/// A run's id: when it was started (UTC), of which scenario, and something that makes it unique.
pub(crate) fn id(scenario: &str) -> String {
    let now = jiff::Timestamp::try_from(wall_clock()).unwrap_or_default();
    let plain: String = scenario.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(40).collect();
    format!("{}-{plain}-{}", now.strftime("%Y%m%d-%H%M%S"), random_word(4))
}

/// Makes the directory, absolute, with its `logs`.
///
/// # Errors
/// When it can't be made or written, or holds a run already.
pub(crate) fn make(out: Option<&Path>, id: &str) -> Result<PathBuf, Failure> {
    let wanted = out.map_or_else(|| Path::new("runs").join(id), Path::to_owned);
    let refuse = |what: &str, error: &std::io::Error| {
        let path = wanted.display();
        Failure::new(
            Exit::Unavailable,
            format!("{what} the run's directory {path}: {error}\nname another with --out DIR"),
        )
    };
    // Its name goes into JSON, and from process to process.
    if wanted.to_str().is_none() {
        let text = format!("the run's directory {} is no UTF-8\nname another with --out DIR", wanted.display());
        return Err(Failure::new(Exit::Usage, text));
    }
    if wanted.join("result.json").exists() {
        let text = format!("{} holds a run already\nname another directory with --out DIR", wanted.display());
        return Err(Failure::new(Exit::Usage, text));
    }
    std::fs::create_dir_all(wanted.join("logs")).map_err(|e| refuse("can't make", &e))?;
    // Making directories that are there already says nothing about writing into them.
    let probe = wanted.join("logs").join(format!(".writable-{}", random_word(8)));
    std::fs::write(&probe, [])
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| refuse("can't write into", &e))?;
    let absolute = wanted.canonicalize().map_err(|e| refuse("can't find", &e))?;
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(refuse("can't use", &std::io::Error::other("a directory above it has a name that is no UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn ids_are_file_names() {
        let id = id("../a b/c: stadium-5m");
        assert!(id.ends_with(|c: char| c.is_ascii_hexdigit()), "{id}");
        assert!(id.contains("-abcstadium-5m-") && !id.contains('/'), "{id}");
    }

    #[test]
    fn a_directory_that_holds_a_run_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/run");
        assert_eq!(make(Some(&out), "x").unwrap(), out.canonicalize().unwrap());
        assert!(out.join("logs").is_dir());
        std::fs::write(out.join("result.json"), "{}").unwrap();
        assert_eq!(make(Some(&out), "x").unwrap_err().exit, Exit::Usage);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let failure = make(Some(&dir.path().join("file/run")), "x").unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        let told = failure.error.unwrap().to_string();
        let strange = std::ffi::OsStr::from_bytes(b"\xff");
        assert_eq!(make(Some(&dir.path().join(strange)), "x").unwrap_err().exit, Exit::Usage);
        assert!(told.contains("--out DIR"), "{told}");
    }
}
