//! `--set key=value`: values that the command line puts in the place of the file's.

use crate::decode::nearest;
use crate::diagnostic::{Diagnostics, Span, quoted};
use crate::tree::{Entry, Key, Kind, Map, Node, Scalar};

/// Applies a flag, whose text is source number `source`: a path of keys, indices and names, `=`, and a YAML value.
pub(crate) fn apply(root: &mut Option<Node>, source: usize, errors: &mut Diagnostics) {
    let flag = errors.texts()[source].text.clone();
    let whole = Span { source, start: 0, end: flag.len() };
    let Some((path, _)) = flag.split_once('=') else {
        let hint = "write `--set key=value`, such as `--set seed=7` or `--set cohorts.fans.users=100`";
        return errors.add(whole, "the `=` is missing", Some(hint.into()));
    };
    let from = path.len() + 1;
    let mut steps = Vec::new();
    let mut start = 0;
    for name in path.split('.') {
        let span = Span { source, start, end: start + name.len() };
        if name.trim().is_empty() {
            return errors.add(
                whole,
                "the key before `=` has an empty part",
                Some("keys are parted by single dots".into()),
            );
        }
        steps.push(Key { span, name: name.trim().to_owned() });
        start += name.len() + 1;
    }
    let found = errors.len();
    let value = crate::tree::read(source, from, errors).unwrap_or_else(|| {
        // The parser gives nothing for an empty text.
        let nothing = Scalar { plain: true, ..Scalar::default() };
        Node::new(Span { end: path.len(), ..whole }, Kind::Scalar(nothing))
    });
    if errors.len() > found {
        return;
    }
    match root {
        Some(root) => put(root, &steps, value, errors),
        None => *root = Some(wrap(&steps, value)),
    }
}

/// The value under the keys that lead to it.
fn wrap(steps: &[Key], value: Node) -> Node {
    steps.iter().rev().fold(value, |value, key| {
        let entries = vec![Entry { key: key.clone(), value }];
        Node::new(key.span, Kind::Map(Map { entries }))
    })
}

fn put(node: &mut Node, steps: &[Key], value: Node, errors: &mut Diagnostics) {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return;
    };
    match &mut node.kind {
        Kind::Map(map) => match map.entries.iter_mut().find(|entry| entry.key.name == step.name) {
            Some(entry) if rest.is_empty() => {
                entry.value = value;
                entry.key.span = step.span;
            }
            Some(entry) => put(&mut entry.value, rest, value, errors),
            None => map.entries.push(Entry { key: step.clone(), value: wrap(rest, value) }),
        },
        Kind::List(items) => match position(items, &step.name) {
            // `- send: …` is called after its only key, which is then the next step.
            Some(index) if is_called_after_key(&items[index], &step.name) => {
                put(&mut items[index], steps, value, errors);
            }
            Some(index) => put(&mut items[index], rest, value, errors),
            None => {
                let names: Vec<&str> = items.iter().filter_map(name_of).collect();
                let hint = nearest(&step.name, names.iter().copied()).unwrap_or_else(|| {
                    let most = items.len().saturating_sub(1);
                    format!(
                        "give an index from 0 to {most}, or one of: {}",
                        names.iter().take(20).copied().collect::<Vec<_>>().join(", ")
                    )
                });
                errors.add(step.span, format!("the list has no item {}", quoted(&step.name)), Some(hint));
            }
        },
        Kind::Scalar(scalar) if scalar.is_null() => *node = wrap(steps, value),
        Kind::Scalar(_) => {
            let message =
                format!("there is nothing below the key before {}: it holds a single value", quoted(&step.name));
            errors.add(step.span, message, None);
        }
        Kind::Refused => {}
    }
}

fn position(items: &[Node], name: &str) -> Option<usize> {
    items
        .iter()
        .position(|item| name_of(item) == Some(name))
        .or_else(|| name.parse().ok().filter(|index| *index < items.len()))
}

fn is_called_after_key(item: &Node, name: &str) -> bool {
    matches!(&item.kind, Kind::Map(map) if map.entries.iter().any(|entry| entry.key.name == name))
}

/// What an item is called: its `name`, its `id`, or its only key.
fn name_of(item: &Node) -> Option<&str> {
    let Kind::Map(map) = &item.kind else { return None };
    let named = map.entries.iter().find(|entry| matches!(entry.key.name.as_str(), "name" | "id"));
    match named.map(|entry| &entry.value.kind) {
        Some(Kind::Scalar(scalar)) => Some(&scalar.raw),
        _ => map.entries.first().map(|entry| entry.key.name.as_str()),
    }
}
