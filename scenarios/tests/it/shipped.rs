//! The files that ship, and the schema that describes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use scenarios::{Scenario, Source, parse, schema};
use serde_json::Value;

fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).expect("the crate's directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files
}

fn shipped(name: &str, flags: &[&str]) -> Scenario {
    let source = Source {
        file_name: name.into(),
        bytes: std::fs::read(directory().join(name)).expect("a shipped file"),
        overrides: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Source::default()
    };
    parse(&source).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_shipped_file_is_valid_named_after_itself_and_names_its_schema() {
    let files = files();
    assert!(files.len() >= 6);
    for path in files {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let scenario = shipped(&name, &[]);
        assert_eq!(format!("{}.yaml", scenario.name), name);
        assert!(!scenario.description.is_empty() && !scenario.thresholds.is_empty());
        let text = std::fs::read_to_string(&path).expect("a text");
        assert!(text.starts_with("# yaml-language-server: $schema=./scenario.schema.json\n"), "{name}");
        assert!(text.matches("\n#").count() >= 3, "{name} is explained to a newcomer");
    }
}

#[test]
fn the_quick_start_is_a_thousand_people_in_one_channel_in_about_forty_seconds() {
    let quick = shipped("quickstart.yaml", &[]);
    assert_eq!((quick.users(), quick.channels.len(), quick.channels[0].count), (1_000, 1, 1));
    let timeline = quick.timeline();
    assert_eq!(timeline.ramp, Duration::from_secs(10));
    assert!((30..=45).contains(&timeline.end.as_secs()));
    assert_eq!(shipped("stadium-5m.yaml", &[]).users(), 5_000_000);
}

#[test]
fn flags_change_what_they_name() {
    let changed = shipped(
        "quickstart.yaml",
        &[
            "cohorts.readers.users=10",
            "cohorts.1.users=5",
            "seed=7",
            "hold=5s",
            "cohorts.chatters.actions.send.rate=1/s",
            "probes.canaries=0",
            "probes.send=0/s",
            "thresholds.delivery=p(50) < 1s",
            "target.url=ws://127.0.0.1:9",
        ],
    );
    assert_eq!((changed.users(), changed.seed), (15, 7));
    assert_eq!(changed.phases[0].duration, Duration::from_secs(5));
    assert_eq!(changed.cohorts[1].actions[0].rate, 1.0);
    assert_eq!(changed.target.urls, ["ws://127.0.0.1:9"]);
    assert!(changed.thresholds.iter().any(|threshold| threshold.text == "delivery: p(50) < 1s"));
}

#[test]
fn files_from_windows_are_read_and_their_errors_placed() {
    let source = |text: &str| Source {
        file_name: "a.yaml".into(),
        bytes: format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes(),
        ..Source::default()
    };
    let text = std::fs::read_to_string(directory().join("quickstart.yaml")).expect("a shipped file");
    let same = parse(&source(&text)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(same, shipped("quickstart.yaml", &[]));
    let errors = parse(&source(&text.replace("hold: 25s", "hold: 25"))).expect_err("no unit");
    let error = errors.iter().next().expect("one");
    assert_eq!((errors.len(), error.column), (1, 7));
    assert!(errors.render(false).contains("| hold: 25\n"), "{errors}");
}

#[test]
fn the_schema_file_is_current() {
    let path = directory().join("scenario.schema.json");
    let now = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).expect("a writable file");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == now, "scenario.schema.json is out of date: UPDATE_GOLDEN=1 cargo test -p scenarios");
}

/// Checks a value against the parts of JSON Schema that ours uses; an empty list means that it fits.
fn misfits(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).expect("a definition");
        found.extend(misfits(root, target, value, path));
    }
    if let Some(choices) = schema["anyOf"].as_array()
        && choices.iter().all(|choice| !misfits(root, choice, value, path).is_empty())
    {
        found.push(format!("{path}: fits none of the choices"));
    }
    if let Some(choices) = schema["oneOf"].as_array()
        && choices.iter().filter(|choice| misfits(root, choice, value, path).is_empty()).count() != 1
    {
        found.push(format!("{path}: fits not exactly one of the choices"));
    }
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::Number(_) => "integer",
        _ => "string",
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !kinds.is_empty() && !kinds.contains(&kind) {
        found.push(format!("{path}: is {kind}, not {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{path}: is none of {words:?}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !regex::Regex::new(pattern).expect("a regular expression").is_match(text)
    {
        found.push(format!("{path}: `{text}` doesn't match {pattern}"));
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(key).is_none() {
            found.push(format!("{path}: lacks {key}"));
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let by_pattern = schema["patternProperties"].as_object().into_iter().flatten();
        let by_pattern = by_pattern.filter(|(p, _)| regex::Regex::new(p).expect("a regular expression").is_match(key));
        match schema["properties"].get(key).or_else(|| by_pattern.map(|(_, schema)| schema).next()) {
            Some(schema) => found.extend(misfits(root, schema, inner, &path)),
            None if schema["additionalProperties"] == false => found.push(format!("{path}: is unknown")),
            None => {}
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(misfits(root, &schema["items"], inner, &format!("{path}.{index}")));
    }
    found
}

#[test]
fn every_shipped_file_fits_the_schema() {
    let schema = schema();
    for path in files() {
        let value = crate::json::of(&std::fs::read_to_string(&path).expect("a text"));
        assert_eq!(misfits(&schema, &schema, &value, ""), Vec::<String>::new(), "{}", path.display());
    }
    let broken = serde_json::json!({ "name": "a b", "channels": [], "cohorts": [{ "users": "1/s" }], "holt": "1s" });
    assert_eq!(misfits(&schema, &schema, &broken, "").len(), 5);
}
