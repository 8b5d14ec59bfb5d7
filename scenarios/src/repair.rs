//! What is wrong behind a syntax error. The file is read again with the error mended in the simplest ways (a line left out,
//! or moved to the left, tabs made spaces), each of which leaves every other character in its place; and again from the
//! next syntax error on. What stands behind is checked as far as it doesn't depend on what was mended.

use std::ops::Range;

use crate::decode::Decode as _;
use crate::diagnostic::{Diagnostics, Text};
use crate::language::File;
use crate::parse::{Source, hide_secrets};
use crate::tree::Node;

/// Syntax errors that are looked behind.
const ROUNDS: usize = 8;
/// In a larger file (no person writes one) only the first is.
const LARGE: usize = 64 * 1024;

/// The file, read again.
struct Reading {
    text: Text,
    /// What was mended in it.
    line: Range<usize>,
    root: Option<Node>,
    found: Diagnostics,
    broken_at: Option<usize>,
}

/// Adds to `errors` what is wrong behind the syntax error at `at`.
pub(crate) fn look_behind(mut at: usize, source: &Source, errors: &mut Diagnostics) {
    let mut text = errors.texts()[0].clone();
    let rounds = if text.text.len() > LARGE { 1 } else { ROUNDS };
    let behind = line_around(&text.text, at).start;
    let mut mended: Vec<Range<usize>> = Vec::new();
    for _ in 0..rounds {
        let end = line_around(&text.text, at).end;
        let Some(best) = best_of(repairs(&text, at), end, source) else { return };
        mended.push(best.line.clone());
        let untouched = |place: usize| !mended.iter().any(|line| line.contains(&place));
        let Some(next) = best.broken_at else {
            if let Some(root) = &best.root {
                hide_secrets(root, errors);
            }
            return errors.take_at(&best.found, |place| place >= behind && untouched(place));
        };
        errors.take_at(&best.found, |place| place == next);
        (text, at) = (best.text, next);
    }
}

/// The reading that reaches the end with the fewest errors behind the repair, or else the one that gets furthest behind it.
fn best_of(repairs: Vec<Vec<(String, Range<usize>)>>, end: usize, source: &Source) -> Option<Reading> {
    let mut furthest: Option<Reading> = None;
    for alike in repairs {
        let mut whole: Option<(usize, Reading)> = None;
        for (repaired, line) in alike {
            let text = Text { name: source.file_name.clone(), text: repaired, secrets: Vec::new() };
            let mut reading = read(text, line);
            match reading.broken_at {
                None => {
                    check(&mut reading, source);
                    let count = reading.found.count_at(|place| place >= end);
                    if whole.as_ref().is_none_or(|(least, _)| count < *least) {
                        whole = Some((count, reading));
                    }
                }
                Some(at) if at >= end && furthest.as_ref().is_none_or(|other| other.broken_at < Some(at)) => {
                    furthest = Some(reading);
                }
                Some(_) => {}
            }
        }
        if let Some((_, reading)) = whole {
            return Some(reading);
        }
    }
    furthest
}

fn read(text: Text, line: Range<usize>) -> Reading {
    let mut found = Diagnostics::new(vec![text.clone()]);
    let (root, broken_at) = crate::tree::read_until(0, 0, &mut found);
    Reading { text, line, root, found, broken_at }
}

fn check(reading: &mut Reading, source: &Source) {
    let Some(root) = &mut reading.root else { return };
    crate::tree::cut_everywhere(root);
    crate::variables::expand(root, &source.variables, &mut reading.found);
    if let Some(file) = File::decode(root, &mut reading.found) {
        crate::check::lower(&file, root, &source.base_dir, &mut reading.found);
    }
}

/// Texts of the same length in which the error at `at` may be mended, and the line that was touched; the likeliest first.
fn repairs(text: &Text, at: usize) -> Vec<Vec<(String, Range<usize>)>> {
    let text = text.text.as_str();
    let line = line_around(text, at);
    let without = |line: Range<usize>| {
        let blank: String = text[line.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        (format!("{}{blank}{}", &text[..line.start], &text[line.end..]), line)
    };
    let mut first = vec![without(line.clone())];
    first.extend(moved_left(text, &line));
    let mut all = vec![first];
    if indentation(&text[line.clone()]).contains('\t') {
        let spaces = text.split_inclusive('\n').map(|line| {
            let indent = indentation(line);
            indent.replace('\t', " ") + &line[indent.len()..]
        });
        // The line itself is right then.
        all.insert(0, vec![(spaces.collect(), line.start..line.start)]);
    }
    // A bracket or quote may have been left open in the line before.
    if line.start > 0 {
        all.push(vec![without(line_around(text, line.start - 1))]);
    }
    all
}

/// The line at each smaller indentation that lines before it have.
fn moved_left(text: &str, line: &Range<usize>) -> Vec<(String, Range<usize>)> {
    let content = text[line.clone()].trim_end_matches(['\n', '\r']);
    let (indent, rest) = (indentation(content), &text[line.start + content.len()..]);
    let mut depths: Vec<usize> = text[..line.start].lines().map(|line| indentation(line).len()).collect();
    depths.retain(|depth| *depth < indent.len());
    depths.sort_unstable();
    depths.dedup();
    let moved = |depth: &usize| {
        let (left, right) = indent.split_at(*depth);
        let text = format!("{}{left}{}{right}{rest}", &text[..line.start], &content[indent.len()..]);
        (text, line.clone())
    };
    depths.iter().rev().map(moved).collect()
}

fn indentation(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The line around a place, with its end.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |before| before + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
    start..end
}
