//! Whether ARCHITECTURE.md's map names every source file.

use super::Problems;
use crate::repo::SourceFile;

/// Source files that the map doesn't name. A file is named by its path, or by its name in a row of the map whose
/// earlier part names its directory; a whole directory is named with a closing slash and `*`: `tests/it/*`.
pub(super) fn check(map: &str, files: &[SourceFile]) -> Problems {
    let wanted = files.iter().filter(|f| f.path.ends_with(".rs") || f.path.ends_with(".proto"));
    let missing = wanted.filter(|f| !named(map, &f.path));
    missing.map(|f| format!("{}: ARCHITECTURE.md's map doesn't name it", f.path)).collect()
}

fn named(map: &str, path: &str) -> bool {
    if mentions(map, path) {
        return true;
    }
    let mut directory = path;
    while let Some((parent, _)) = directory.rsplit_once('/') {
        directory = parent;
        if mentions(map, &format!("{directory}/*")) {
            return true;
        }
    }
    false
}

/// Whether `path` stands in `map` as a word of its own.
fn mentions(map: &str, path: &str) -> bool {
    let outside = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || "/_-.*".contains(c)));
    map.match_indices(path).any(|(at, _)| {
        let after = map[at + path.len()..].chars().next();
        outside(map[..at].chars().next_back()) && (outside(after) || after == Some('.') || path.ends_with('*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_path_or_its_directory() {
        let map = "| `worker/src/user.rs` | one virtual user |\n| `worker/tests/it/*` | tests |";
        assert!(named(map, "worker/src/user.rs"));
        assert!(named(map, "worker/tests/it/deep/main.rs"));
        assert!(!named(map, "worker/src/use.rs"));
        assert!(!named(map, "src/user.rs"));
        assert!(!named(map, "worker/src/lib.rs"));
    }
}
