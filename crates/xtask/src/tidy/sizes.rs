//! Files of at most 500 lines, functions of at most 70: the tail is what makes code hard to read.

use super::Problems;
use crate::repo::SourceFile;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions (`path::name`) that are longer, with the lines they may have. It is a ratchet: an entry may
/// shrink, and must go once it isn't needed; none may be added or grow.
const LONGER: &[(&str, usize)] = &[];

/// What is too long in one file.
pub(super) fn check(file: &SourceFile) -> Problems {
    let mut problems = Problems::new();
    let lines = file.text.lines().count();
    problems.extend(judge(&file.path, lines, FILE_LINES_MAX, LONGER));
    for function in functions(&file.text) {
        let name = format!("{}::{}", file.path, function.name);
        problems.extend(judge(&name, function.lines, FUNCTION_LINES_MAX, LONGER));
    }
    problems
}

fn judge(name: &str, lines: usize, limit: usize, longer: &[(&str, usize)]) -> Option<String> {
    let excepted = longer.iter().find(|(n, _)| *n == name).map(|(_, max)| *max);
    match excepted {
        Some(max) if lines < max => {
            Some(format!("{name}: {lines} lines, which is less than its exception of {max}: tighten tidy/sizes.rs"))
        }
        Some(max) if lines == max => None,
        _ if lines > excepted.unwrap_or(limit) => {
            Some(format!("{name}: {lines} lines, more than {}", excepted.unwrap_or(limit)))
        }
        _ => None,
    }
}

struct Function<'a> {
    name: &'a str,
    lines: usize,
}

/// Functions from the line of their `fn` to the closing brace at the same indent, which is where rustfmt puts it.
fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| Some((at, name_of_function(line)?)));
    let measured = starts.filter_map(|(at, name)| {
        let indent = lines[at].len() - lines[at].trim_start().len();
        let closing = format!("{}}}", &lines[at][..indent]);
        let declared = |l: &str| l.trim_end().ends_with(';') || l.trim_end().ends_with('}');
        if declared(lines[at]) {
            return Some(Function { name, lines: 1 });
        }
        let end = lines[at..].iter().position(|l| *l == closing)?;
        Some(Function { name, lines: end + 1 })
    });
    measured.collect()
}

fn name_of_function(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_by_their_indent() {
        let text = "impl A {\n    pub(crate) async fn long(\n        a: u8,\n    ) {\n        if x {\n        }\n    }\n\n    fn one() {}\n}\nfn two() {\n}\n";
        let found: Vec<(&str, usize)> = functions(text).iter().map(|f| (f.name, f.lines)).collect();
        assert_eq!(found, [("long", 6), ("one", 1), ("two", 2)]);
    }

    #[test]
    fn exceptions_only_shrink() {
        let longer = &[("f", 90)][..];
        assert!(judge("f", 90, 70, longer).is_none());
        assert!(judge("f", 91, 70, longer).is_some());
        assert!(judge("f", 60, 70, longer).is_some());
        assert!(judge("g", 70, 70, longer).is_none());
        assert!(judge("g", 71, 70, longer).is_some());
    }
}
