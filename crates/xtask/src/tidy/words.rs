//! Words that must not stand in the sources, and those that must.

use super::Problems;
use crate::repo::SourceFile;

/// What is unfinished or switched off. Spelt in halves, so that this file passes its own check.
const LEFT_OVER: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("d", "bg!("),
    concat!("#[ig", "nore"),
];

/// How time is read. Waiting by tokio's timers, and deadlines for it, are fine.
const TIME: &[&str] = &[
    concat!("SystemTime::", "now"),
    INSTANT,
    concat!("clock_", "gettime"),
    concat!("Timestamp::", "now()"),
    concat!("Zoned::", "now"),
];
const INSTANT: &str = concat!("Instant::", "now");
const READS_TIME: &str = "crates/measure/src/clock.rs";

/// What one file must not or must say.
pub(super) fn check(file: &SourceFile) -> Problems {
    let mut problems = Problems::new();
    let waits = imports_timers(&file.text);
    for (number, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, number + 1);
        for word in LEFT_OVER.iter().filter(|w| line.contains(**w)) {
            problems.push(format!("{place}: {word:?} is not for finished code"));
        }
        let code = line.trim_start();
        let allowed = |word: &str| word == INSTANT && (waits || code.contains("tokio::time::Instant"));
        let reads = TIME.iter().filter(|w| code.contains(**w) && !code.starts_with("//") && !allowed(w));
        let times = reads.filter(|_| file.path != READS_TIME);
        problems.extend(times.map(|word| format!("{place}: {word}: time is read in {READS_TIME} only")));
    }
    let source = file.path.contains("/src/") || file.path.contains("/tests/");
    if source && !file.text.starts_with("//!") {
        problems.push(format!("{}: says nothing about itself: begin it with a //! sentence", file.path));
    }
    problems
}

/// Whether the `Instant` that a file imports is tokio's, which is for deadlines.
fn imports_timers(text: &str) -> bool {
    text.split("use tokio::time::")
        .skip(1)
        .any(|import| import.split(';').next().is_some_and(|i| i.contains("Instant")))
}

/// Crates in which more than one file of `src` names the WebSocket library, and those that must not name it at all.
pub(super) fn websocket_library(files: &[SourceFile]) -> Problems {
    const NAME: &str = concat!("tung", "stenite");
    const MAY: &[&str] = &["crates/client", "chat-server"];
    let names = |text: &str| text.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(NAME));
    let named: Vec<&str> = files
        .iter()
        .filter(|f| f.path.ends_with(".rs") && f.path.contains("/src/") && names(&f.text))
        .map(|f| f.path.as_str())
        .collect();
    let mut problems = Problems::new();
    for home in MAY {
        let here: Vec<&str> = named.iter().copied().filter(|p| p.starts_with(&format!("{home}/"))).collect();
        if here.len() > 1 {
            problems.push(format!("{home}: more than one file names {NAME}: {}", here.join(", ")));
        }
    }
    let others = named.iter().filter(|p| !MAY.iter().any(|home| p.starts_with(&format!("{home}/"))));
    problems.extend(others.map(|p| format!("{p}: names {NAME}, which is for {} only", MAY.join(" and "))));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn left_overs_and_clocks_are_found() {
        for bad in LEFT_OVER.iter().chain(TIME) {
            let text = format!("//! A file.\nfn f() {{ {bad}) }}\n");
            assert_eq!(check(&file("worker/src/a.rs", &text)).len(), 1, "{bad}");
        }
        let deadline = concat!("//! A file.\nlet at = tokio::time::Instant::", "now();\n");
        assert!(check(&file("worker/src/a.rs", deadline)).is_empty());
        let imported =
            concat!("//! A file.\nuse tokio::time::{\n    Instant, sleep,\n};\nlet at = Instant::", "now();\n");
        assert!(check(&file("worker/src/a.rs", imported)).is_empty());
        assert_eq!(check(&file("worker/src/a.rs", &imported.replace("tokio", "std"))).len(), 1);
        assert_eq!(check(&file("worker/src/a.rs", "fn f() {}\n")).len(), 1, "no module docs");
    }

    #[test]
    fn one_file_a_side_names_the_library() {
        let text = concat!("use tokio_tung", "stenite::accept;");
        let at = |path: &str| file(path, text);
        assert!(websocket_library(&[at("chat-server/src/socket.rs"), at("crates/client/src/socket.rs")]).is_empty());
        assert_eq!(websocket_library(&[at("chat-server/src/a.rs"), at("chat-server/src/b.rs")]).len(), 1);
        assert_eq!(websocket_library(&[at("worker/src/a.rs")]).len(), 1);
    }
}
