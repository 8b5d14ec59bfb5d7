//! The house rules, as checks over the sources: what a reader relies on and a compiler doesn't hold.

mod layers;
mod licences;
mod map;
mod sizes;
mod words;

use anyhow::{Result, bail};

use crate::repo;

/// Where a rule is broken, and how.
type Problems = Vec<String>;

/// Prints every problem.
///
/// # Errors
/// When there is one.
pub(crate) fn run() -> Result<()> {
    summary().map(|said| println!("{said}"))
}

/// Checks everything; a line for the summary.
///
/// # Errors
/// When a rule is broken.
pub(crate) fn summary() -> Result<String> {
    let files = repo::files()?;
    let problems = check(&files)?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} places break the house rules", problems.len());
    }
    Ok(format!("{} files keep the house rules", files.len()))
}

fn check(files: &[repo::SourceFile]) -> Result<Problems> {
    let metadata = repo::metadata()?;
    let root = repo::root();
    let allowed = licences::allowed(&std::fs::read_to_string(root.join("deny.toml"))?)?;
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let mut problems = layers::check(&metadata);
    problems.extend(licences::check(&metadata, &allowed));
    problems.extend(map::check(&map, files));
    for file in files.iter().filter(|f| f.path.ends_with(".rs")) {
        problems.extend(sizes::check(file));
        problems.extend(words::check(file));
    }
    problems.extend(words::websocket_library(files));
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_rules_hold() {
        let files = repo::files().expect("the repository's files");
        let problems = check(&files).expect("the checks run");
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }
}
