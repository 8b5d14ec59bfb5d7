//! The first events that were lost, repeated or late, a sentence each.

use super::figure::Part;
use crate::RunResult;
use crate::format::{count, run_time};
use crate::result::Example;

/// A list a kind, for those that there are.
pub(super) fn parts(result: &RunResult) -> Vec<Part> {
    let examples = &result.examples;
    let kinds = [
        ("The first that were lost", examples.lost.iter().map(lost).collect::<Vec<_>>()),
        ("The first that came twice", examples.duplicated.iter().map(again).collect()),
        ("The first that came out of order", examples.reordered.iter().map(late).collect()),
    ];
    let told = kinds.into_iter().filter(|(_, said)| !said.is_empty());
    told.flat_map(|(title, said)| [Part::Heading(title.into()), Part::List(said)]).collect()
}

/// An event, or a stretch of them, that never came.
pub(super) fn lost(e: &Example) -> String {
    let numbers = if e.last_number > e.number {
        format!("numbers {} to {}", count(e.number), count(e.last_number))
    } else {
        format!("number {}", count(e.number))
    };
    let first = if e.last_number > e.number { "the first " } else { "" };
    let sent = known(e).map(|known| format!("{first}{known}"));
    let sent = sent.unwrap_or_else(|| format!("nobody had it; the visit ended at {}", instant(e.at_s)));
    format!("{} missed {numbers} ({sent})", who(e))
}

fn again(e: &Example) -> String {
    format!("{} got number {} again at {}{}", who(e), count(e.number), instant(e.at_s), sent(e))
}

fn late(e: &Example) -> String {
    let (number, before) = (count(e.number), count(e.last_number));
    format!("{} got number {number} after number {before}, at {}{}", who(e), instant(e.at_s), sent(e))
}

fn who(e: &Example) -> String {
    let id = if e.user_id.is_empty() { String::new() } else { format!(" ({})", e.user_id) };
    format!("user {}{id} in {}", e.user, e.channel)
}

fn sent(e: &Example) -> String {
    known(e).map(|known| format!(" ({known})")).unwrap_or_default()
}

/// A time of the run to a tenth of a second: `12.4 s`, `1:30.4`.
fn instant(seconds: f64) -> String {
    if (0.0..60.0).contains(&seconds) {
        return format!("{:.1}\u{a0}s", (seconds * 10.0).floor() / 10.0);
    }
    let tenth =
        if seconds.is_finite() { format!(".{}", (seconds.max(0.0).fract() * 10.0) as u64) } else { String::new() };
    run_time(seconds) + &tenth
}

/// When it was sent, and which message it is.
fn known(e: &Example) -> Option<String> {
    let (message, sent) = (e.message.as_ref()?, e.sent_s?);
    Some(format!("sent at {}, message {message}", instant(sent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_sentence() {
        let example = Example {
            user: 17,
            user_id: "fans-017".into(),
            channel: "livestream:stadium".into(),
            number: 4_211,
            last_number: 4_211,
            at_s: 30.0,
            message: Some("cup-1-0-88".into()),
            sent_s: Some(12.4),
        };
        assert_eq!(
            lost(&example),
            "user 17 (fans-017) in livestream:stadium missed number 4,211 (sent at 12.4\u{a0}s, message cup-1-0-88)"
        );
        let reordered = Example { number: 4_210, ..example.clone() };
        assert_eq!(
            late(&reordered),
            "user 17 (fans-017) in livestream:stadium got number 4,210 after number 4,211, at 30.0\u{a0}s (sent at 12.4\u{a0}s, message \
             cup-1-0-88)"
        );
        let nobodys = Example { message: None, sent_s: None, last_number: 4_213, ..example };
        assert!(
            lost(&nobodys).ends_with("missed numbers 4,211 to 4,213 (nobody had it; the visit ended at 30.0\u{a0}s)")
        );
    }
}
