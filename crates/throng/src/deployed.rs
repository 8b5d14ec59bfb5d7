//! Whether the flags with which fleets start throng are flags of throng: the unit files of `deploy/units`, which hosts of
//! terraform's and of the tests share, and Kubernetes' manifests, against the command line itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Args, Command};

/// What a host finds out about itself, in addition to the fleet's variables.
const HOST: &[(&str, &str)] = &[
    ("FLEET_ADDRESS", "10.80.0.5"),
    ("FLEET_SOURCES", "--source-address 10.80.0.5 --source-address 10.80.0.6"),
    ("FLEET_NAME", "worker-i-0123456789abcdef0"),
];

/// Variables that only throng knows of.
const OURS: &str = "THRONG_";

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn files(directory: &str, extension: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(deploy().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    let wanted = entries.filter(|path| path.extension().is_some_and(|e| e == extension));
    let read = wanted.map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    read.collect()
}

fn variables() -> BTreeMap<String, String> {
    let sample = fs::read_to_string(deploy().join("hosts/throng.env")).unwrap();
    let fleet = sample.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once('='));
    fleet.chain(HOST.iter().copied()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The words of a command after a service manager has filled in variables: `${X}` and `$(X)` in a word, `$X` as words.
fn words(line: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| variables.get(name).unwrap_or_else(|| panic!("{name} is not set: {line}")).clone();
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        match word.strip_prefix('$').filter(|name| !name.starts_with(['{', '('])) {
            Some(name) => words.extend(value(name).split_whitespace().map(str::to_owned)),
            None => {
                let mut whole = word.to_owned();
                for (open, close) in [("${", "}"), ("$(", ")")] {
                    while let Some((before, rest)) = whole.clone().split_once(open) {
                        let (name, after) = rest.split_once(close).expect("a variable that ends");
                        whole = format!("{before}{}{after}", value(name));
                    }
                }
                words.push(whole);
            }
        }
    }
    words
}

/// The command that a unit starts, if it is throng.
fn started(unit: &str) -> Option<String> {
    let joined = unit.replace("\\\n", " ");
    joined.lines().find_map(|l| l.strip_prefix("ExecStart=/usr/local/bin/throng ")).map(|rest| format!("throng {rest}"))
}

/// The arguments of the containers of a manifest.
fn containers(manifest: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = manifest.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "args:" {
            let own = lines.by_ref().take_while(|l| l.trim_start().starts_with("- "));
            let own: Vec<&str> = own.map(|l| l.trim_start().trim_start_matches("- ")).collect();
            all.push(format!("throng {}", own.join(" ")));
        }
    }
    all
}

fn role(command: &Command) -> &'static str {
    match command {
        Command::ControlPlane(_) => "control-plane",
        Command::DataPlane(_) => "data-plane",
        Command::Worker(_) => "worker",
        Command::Probe(_) => "probe",
        Command::ChatServer(args) if args.edge => "edge",
        Command::ChatServer(_) => "origin",
        _ => "not a role",
    }
}

#[test]
fn unit_files_start_throng_with_flags_that_it_has() {
    let variables = variables();
    let mut seen = BTreeSet::new();
    for (unit, text) in files("units", "service") {
        let Some(line) = started(&text) else { continue };
        let parsed = Args::try_parse_from(words(&line, &variables)).unwrap_or_else(|e| panic!("{unit}: {e}"));
        assert_eq!(format!("throng-{}", role(&parsed.command)), unit);
        if let Command::Worker(args) = parsed.command {
            assert_eq!(args.source_addresses.concat().len(), 2, "each address is a flag of its own");
        }
        seen.insert(unit);
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn manifests_start_throng_with_flags_that_it_has() {
    let variables = variables();
    let mut seen = BTreeSet::new();
    for (manifest, text) in files("kubernetes/base", "yaml") {
        for line in containers(&text) {
            let parsed = Args::try_parse_from(words(&line, &variables)).unwrap_or_else(|e| panic!("{manifest}: {e}"));
            assert_eq!(role(&parsed.command), manifest);
            seen.insert(manifest.clone());
        }
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn a_fleets_variables_are_ones_that_throng_reads() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let whole = Args::command();
    for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
        known.extend(command.get_arguments().filter_map(|a| a.get_env()).map(|e| e.to_string_lossy().into_owned()));
    }
    let script = fs::read_to_string(deploy().join("hosts/throng-host")).unwrap();
    let written = script.split('"').filter_map(|part| part.split_once('=')).map(|(name, _)| name.to_owned());
    let set: BTreeSet<String> = variables().into_keys().chain(written).filter(|n| n.starts_with(OURS)).collect();
    assert!(set.contains("THRONG_TLS_KEY") && set.contains("THRONG_PLAINTEXT"), "{set:?}");
    for name in set {
        assert!(known.contains(&name), "{name} is set on hosts, but throng reads no such variable");
    }
}

#[test]
fn a_flag_that_throng_lacks_is_found() {
    let variables = variables();
    let (_, worker) = files("units", "service").into_iter().find(|(unit, _)| unit == "throng-worker").unwrap();
    let misspelt = started(&worker).unwrap().replace("--spool-dir", "--spool-directory");
    assert!(Args::try_parse_from(words(&misspelt, &variables)).is_err());
}
