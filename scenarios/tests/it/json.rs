//! YAML as other tools read it: by the YAML 1.2 core schema, into JSON.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// A document as JSON.
pub(crate) fn of(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|event| event.expect("valid YAML").0).filter(is_node);
    let first = events.next().expect("a document");
    value(first, &mut events)
}

fn is_node(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Scalar(..) | Event::SequenceStart(..) | Event::SequenceEnd | Event::MappingStart(..) | Event::MappingEnd
    )
}

fn value<'a>(event: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => {
            text.parse::<i64>().map_or_else(|_| Value::String(text.into_owned()), Value::from)
        }
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().expect("an end") {
                    Event::SequenceEnd => return Value::Array(items),
                    item => items.push(value(item, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                match events.next().expect("an end") {
                    Event::Scalar(key, ..) => {
                        let next = events.next().expect("a value");
                        map.insert(key.into_owned(), value(next, events));
                    }
                    _ => return Value::Object(map),
                }
            }
        }
        other => panic!("no value: {other:?}"),
    }
}
