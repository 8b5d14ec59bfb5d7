//! `${NAME}` and `${NAME:-default}` in values: what comes from the environment. Values are secrets: no message has them.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostics, Span, Text, quoted};
use crate::tree::{Kind, Node, Scalar};

/// Characters of a variable in a flow mapping, default included: a bound, so that a file of `${` is read in linear time.
const LONGEST: usize = 512;

/// The names of all variables that a scenario's values mention, also those with a default. Whatever is wrong with the
/// text is left for [`crate::parse`] to say.
pub fn variables_needed(text: &str) -> BTreeSet<String> {
    let text = Text { name: String::new(), text: text.to_owned(), secrets: Vec::new() };
    let mut names = BTreeSet::new();
    if let Some(tree) = crate::tree::read(0, 0, &mut Diagnostics::new(vec![text])) {
        visit(&tree, &mut |scalar| {
            names.extend(pieces(&scalar.raw).filter_map(|piece| match piece {
                Ok(Piece::Variable { name, .. }) => Some(name.to_owned()),
                _ => None,
            }));
        });
    }
    names
}

fn visit(node: &Node, see: &mut impl FnMut(&Scalar)) {
    match &node.kind {
        Kind::Scalar(scalar) => see(scalar),
        Kind::List(items) => items.iter().for_each(|item| visit(item, see)),
        Kind::Map(map) => map.entries.iter().for_each(|entry| visit(&entry.value, see)),
        Kind::Refused => {}
    }
}

/// Puts the variables' values in.
pub(crate) fn expand(node: &mut Node, variables: &BTreeMap<String, String>, errors: &mut Diagnostics) {
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            if !expand_scalar(scalar, node.span, variables, errors) {
                node.kind = Kind::Refused;
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| expand(item, variables, errors)),
        Kind::Map(map) => map.entries.iter_mut().for_each(|entry| expand(&mut entry.value, variables, errors)),
        Kind::Refused => {}
    }
}

fn expand_scalar(
    scalar: &mut Scalar,
    span: Span,
    variables: &BTreeMap<String, String>,
    errors: &mut Diagnostics,
) -> bool {
    if !scalar.raw.contains("${") {
        return true;
    }
    let (mut value, mut whole) = (String::new(), true);
    for piece in pieces(&scalar.raw) {
        match piece {
            Ok(Piece::Text(text)) => value.push_str(text),
            Ok(Piece::Variable { name, default }) => match variables.get(name).map(String::as_str).or(default) {
                Some(found) => value.push_str(found),
                None => {
                    let message = format!("the environment variable {} is not set", quoted(name));
                    let hint = format!("set it ({name}=… throng …), or give a default: ${{{name}:-…}}");
                    errors.add(span, message, Some(hint));
                    whole = false;
                }
            },
            Err(wrong) => {
                let hint = "a variable reads ${NAME} or ${NAME:-default}; a plain `${` reads `$${`";
                errors.add(span, format!("{} {wrong}", quoted(&scalar.raw)), Some(hint.into()));
                whole = false;
            }
        }
    }
    scalar.value = value;
    whole
}

/// A text in which the braces of variables are no YAML: `{ secret: ${NAME} }` would close its mapping too early.
pub(crate) struct Shield {
    pub(crate) text: String,
    /// Where the stand-ins begin in it.
    places: Vec<usize>,
}

impl Shield {
    /// Characters without a meaning of their own (private use) that stand for the two braces.
    const STAND_INS: [char; 2] = ['\u{f8f0}', '\u{f8f1}'];

