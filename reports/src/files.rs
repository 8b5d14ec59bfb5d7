//! The files of a run's directory, and how they are written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// The scenario as it was written.
pub(crate) const SCENARIO: &str = "scenario.yaml";
/// Everything that the report shows.
pub(crate) const RESULT: &str = "result.json";
/// The report.
pub(crate) const REPORT: &str = "report.html";
/// Thresholds as test cases, for CI.
pub(crate) const JUNIT: &str = "junit.xml";
/// Histograms by second, for the standard tools.
pub(crate) const HLOG: &str = "intervals.hlog";
/// What happened, a JSON object a line.
pub(crate) const EVENTS: &str = "events.jsonl";

/// Writes a file so that whoever looks sees the old or the new one, and never a part.
///
/// # Errors
/// When it can't be written; the old one is still there then.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// As [`write()`], for what is written piece by piece.
///
/// # Errors
/// When it can't be written; the old one is still there then.
pub(crate) fn write_with(path: &Path, f: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let half = path.with_file_name(name);
    let done = File::create(&half).and_then(|mut file| {
        f(&mut file)?;
        file.sync_all()?;
        fs::rename(&half, path)
    });
    if done.is_err() {
        // Best effort: the error that counts is the first.
        let _ = fs::remove_file(&half);
    }
    done
}

/// Makes a directory and sees whether files can be made in it.
///
/// # Errors
/// When they can't.
pub(crate) fn writable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let trial = dir.join(format!(".writable-{}", std::process::id()));
    File::create(&trial)?;
    fs::remove_file(&trial)
}

/// Removes what an earlier run left in a directory that is used again; logs and what isn't ours stay.
///
/// # Errors
/// When something is there and can't be removed.
pub(crate) fn clear(dir: &Path) -> io::Result<()> {
    for name in [RESULT, REPORT, HLOG, EVENTS, JUNIT, SCENARIO] {
        match fs::remove_file(dir.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_under_a_file_is_not_writable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        write(&file, b"").unwrap();
        assert!(writable(&file.join("runs")).is_err());
        assert!(writable(&dir.path().join("runs/deep")).is_ok());
    }
}
