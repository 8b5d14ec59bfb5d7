//! Broken scenarios and what is said about them, as golden text beside each: `tests/broken/NAME.yaml` and `NAME.txt`.
//!
//! Lines `# --set key=value` at a file's beginning are flags, `# env NAME=value` lines are its environment. To write the
//! golden texts anew, run the test with `UPDATE_GOLDEN=1` and read the difference.

use std::path::{Path, PathBuf};

use scenarios::{Source, parse};

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let entries = std::fs::read_dir(directory).expect("tests/broken");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn source(path: &Path) -> Source {
    let bytes = std::fs::read(path).expect("a readable file");
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let notes = |prefix: &'static str| head.lines().filter_map(move |line| line.strip_prefix(prefix));
    Source {
        file_name: path.file_name().expect("a name").to_string_lossy().into_owned(),
        overrides: notes("# --set ").map(str::to_owned).collect(),
        variables: notes("# env ").filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect(),
        base_dir: PathBuf::from("/scenarios"),
        bytes,
    }
}

#[test]
fn every_error_is_found_placed_and_explained() {
    let files = files();
    assert!(files.len() >= 25, "only {} broken scenarios", files.len());
    let mut different = Vec::new();
    for path in files {
        let told = match parse(&source(&path)) {
            Ok(_) => panic!("{} is taken for valid", path.display()),
            Err(errors) => errors.render(false),
        };
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &told).expect("a writable file");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            different.push(format!("--- {}\n{told}", path.display()));
        }
    }
    assert!(different.is_empty(), "these differ from their golden texts:\n{}", different.join("\n"));
}

#[test]
fn no_value_of_a_variable_is_printed() {
    for path in files() {
        let source = source(&path);
        let Err(errors) = parse(&source) else { continue };
        for value in source.variables.values().filter(|value| value.len() > 3) {
            assert!(!errors.render(true).contains(value), "{}", path.display());
            assert!(!format!("{errors:?}").contains(value), "{}", path.display());
        }
    }
}
