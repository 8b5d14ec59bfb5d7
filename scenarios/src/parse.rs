//! From the bytes of a file to a [`Scenario`], or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::decode::Decode;
use crate::diagnostic::{Diagnostics, Span, Text, password};
use crate::language::File;
use crate::model::Scenario;
use crate::tree::{Kind, Node};

/// The largest file; the whole language fits into a hundredth of it.
pub const LARGEST_FILE: usize = 1024 * 1024;

/// What a scenario is made from.
#[derive(Clone, Default)]
pub struct Source {
    /// The file's name, as errors give it.
    pub file_name: String,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// `key=value` of each `--set`.
    pub overrides: Vec<String>,
    /// The environment variables that values may mention. Secrets: no error has them.
    pub variables: BTreeMap<String, String>,
    /// The directory that paths in the file are relative to.
    pub base_dir: PathBuf,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("file_name", &self.file_name)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Reads and checks a scenario. It does no I/O; a CSV of tokens is not opened.
///
/// # Errors
/// Everything that is wrong, at once, each with its place.
pub fn parse(source: &Source) -> Result<Scenario, Diagnostics> {
    let file = Text { name: source.file_name.clone(), text: String::new(), secrets: Vec::new() };
    let text = match readable(&source.bytes) {
        Ok(text) => text,
        Err((text, at, message, hint)) => {
            let mut errors = Diagnostics::new(vec![Text { text, ..file }]);
            errors.add(Span { source: 0, start: at, end: at + 1 }, message, Some(hint.into()));
            return Err(errors);
        }
    };
    let flags =
        source.overrides.iter().map(|flag| Text { name: "--set".into(), text: flag.clone(), secrets: Vec::new() });
    let mut errors = Diagnostics::new(std::iter::once(Text { text, ..file }).chain(flags).collect());

    let (mut root, broken_at) = crate::tree::read_until(0, 0, &mut errors);
    if let Some(at) = broken_at {
        hide_lines_with_secrets(&mut errors);
        crate::repair::look_behind(at, source, &mut errors);
    }
    for flag in 1..=source.overrides.len() {
        crate::overrides::apply(&mut root, flag, &mut errors);
    }
    let scenario = root.and_then(|mut root| {
        hide_secrets(&root, &mut errors);
        crate::variables::expand(&mut root, &source.variables, &mut errors);
        let file = File::decode(&root, &mut errors)?;
        Some(crate::check::lower(&file, &root, &source.base_dir, &mut errors))
    });
    match scenario {
        Some(scenario) if errors.is_empty() => Ok(scenario),
        _ => {
            if errors.is_empty() {
                let hint = "write one like the shipped `scenarios/quickstart.yaml`";
                errors.add(Span::default(), "the file holds no scenario", Some(hint.into()));
            }
            errors.sort();
            Err(errors)
        }
    }
}

/// What stands for a character of a secret; a value may begin with it, so that the text means the same otherwise.
const HIDDEN: char = '•';

/// A `key=value` of `--set` without its secret.
pub fn redacted_override(flag: &str) -> String {
    let Some((key, value)) = flag.split_once('=') else { return flag.to_owned() };
    if is_secret(key.rsplit('.').next().unwrap_or(key)) && !value.starts_with('$') {
        return format!("{key}={}", HIDDEN.to_string().repeat(value.chars().count()));
    }
    format!("{key}={}", redacted(value))
}

fn is_secret(key: &str) -> bool {
    matches!(key, "secret" | "api_key")
}

/// A scenario's text with the secrets that are written out in it replaced by dots: what may be kept and shown. It is a
/// scenario still.
pub fn redacted(text: &str) -> String {
    let source = Text { name: String::new(), text: text.to_owned(), secrets: Vec::new() };
    let mut errors = Diagnostics::new(vec![source]);
    if let Some(root) = crate::tree::read(0, 0, &mut errors) {
        hide_secrets(&root, &mut errors);
    }
    let secrets = &errors.texts()[0].secrets;
    let hidden = |at| secrets.iter().any(|secret| secret.contains(&at));
    text.char_indices().map(|(at, c)| if hidden(at) && c != '\n' { HIDDEN } else { c }).collect()
}

/// Marks what stands under `secret` and `api_key`, unless it is a variable.
pub(crate) fn hide_secrets(node: &Node, errors: &mut Diagnostics) {
    match &node.kind {
        Kind::Map(map) => {
            for entry in &map.entries {
                match &entry.value.kind {
                    Kind::Scalar(scalar) if is_secret(&entry.key.name) => {
                        if !scalar.is_null() && !scalar.raw.starts_with('$') {
                            errors.hide(entry.value.span);
                        }
                    }
                    _ => hide_secrets(&entry.value, errors),
                }
                if matches!(entry.key.name.as_str(), "url" | "urls") {
                    hide_passwords(&entry.value, errors);
                }
            }
        }
        Kind::List(items) => items.iter().for_each(|item| hide_secrets(item, errors)),
        Kind::Scalar(_) | Kind::Refused => {}
    }
}

/// Marks addresses with a password, which are refused.
fn hide_passwords(node: &Node, errors: &mut Diagnostics) {
    match &node.kind {
        Kind::Scalar(scalar) if password(&scalar.raw).is_some() => errors.hide(node.span),
        Kind::List(items) => items.iter().for_each(|item| hide_passwords(item, errors)),
        _ => {}
    }
}

/// The same where the file can't be read as a whole: the rest of each line that has such a key.
fn hide_lines_with_secrets(errors: &mut Diagnostics) {
    let text = errors.texts()[0].text.clone();
    for key in ["secret:", "api_key:"] {
        for (at, _) in text.match_indices(key) {
            let value = &text[at + key.len()..];
            let value = &value[..value.find('\n').unwrap_or(value.len())];
            let start = at + key.len() + (value.len() - value.trim_start().len());
            if !text[start..].starts_with('$') {
                errors.hide(Span { source: 0, start, end: at + key.len() + value.len() });
            }
        }
    }
}

type Unreadable = (String, usize, &'static str, &'static str);

fn readable(bytes: &[u8]) -> Result<String, Unreadable> {
    if bytes.len() > LARGEST_FILE {
        let start = String::from_utf8_lossy(&bytes[..200]).into_owned();
        return Err((
            start,
            0,
            "the file is larger than 1 MiB",
            "a scenario is a few kilobytes: is this the right file?",
        ));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            Some(at) => Err((text.to_owned(), at, "the file has a NUL byte: it is no text", "is this the right file?")),
            None => Ok(text.to_owned()),
        },
        Err(wrong) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let message = match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16",
                _ => "the file is not UTF-8 from here on",
            };
            Err((text, wrong.valid_up_to(), message, "save it as UTF-8"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: t\ntarget: { url: \"ws://h\", api_key: hush, tokens: { secret: \"hush, hush\" } }\n\
                        channels: []\ncohorts: [{ name: f, users: 1, ramp: { rate: 1/s } }]\nhold: 3s\n";

    #[test]
    fn without_its_secrets_a_scenario_is_one_still() {
        let text = redacted(TEXT);
        assert!(!text.contains("hush") && text.contains("ws://h"), "{text}");
        assert_eq!(text.chars().count(), TEXT.chars().count());
        let source = Source { bytes: text.into_bytes(), ..Source::default() };
        assert_eq!(parse(&source).map(|scenario| scenario.users()).map_err(|e| e.to_string()), Ok(1));
        let variable = TEXT.replace("hush, hush", "${HUSH}");
        assert!(redacted(&variable).contains("${HUSH}"));
    }

    #[test]
    fn flags_keep_no_secret() {
        for flag in ["target.tokens.secret=hush", "target.api_key=hush", "target={tokens: {secret: hush}}"] {
            let told = redacted_override(flag);
            assert!(!told.contains("hush") && told.starts_with("target"), "{told}");
        }
        assert_eq!(redacted_override("seed=7"), "seed=7");
        assert_eq!(redacted_override("target.tokens.secret=${HUSH}"), "target.tokens.secret=${HUSH}");
    }
}
