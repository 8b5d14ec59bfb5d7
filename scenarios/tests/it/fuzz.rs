//! No input makes the parser panic, hang, or take nonsense for a scenario.

use std::time::Duration;

use measure::Clock;
use proptest::prelude::*;
use proptest::sample::Index;
use scenarios::{LARGEST_FILE, Shard, Source, parse, redacted, variables_needed};

const SHIPPED: [&str; 4] = [
    include_str!("../../quickstart.yaml"),
    include_str!("../../many-rooms.yaml"),
    include_str!("../../stadium-5m.yaml"),
    include_str!("../../typing-storm.yaml"),
];

fn check(bytes: Vec<u8>, overrides: Vec<String>) {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let source = Source { file_name: "fuzz.yaml".into(), bytes, overrides, ..Source::default() };
    match parse(&source) {
        Err(errors) => {
            assert!(!errors.is_empty() && errors.render(true).contains('^'));
            for error in &errors {
                assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty());
            }
        }
        Ok(scenario) => {
            // What is taken for valid can be run.
            assert!(scenario.users() > 0 && !scenario.phases.is_empty());
            assert!(scenario.timeline().end > scenario.timeline().ramp);
            assert!(scenario.planned_users(Shard::WHOLE).take(10).count() > 0);
            for (number, ..) in scenario.actions().take(5) {
                for arrival in scenario.arrivals(number, Shard::WHOLE).take(3) {
                    assert!(scenario.channels_of(arrival.user).contains(&arrival.channel));
                }
            }
        }
    }
    assert_eq!(redacted(&text).chars().count(), text.chars().count());
    let _ = variables_needed(&text);
}

/// What breaks files: characters that mean something to YAML or to the language.
const PIECES: [&str; 28] = [
    "{", "}", "[", "]", ":", ": ", "- ", "\n", "\t", "  ", "#", "&a ", "*a", "!t ", "\"", "'", "|", ">", "?", "%",
    "${", "}", "0", "-1", "é", "\u{0}", "---\n", "<<: ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(bytes, vec![]);
    }

    #[test]
    fn arbitrary_yaml_like_text_is_refused(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        check(pieces.into_iter().map(|piece| PIECES[piece]).collect::<String>().into_bytes(), vec![]);
    }

    #[test]
    fn mutated_files_are_valid_or_refused(
        file in 0..SHIPPED.len(),
        changes in proptest::collection::vec((any::<Index>(), 0..PIECES.len() + 3, 0_usize..40), 1..4),
    ) {
        let mut text: Vec<char> = SHIPPED[file].chars().collect();
        for (place, change, length) in changes {
            let at = place.index(text.len().max(1));
            let end = (at + length).min(text.len());
            match PIECES.get(change) {
                Some(piece) => { text.splice(at..at, piece.chars()); }
                None if change == PIECES.len() => { text.drain(at..end); }
                None if change == PIECES.len() + 1 => { let part = text[at..end].to_vec(); text.splice(at..at, part); }
                None => { text.truncate(at); }
            }
        }
        check(text.into_iter().collect::<String>().into_bytes(), vec![]);
    }

    #[test]
    fn arbitrary_flags_are_applied_or_refused(
        file in 0..SHIPPED.len(),
        path in "(cohorts|channels|seed|hold|phases|thresholds|target)?(\\.(0|1|fans|readers|users|send|rate|wave|x|tokens|secret))*",
        value in "(=|==)?[-a-z0-9/{}\\[\\]: .$&*'\"]{0,12}",
    ) {
        check(SHIPPED[file].as_bytes().to_vec(), vec![format!("{path}{value}")]);
    }
}

#[test]
fn huge_and_hostile_files_are_refused_quickly() {
    let clock = Clock::System;
    // An eighth of the largest file: what is quadratic takes minutes at this size too, in a debug build.
    let full = |piece: &str| piece.repeat(LARGEST_FILE / 8 / piece.len());
    let head = "name: x\nchannels: [{ id: a }]\nhold: 1s\n";
    for text in [
        "x".repeat(LARGEST_FILE + 1),
        full("["),
        full("- "),
        full("a: 1\n"),
        full("- x\n"),
        full("{a: "),
        full("${"),
        full("? "),
        full("\n"),
        full("&a *a "),
        format!("{head}cohorts:\n{}", "  - { name: a, users: 1, ramp: { rate: 1/s } }\n".repeat(2_000)),
        format!("{head}thresholds:\n{}", "  - lost: count == 0\n".repeat(5_000)),
        format!("{head}phases:\n{}", "  - { name: a, hold: 1s }\n".repeat(4_000)),
        format!("{head}cohorts:\n{}", "  - cohort\n".repeat(10_000)),
        format!("name: x\nhold: 1s\nchannels: [{{ id: a, members: [{}] }}]\ncohorts: []", "a, ".repeat(30_000)),
    ] {
        let started = clock.now();
        let beginning: String = text.chars().take(40).collect();
        check(text.into_bytes(), vec![]);
        assert!(clock.now().since(started) < Duration::from_secs(30), "{beginning:?}");
    }
}
