//! What is wrong with a scenario: every error at once, each with its place, its line, and how to mend it.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// Errors that are kept; a file of a hundred thousand mistakes is not told all of them.
const MOST: usize = 200;
/// Characters of a source line that are shown around an error.
const WIDTH: usize = 140;

/// A stretch of a text: byte offsets into one of the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// 0: the file; n: the n-th `--set`.
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// A part of this stretch.
    pub(crate) fn part(self, from: usize, to: usize) -> Self {
        Self { start: self.start + from, end: (self.start + to).min(self.end).max(self.start + from), ..self }
    }
}

/// A text that errors point into.
#[derive(Clone)]
pub(crate) struct Text {
    /// As people know it: a file's name, or `--set`.
    pub(crate) name: String,
    pub(crate) text: String,
    /// What must not be printed.
    pub(crate) secrets: Vec<Range<usize>>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in a sentence.
    pub message: String,
    /// How to mend it, where something helpful can be said.
    pub hint: Option<String>,
    /// In which text: the file's name, or `--set`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    span: Span,
}

/// All errors of a scenario, in the order of their places.
#[derive(Clone)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    texts: Vec<Text>,
    /// Errors beyond those that are kept.
    more: usize,
}

impl Diagnostics {
    pub(crate) fn new(texts: Vec<Text>) -> Self {
        Self { list: Vec::new(), texts, more: 0 }
    }

    pub(crate) fn texts(&self) -> &[Text] {
        &self.texts
    }

    pub(crate) fn hide(&mut self, span: Span) {
        self.texts[span.source].secrets.push(span.range());
    }

    /// Whether hints are still worth the time that finding them takes.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MOST
    }

    pub(crate) fn add(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let text = &self.texts[span.source];
        let before = floor(&text.text, span.start);
        let line = text.text[..before].matches('\n').count() + 1;
        let line_start = text.text[..before].rfind('\n').map_or(0, |at| at + 1);
        let column = text.text[line_start..before].chars().count() + 1;
        let found = Diagnostic { message: message.into(), hint, file: text.name.clone(), line, column, span };
        // The same thing may be found by two checks.
        if !self.list.contains(&found) {
            self.list.push(found);
        }
    }

    /// How many errors begin in the file at such places.
    pub(crate) fn count_at(&self, is_wanted: impl Fn(usize) -> bool) -> usize {
        self.list.iter().filter(|found| found.span.source == 0 && is_wanted(found.span.start)).count()
    }

    /// Takes over what was found at such places in another reading of the file.
    pub(crate) fn take_at(&mut self, other: &Self, is_wanted: impl Fn(usize) -> bool) {
        for found in other.list.iter().filter(|found| found.span.source == 0 && is_wanted(found.span.start)) {
            self.add(found.span, found.message.clone(), found.hint.clone());
        }
    }

    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|found| found.span);
    }

    /// How many errors were found.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The errors, at most the first two hundred.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// All errors as text; with `colour`, for a terminal.
    pub fn render(&self, colour: bool) -> String {
        let paint = if colour { &COLOURED } else { &PLAIN };
        let mut out = String::new();
        for found in &self.list {
            // Writing to a string can't fail.
            let _ = self.write_one(&mut out, found, paint);
        }
        let plural = if self.len() == 1 { "error" } else { "errors" };
        let shown = if self.more > 0 { format!(" ({} shown)", self.list.len()) } else { String::new() };
        let _ = writeln!(out, "{}: {} {plural}{shown}", one_line(&self.texts[0].name), self.len());
        out
    }

    fn write_one(&self, out: &mut String, found: &Diagnostic, paint: &Paint) -> fmt::Result {
        let Paint { error, quiet, mark, end } = paint;
        let source = &self.texts[found.span.source];
        let text = &source.text;
        let start = floor(text, found.span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[line_start..].find(['\n', '\r']).map_or(text.len(), |at| line_start + at);
        let stop = floor(text, found.span.end).clamp(start, line_end.max(start));
        let gutter = " ".repeat(found.line.to_string().len());

        let (mut line, mut underline) = (String::new(), String::new());
        let column = found.column - 1;
        // A window around the error, where the line is very long.
        let first = if column > WIDTH * 2 / 3 { column - WIDTH / 3 } else { 0 };
        for (n, (at, c)) in text[line_start..line_end].char_indices().enumerate().skip(first).take(WIDTH) {
            let at = line_start + at;
            let hidden = source.secrets.iter().any(|secret| secret.contains(&at));
            line.push(if hidden { '*' } else { printable(c) });
            if n >= column && (n == column || at < stop) {
                underline.push('^');
            } else if n < column {
                underline.push(' ');
            }
        }
        if !underline.ends_with('^') {
            underline.push('^');
        }
        writeln!(out, "{error}error{end}: {}", found.message)?;
        writeln!(out, "{gutter}{quiet}-->{end} {}:{}:{}", one_line(&found.file), found.line, found.column)?;
        writeln!(out, "{gutter} {quiet}|{end}")?;
        writeln!(out, "{quiet}{} |{end} {}", found.line, line.trim_end())?;
        writeln!(out, "{gutter} {quiet}|{end} {mark}{underline}{end}")?;
        if let Some(hint) = &found.hint {
            writeln!(out, "{gutter} {quiet}={end} hint: {hint}")?;
        }
        writeln!(out)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the texts: they may hold secrets.
        f.debug_struct("Diagnostics").field("list", &self.list).field("more", &self.more).finish_non_exhaustive()
    }
}

