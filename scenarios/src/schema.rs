//! The JSON Schema of a scenario file, for editors: derived from the types that the decoder decodes to.

use schemars::generate::SchemaSettings;
use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

/// The schema (draft 2020-12).
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<crate::language::File>();
    schema.insert("title".into(), "A throng scenario".into());
    schema.to_value()
}

/// A mapping with these keys (name, whether it is required, schema) and no others, of which exactly one of `one_of` is there.
pub(crate) fn mapping(doc: &str, keys: &[(&str, bool, Schema)], one_of: &[&str]) -> Schema {
    let required: Vec<&str> = keys.iter().filter(|(_, required, _)| *required).map(|(name, ..)| *name).collect();
    let properties: Map<String, Value> =
        keys.iter().map(|(name, _, schema)| ((*name).to_owned(), schema.clone().to_value())).collect();
    let mut schema = json_schema!({
        "type": "object", "description": doc.trim(), "properties": properties, "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if !one_of.is_empty() {
        schema.insert("oneOf".into(), one_of.iter().map(|name| json!({ "required": [name] })).collect());
    }
    schema
}

/// A single value. YAML reads `5` as a number and `5_000` as a text: both are allowed where the pattern allows digits.
pub(crate) fn leaf(what: &str, pattern: &str, examples: &[&str]) -> Schema {
    let variable = r"\$\{";
    let mut schema = json_schema!({
        "type": "string", "description": what, "examples": examples, "pattern": format!("{pattern}|{variable}"),
    });
    if what.ends_with("number") {
        schema.insert("type".into(), json!(["integer", "string"]));
        schema.insert("minimum".into(), json!(0));
    }
    schema
}

/// A key's schema with the key's own description.
pub(crate) fn described(schema: Schema, doc: &str) -> Schema {
    let mut schema = schema;
    schema.insert("description".into(), doc.trim().into());
    schema
}
