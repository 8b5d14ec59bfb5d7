//! Whether every dependency's licence is one that `deny.toml` allows.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Problems;

/// The licences that `deny.toml` lists under `allow` in `[licenses]`.
///
/// # Errors
/// When it has no such list.
pub(super) fn allowed(deny: &str) -> Result<Vec<String>> {
    let section = deny.split("[licenses]").nth(1).context("deny.toml has no [licenses]")?;
    let list = section.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.context("deny.toml has no allow list under [licenses]")?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Dependencies whose licence isn't allowed.
pub(super) fn check(metadata: &Value, allowed: &[String]) -> Problems {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let bad = packages.iter().filter(|p| p["source"].is_string()).filter_map(|p| {
        let name = p["name"].as_str().unwrap_or_default();
        match p["license"].as_str() {
            Some(licence) if permits(licence, allowed) => None,
            Some(licence) => Some(format!("{name}: its licence {licence:?} is not allowed by deny.toml")),
            None => Some(format!("{name}: states no licence")),
        }
    });
    bad.collect()
}

/// Whether an SPDX expression (or its old form with slashes) can be met by allowed licences alone.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&words, &mut at, allowed);
    met && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = any_of(words, at, allowed);
        *at += 1;
        return met;
    }
    let mut licence = (*word).to_owned();
    if let (Some(&"WITH"), Some(exception)) = (words.get(*at), words.get(*at + 1)) {
        licence = format!("{licence} WITH {exception}");
        *at += 2;
    }
    allowed.contains(&licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allowed =
            allowed("[licenses]\nallow = [\n \"MIT\",\n \"ISC\", \"Apache-2.0 WITH LLVM-exception\" ]\n").unwrap();
        for good in
            ["MIT", "GPL-3.0 OR MIT", "GPL-2.0/MIT", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND MPL-2.0", "Apache-2.0", "", "MIT MIT"] {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }
}