impl std::error::Error for Diagnostics {}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

struct Paint {
    error: &'static str,
    quiet: &'static str,
    mark: &'static str,
    end: &'static str,
}

const PLAIN: Paint = Paint { error: "", quiet: "", mark: "", end: "" };
const COLOURED: Paint = Paint { error: "\x1b[1;31m", quiet: "\x1b[34m", mark: "\x1b[31m", end: "\x1b[0m" };

/// A character as it may be printed: no control character reaches a terminal.
pub(crate) fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A file's name, which may hold anything, as it may be printed.
fn one_line(name: &str) -> String {
    name.chars().map(printable).collect()
}

/// A value as messages quote it: one line, not too long.
pub(crate) fn quoted(value: &str) -> String {
    let hidden = password(value).unwrap_or_default();
    let seen = value.char_indices().map(|(at, c)| if hidden.contains(&at) { '*' } else { printable(c) });
    let mut out: String = seen.take(60).collect();
    if value.chars().nth(60).is_some() {
        out.push('…');
    }
    format!("`{out}`")
}

/// Where in an address a password stands.
pub(crate) fn password(address: &str) -> Option<Range<usize>> {
    let from = address.find("://")? + 3;
    let at = address.rfind('@').filter(|at| *at > from)?;
    let colon = address[from..at].find(':')?;
    Some(from + colon + 1..at)
}

/// The nearest character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, start: usize, end: usize) -> String {
        let mut found = Diagnostics::new(vec![Text { name: "a.yaml".into(), text: text.into(), secrets: vec![] }]);
        found.add(Span { source: 0, start, end }, "wrong", Some("mend it".into()));
        found.render(false)
    }

    #[test]
    fn the_place_is_underlined() {
        let expected =
            "error: wrong\n --> a.yaml:2:4\n  |\n2 | b: cd\n  |    ^^\n  = hint: mend it\n\na.yaml: 1 error\n";
        assert_eq!(one("a: 1\nb: cd\n", 8, 10), expected);
    }

    #[test]
    fn any_place_can_be_shown() {
        let text = "ä\tö\u{1b}[31m\r\nüü";
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                let shown = one(text, start, end);
                assert!(shown.contains('^') && !shown.contains('\u{1b}'), "{shown}");
            }
        }
        assert!(one(&"x".repeat(100_000), 60_000, 99_999).len() < 500);
    }

    #[test]
    fn secrets_are_starred() {
        let text = Text { name: "a".into(), text: "secret: abc".into(), secrets: Vec::new() };
        let mut found = Diagnostics::new(vec![text]);
        found.hide(Span { source: 0, start: 8, end: 11 });
        found.add(Span { source: 0, start: 0, end: 6 }, "wrong", None);
        assert!(found.render(true).contains("secret: ***"));
        assert!(!format!("{found:?}").contains("abc"));
    }
}
