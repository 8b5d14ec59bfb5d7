//! Secrets: made at random, read from files and the environment, handed to processes in files that only their owner
//! can read. Never in arguments, never in logs.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rand::RngExt as _;

/// A secret that doesn't show itself in `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret of 192 random bits.
    pub(crate) fn random() -> Self {
        Self(random_word(48))
    }

    /// The secret in this file; line ends at its end are not part of it.
    ///
    /// # Errors
    /// When the file can't be read or is empty.
    pub(crate) fn from_file(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("can't read the secret in {}", path.display()))?;
        let text = text.trim_end_matches(['\r', '\n']);
        ensure!(!text.is_empty(), "the secret's file {} is empty", path.display());
        Ok(Self(text.to_owned()))
    }

    /// The secret in `file`, or else in the environment variable `THRONG_API_SECRET`, if there is one.
    ///
    /// # Errors
    /// When the file can't be read or is empty.
    pub(crate) fn from_file_or_environment(file: Option<&Path>) -> Result<Option<Self>> {
        Self::from_file_or(file, "THRONG_API_SECRET")
    }

    /// The secret in `file`, or else in this environment variable, if there is one.
    ///
    /// # Errors
    /// When the file can't be read or is empty.
    pub(crate) fn from_file_or(file: Option<&Path>, variable: &str) -> Result<Option<Self>> {
        match file {
            Some(path) => Self::from_file(path).map(Some),
            None => Ok(std::env::var(variable).ok().filter(|s| !s.is_empty()).map(Self)),
        }
    }

    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// A word of `length` hexadecimal digits.
pub(crate) fn random_word(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from_digit(rng.random_range(0..16), 16).expect("a digit below 16")).collect()
}

/// A secret in a file that only we can read, in a directory that only we can enter; gone when dropped.
#[derive(Debug)]
pub(crate) struct SecretFile {
    directory: PathBuf,
}

impl SecretFile {
    const NAME: &str = "api-secret";

    /// Writes the secret.
    ///
    /// # Errors
    /// When the temporary directory can't be written.
    pub(crate) fn new(secret: &Secret) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("throng-{}", random_word(16)));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&directory);
        made.with_context(|| {
            format!(
                "can't make the private directory {}; name one for temporary files with TMPDIR",
                directory.display()
            )
        })?;
        let file = Self { directory };
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file.path())?;
        out.write_all(secret.expose().as_bytes())?;
        Ok(file)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(Self::NAME)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        // A left-over file is readable by its owner only; there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_owner_reads_a_secret() {
        let secret = Secret::random();
        let file = SecretFile::new(&secret).unwrap();
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secret::from_file(&file.path()).unwrap(), secret);
        assert!(!format!("{secret:?}").contains(secret.expose()));
        let path = file.path();
        drop(file);
        assert!(!path.exists());
    }
}
