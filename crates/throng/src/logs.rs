//! Structured logs to stderr, and reading their end again when a process died.

use std::io::IsTerminal as _;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::say;

/// Starts logging: JSON lines, or plain ones where a person looks on.
///
/// `filter` is a level or `target=level` list; a wrong one is told and `info` taken instead. Where a person reads stderr
/// for progress (`for_people`), only warnings are shown, unless the environment asks for more.
pub(crate) fn start(filter: &str, for_people: bool) {
    let filter = if for_people && filter == "info" { "warn" } else { filter };
    let parsed = EnvFilter::try_new(filter);
    let wrong = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info")).add_directive(silenced());
    let terminal = std::io::stderr().is_terminal();
    let plain = terminal || for_people;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .log_internal_errors(false);
    let started = if plain { lines.try_init() } else { lines.json().flatten_event(true).try_init() };
    if let Err(error) = started {
        say::tell(format_args!("logging could not be started: {error}\n"));
    }
    if let Some(error) = wrong {
        tracing::warn!(error, "the log filter can't be read; taking \"info\"");
    }
}

/// No filter that is asked for makes libraries log tokens.
fn silenced() -> Directive {
    client::LOG_FILTER.parse().expect("a directive of the filter's language")
}

/// The last `lines` lines of a log, for people; empty where there is none.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let last: Vec<String> = all[all.len().saturating_sub(lines)..].iter().map(|l| plain(l)).collect();
    last.join("\n")
}

/// A JSON log line as people would write it; any other line as it is.
fn plain(line: &str) -> String {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut text = |key: &str| fields.remove(key).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let (level, message) = (text("level"), text("message"));
    for boring in ["timestamp", "target", "span", "spans"] {
        fields.remove(boring);
    }
    let rest: String = fields.iter().map(|(k, v)| format!(" {k}={v}")).collect();
    format!("{level} {message}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_for_people() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let json = r#"{"timestamp":"t","level":"WARN","message":"port taken","port":7,"target":"x"}"#;
        std::fs::write(&path, format!("one\n{json}\n\nlast\n")).unwrap();
        assert_eq!(tail(&path, 2), "WARN port taken port=7\nlast");
        assert_eq!(tail(&dir.path().join("none"), 2), "");
    }
}
