//! From a tree to typed values, collecting every error.
//!
//! `mapping!` and `words!` here, and `leaf!` beside them, are the one description of the language: from it come the type, the decoder
//! that knows exactly these keys, and the JSON Schema.

use crate::diagnostic::{Diagnostics, Span, quoted};
use crate::tree::{Kind, Map, Node, Scalar};

/// A type that a value of the file has.
pub(crate) trait Decode: Sized {
    /// `None` if it isn't one; the error has been reported then.
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self>;
}

/// The value of a key, with its place.
#[derive(Debug)]
pub(crate) struct Field<T> {
    /// `None` if it was left out, or refused.
    value: Option<T>,
    /// Whether the key stood in the file.
    pub(crate) given: bool,
    /// The value's place; of a key that was left out, its mapping's.
    pub(crate) span: Span,
    /// The key's place.
    pub(crate) key: Span,
}

impl<T> Field<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

/// A list whose items know their places; refused ones are left out.
#[derive(Debug)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<Item<T>>,
    /// Whether some items were refused: what is not in the list may have been among them.
    pub(crate) partial: bool,
}

#[derive(Debug)]
pub(crate) struct Item<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T: Decode> Decode for List<T> {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        let Kind::List(nodes) = &node.kind else {
            wrong_kind(node, "a list", Some("put `- ` before the first key of each item".into()), errors);
            // The dashes were forgotten: what is inside is checked all the same, key by key.
            if let Kind::Map(map) = &node.kind {
                for entry in &map.entries {
                    let part = Map { entries: vec![entry.clone()] };
                    let _ = T::decode(&Node { span: entry.key.span, kind: Kind::Map(part), cut: true }, errors);
                }
            }
            return None;
        };
        let items: Vec<_> = nodes
            .iter()
            .filter_map(|item| T::decode(item, errors).map(|value| Item { value, span: item.span }))
            .collect();
        Some(Self { partial: node.cut || items.len() < nodes.len(), items })
    }
}

/// Reports that a value is of the wrong kind, or empty.
pub(crate) fn wrong_kind(node: &Node, wanted: &str, hint: Option<String>, errors: &mut Diagnostics) {
    let found = match &node.kind {
        // Its items or keys may have stood in the line with the syntax error.
        Kind::Scalar(scalar) if scalar.is_null() && node.cut && wanted.contains("a list") => return,
        Kind::Scalar(scalar) if scalar.is_null() && node.cut && wanted.contains("a mapping") => return,
        Kind::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
        Kind::Scalar(scalar) => quoted(&scalar.raw),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping (`key: value`)".to_owned(),
        Kind::Refused => return,
    };
    errors.add(node.span, format!("{wanted} is wanted here, this is {found}"), hint);
}

/// A mapping whose keys are taken one after the other.
pub(crate) struct Fields<'a> {
    what: &'static str,
    map: &'a Map,
    span: Span,
    cut: bool,
}

impl<'a> Fields<'a> {
    /// Checks the keys of a mapping: each is known, and none stands twice.
    pub(crate) fn of(node: &'a Node, what: &'static str, known: &[&str], errors: &mut Diagnostics) -> Option<Self> {
        let Kind::Map(map) = &node.kind else {
            let first = known.first().copied().unwrap_or_default();
            let hint = format!("it reads `{{ {first}: … }}`; its keys are: {}", known.join(", "));
            wrong_kind(node, &format!("{what} (a mapping)"), Some(hint), errors);
            return None;
        };
        let fields = Self { what, map, span: node.span, cut: node.cut };
        fields.report_strangers(known, errors);
        Some(fields)
    }

    fn report_strangers(&self, known: &[&str], errors: &mut Diagnostics) {
        let mut seen = std::collections::BTreeMap::new();
        for entry in &self.map.entries {
            let name = entry.key.name.as_str();
            // Nobody reads further than the two hundred errors that are kept.
            if errors.is_full() {
                return;
            }
            let first = *seen.entry(name).or_insert(entry.key.span);
            if first != entry.key.span {
                let line = errors.texts()[first.source].text[..first.start].matches('\n').count() + 1;
                let message = format!("the key {} stands twice in {}", quoted(name), self.what);
                errors.add(entry.key.span, message, Some(format!("the first one is in line {line}; keep one")));
            } else if !known.contains(&name) {
                let hint = match name {
                    "<<" => Some("merging is not part of the scenario language: write the keys out".into()),
                    _ => nearest(name, known.iter().copied())
                        .or_else(|| Some(format!("the keys of {} are: {}", self.what, known.join(", ")))),
                };
                errors.add(entry.key.span, format!("{} is not a key of {}", quoted(name), self.what), hint);
            }
        }
    }

    /// Takes a key that may be left out.
    pub(crate) fn optional<T: Decode>(&self, name: &str, errors: &mut Diagnostics) -> Field<T> {
        let mut field = Field { value: None, given: false, span: self.span, key: self.span };
        // A key that stands twice is read twice, for the errors in it.
        for entry in self.map.entries.iter().filter(|entry| entry.key.name == name) {
            let value = T::decode(&entry.value, errors);
            if !field.given {
                field = Field { value, given: true, span: entry.value.span, key: entry.key.span };
            }
        }
        field
    }

    /// Takes a key that must be there.
    pub(crate) fn required<T: Decode>(&self, name: &str, example: &str, errors: &mut Diagnostics) -> Field<T> {
        let field = self.optional(name, errors);
        // A key that is nearly this one has been reported as unknown; saying that this one is missing would be noise.
        if !field.given && !self.cut && !self.has_misspelt(name) {
            let message = format!("{} lacks the key {}", self.what, quoted(name));
            errors.add(self.span, message, Some(format!("add `{name}: {example}`")));
        }
        field
    }

