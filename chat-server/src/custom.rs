//! Custom fields: what callers may hang on messages, channels, users and events.

use serde_json::{Map, Value};
use wire::{ApiError, limits};

use crate::failure;

/// Refuses custom fields that are too large, or nested so deeply that others could not read them back.
pub(crate) fn check(what: &str, custom: &Map<String, Value>) -> Result<(), ApiError> {
    if custom.is_empty() {
        return Ok(());
    }
    if serde_json::to_vec(custom).map_or(0, |json| json.len()) > limits::CUSTOM_DATA {
        return Err(failure::too_large(&format!("{what} (its custom fields)"), limits::CUSTOM_DATA));
    }
    if custom.values().any(|value| is_deeper(value, limits::CUSTOM_DEPTH)) {
        return Err(failure::input(format!("{what} is nested too deeply: at most {} levels", limits::CUSTOM_DEPTH)));
    }
    Ok(())
}

/// Whether there are more than so many levels of lists and objects.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let inner = |value: &Value| levels == 0 || is_deeper(value, levels - 1);
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(inner),
        Value::Object(fields) => levels == 0 || fields.values().any(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn custom(value: Value) -> Map<String, Value> {
        Map::from_iter([("a".to_owned(), value)])
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let nested = |levels| {
            (0..levels)
                .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "b": inner }) })
        };
        assert!(check("message", &custom(nested(limits::CUSTOM_DEPTH))).is_ok());
        assert_eq!(check("message", &custom(nested(limits::CUSTOM_DEPTH + 1))).unwrap_err().status, 400);
        assert!(check("message", &custom(json!("x".repeat(limits::CUSTOM_DATA - 8)))).is_ok());
        assert_eq!(check("message", &custom(json!("x".repeat(limits::CUSTOM_DATA)))).unwrap_err().status, 413);
    }
}
