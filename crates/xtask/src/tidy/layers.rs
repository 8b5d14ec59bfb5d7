//! Who may depend on whom, read from `cargo metadata`.

use serde_json::Value;

use super::Problems;

/// Those that depend on nothing of ours.
const PURE: &[&str] = &["measure", "wire", "proto", "tls"];
const LIBRARIES: &[&str] = &["client", "agent", "scenarios"];
const SERVICES: &[&str] = &["control-plane", "worker", "probe", "reports", "chat-server", "truth"];

/// The level of a crate of ours: it may depend on lower ones only. `throng` knows all, `xtask` stands beside.
fn level(name: &str) -> Option<u8> {
    let found = [(PURE, 0), (LIBRARIES, 1), (SERVICES, 2), (&["throng", "xtask"][..], 3)];
    found.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, level)| level)
}

/// Arrows between crates of ours that the design forbids, and crates whose layer nobody has decided.
pub(super) fn check(metadata: &Value) -> Problems {
    let members: Vec<&Value> = list(metadata, "packages").iter().filter(|p| p["source"].is_null()).collect();
    let mut problems = Problems::new();
    for package in members {
        let name = text(package, "name");
        let Some(own) = level(name) else {
            problems.push(format!("{name}: no layer is decided for this crate: add it to xtask's tidy/layers.rs"));
            continue;
        };
        for dependency in list(package, "dependencies").iter().filter(|d| d["path"].is_string()) {
            let other = text(dependency, "name");
            if level(other).is_some_and(|theirs| theirs >= own) {
                problems.push(format!("{name} depends on {other}, which is not in a lower layer"));
            }
        }
    }
    problems
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, on: &str) -> Value {
        serde_json::json!({"packages": [
            {"name": name, "source": null, "dependencies": [{"name": on, "path": "/somewhere"}]}
        ]})
    }

    #[test]
    fn arrows_go_down_only() {
        for (name, on) in [("throng", "worker"), ("worker", "client"), ("client", "wire"), ("reports", "scenarios")] {
            assert_eq!(check(&package(name, on)), Problems::new(), "{name} -> {on}");
        }
        for (name, on) in [("worker", "probe"), ("wire", "measure"), ("client", "worker"), ("scenarios", "client")] {
            assert_eq!(check(&package(name, on)).len(), 1, "{name} -> {on}");
        }
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        assert_eq!(check(&package("gadget", "wire")).len(), 1);
    }
}