    /// Reports if not exactly one of these keys is there.
    pub(crate) fn exactly_one(&self, names: &[&str], errors: &mut Diagnostics) {
        let mut found = self.map.entries.iter().filter(|entry| names.contains(&entry.key.name.as_str()));
        let choice = || Some(format!("write one of: {}", names.join(", ")));
        match (found.next(), found.next()) {
            // Any other key has been reported as unknown, and is probably the one that was meant.
            (None, _) if self.cut || self.map.entries.iter().any(|entry| entry.key.name != "name") => {}
            (None, _) => errors.add(self.span, format!("{} doesn't say what it is", self.what), choice()),
            (Some(first), Some(second)) if first.key.name != second.key.name => {
                let message =
                    format!("{} is either {} or {}", self.what, quoted(&first.key.name), quoted(&second.key.name));
                // What is an item of a list is called "a …".
                let hint = if self.what.starts_with('a') {
                    "begin a new list item with `- ` for the second"
                } else {
                    "keep one of them"
                };
                errors.add(second.key.span, message, Some(hint.into()));
            }
            _ => {}
        }
    }

    fn has_misspelt(&self, name: &str) -> bool {
        self.map.entries.iter().take(1_000).any(|entry| is_near(&entry.key.name, name))
    }
}

/// How far apart two words may be to be taken for one another: a third of their letters.
pub(crate) fn is_near(given: &str, name: &str) -> bool {
    given != name && given.len() < 64 && distance(given, name) <= (name.chars().count().max(2) / 3).clamp(1, 3)
}

fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(&a.to_lowercase(), &b.to_lowercase())
}

/// "did you mean …?", if one of the candidates is near; nothing is looked for among more than a thousand.
pub(crate) fn nearest<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .take(1_000)
        .filter(|name| is_near(given, name))
        .min_by_key(|name| distance(given, name))
        .map(|name| format!("did you mean `{name}`?"))
}

/// Which of several words a value is.
pub(crate) fn word(node: &Node, what: &str, words: &[&str], errors: &mut Diagnostics) -> Option<usize> {
    let scalar = text(node, what, || format!("it is one of: {}", words.join(", ")), errors)?;
    let found = words.iter().position(|word| *word == scalar.value);
    if found.is_none() {
        let hint = nearest(&scalar.raw, words.iter().copied())
            .unwrap_or_else(|| format!("it is one of: {}", words.join(", ")));
        errors.add(node.span, format!("{} is not {what}", quoted(&scalar.raw)), Some(hint));
    }
    found
}

/// A value that is a single one, and not empty.
pub(crate) fn text<'a>(
    node: &'a Node,
    what: &str,
    hint: impl Fn() -> String,
    errors: &mut Diagnostics,
) -> Option<&'a Scalar> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() => Some(scalar),
        _ => {
            wrong_kind(node, what, Some(hint()), errors);
            None
        }
    }
}

/// Refuses a plain word that YAML reads as a number or truth value where a text is wanted.
pub(crate) fn not_another_type(node: &Node, scalar: &Scalar, errors: &mut Diagnostics) -> Option<()> {
    let other = match scalar.raw.as_str() {
        _ if !scalar.plain || scalar.has_variables() => return Some(()),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "a truth value",
        raw if raw.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && raw.parse::<f64>().is_ok() => {
            "a number"
        }
        _ => return Some(()),
    };
    let message = format!("{} is {other} to YAML, a text is wanted here", quoted(&scalar.raw));
    errors.add(node.span, message, Some(format!("put it in quotes: \"{}\"", scalar.raw)));
    None
}

/// A mapping with fixed keys: the type, its decoder and its schema.
macro_rules! mapping {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal $(, one of [$($one:literal),+])?;
     $($(#[doc = $fdoc:literal])+ $need:ident $key:literal $field:ident: $type:ty $(= $example:literal)?;)+) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) struct $name {
            $($(#[doc = $fdoc])+ pub(crate) $field: $crate::decode::Field<$type>,)+
        }

        impl $crate::decode::Decode for $name {
            fn decode(node: &$crate::tree::Node, errors: &mut $crate::diagnostic::Diagnostics) -> Option<Self> {
                let fields = $crate::decode::Fields::of(node, $what, &[$($key),+], errors)?;
                $(fields.exactly_one(&[$($one),+], errors);)?
                Some(Self { $($field: fields.$need($key, $($example,)? errors)),+ })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::mapping(
                    concat!($($doc),+),
                    &[$(($key, stringify!($need) == "required", $crate::schema::described(
                        generator.subschema_for::<$type>(), concat!($($fdoc),+)))),+],
                    &[$($($one),+)?],
                )
            }
        }
    };
}

/// One of several words: the type, its decoder and its schema.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal; $($(#[doc = $vdoc:literal])+ $word:literal => $variant:ident;)+) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[doc = $vdoc])+ $variant),+ }

        impl $crate::decode::Decode for $name {
            fn decode(node: &$crate::tree::Node, errors: &mut $crate::diagnostic::Diagnostics) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),+];
                let word = $crate::decode::word(node, $what, WORDS, errors)?;
                [$(Self::$variant),+].get(word).copied()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "description": concat!($($doc),+).trim(), "enum": [$($word),+] })
            }
        }
    };
}

pub(crate) use {mapping, words};