    pub(crate) fn over(text: &str) -> Self {
        let mut shield = Self { text: String::with_capacity(text.len()), places: Vec::new() };
        if text.contains(Self::STAND_INS) {
            shield.text.push_str(text);
            return shield;
        }
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            shield.text.push_str(before);
            shield.text.push('$');
            rest = &rest[at + 1..];
            let end = after.char_indices().take(LONGEST).find(|(_, c)| matches!(c, '}' | '\n'));
            let end = end.filter(|(_, c)| *c == '}').map(|(end, _)| end);
            // `$${` is no variable.
            if let Some(end) = end.filter(|end| !before.ends_with('$') && is_name(name_and_default(&after[..*end]).0)) {
                shield.stand_in(0);
                shield.text.push_str(&after[..end]);
                shield.stand_in(1);
                rest = &after[end + 1..];
            }
        }
        shield.text.push_str(rest);
        shield
    }

    fn stand_in(&mut self, which: usize) {
        self.places.push(self.text.len());
        self.text.push(Self::STAND_INS[which]);
    }

    /// The offset in the original text.
    pub(crate) fn original(&self, at: usize) -> usize {
        let longer = Self::STAND_INS[0].len_utf8() - 1;
        at - longer * self.places.partition_point(|place| *place < at)
    }

    /// A value with its braces back.
    pub(crate) fn lift(value: &str) -> String {
        value.replace(Self::STAND_INS[0], "{").replace(Self::STAND_INS[1], "}")
    }
}

enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
}

fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, &'static str>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix("$${") {
            rest = after;
            return Some(Ok(Piece::Text("${")));
        }
        if let Some(after) = rest.strip_prefix("${") {
            let Some((inside, behind)) = after.split_once('}') else {
                rest = "";
                return Some(Err("has a `${` without its `}`"));
            };
            rest = behind;
            let (name, default) = name_and_default(inside);
            return Some(if is_name(name) {
                Ok(Piece::Variable { name, default })
            } else {
                Err("has a `${…}` that names no variable")
            });
        }
        // Up to the next `${` or `$${`; at least one character.
        let skip = rest.chars().next().map_or(0, char::len_utf8);
        let end = rest[skip..].find('$').map_or(rest.len(), |at| skip + at);
        let (now, later) = rest.split_at(end);
        rest = later;
        Some(Ok(Piece::Text(now)))
    })
}

fn name_and_default(inside: &str) -> (&str, Option<&str>) {
    inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(raw: &str) -> Result<String, String> {
        let text = Text { name: "a".into(), text: raw.to_owned(), secrets: vec![] };
        let mut errors = Diagnostics::new(vec![text]);
        let mut scalar = Scalar { raw: raw.into(), value: raw.into(), plain: true };
        let variables = BTreeMap::from([("KEY".to_owned(), "s3cr3t".to_owned())]);
        let span = Span { source: 0, start: 0, end: raw.len() };
        if expand_scalar(&mut scalar, span, &variables, &mut errors) {
            Ok(scalar.value)
        } else {
            Err(errors.to_string())
        }
    }

    #[test]
    fn variables_are_replaced() {
        assert_eq!(expanded("${KEY}").as_deref(), Ok("s3cr3t"));
        assert_eq!(expanded("a${KEY}b${NONE:-c:d}$e$").as_deref(), Ok("as3cr3tbc:d$e$"));
        assert_eq!(expanded("$${KEY} ${NONE:-}").as_deref(), Ok("${KEY} "));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named_and_no_value_is_shown() {
        for (raw, part) in
            [("${KEY}${NONE}", "`NONE` is not set"), ("${KEY", "without"), ("${KEY}${9}", "names no variable")]
        {
            let told = expanded(raw).expect_err("an error");
            assert!(told.contains(part) && !told.contains("s3cr3t"), "{told}");
        }
    }

    #[test]
    fn variables_stand_in_flow_mappings_without_quotes() {
        let text = "a: { b: ${KEY}, c: $${x}, d: [${N:-ü}, ${9}] } # ${";
        let shield = Shield::over(text);
        assert_eq!(Shield::lift(&shield.text), text);
        for (at, c) in shield.text.char_indices().filter(|(_, c)| !Shield::STAND_INS.contains(c)) {
            assert!(text[shield.original(at)..].starts_with(c), "{at} {c}");
        }
        assert_eq!(variables_needed("a: { b: ${KEY}, c: [${N:-1}] }").len(), 2);
    }

    #[test]
    fn needed_names_are_found_in_values_only() {
        let text =
            "# ${NO}\ntarget: {url: \"wss://${HOST}/\", tokens: {secret: \"${A_B:-x}\"}}\nlist: [\"$${N}\"]\nbroken: [";
        assert_eq!(variables_needed(text).into_iter().collect::<Vec<_>>(), ["A_B", "HOST"]);
    }
}
