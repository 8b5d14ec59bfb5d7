//! Completeness: what the target dropped, repeated and swapped is what the report says is lost, duplicated and reordered,
//! to the last frame, while users come and go.
//!
//! Witness for the account by `seq`. Without it a tester can only compare what it received with what should have come, in
//! sum: then a repeat makes up for a loss. The test computes that number, and shows that it hides losses.
//!
//! Witness for coverage and examples, too: of each message the target knows who watched when it was numbered and who had
//! it; the report says the same numbers, by what users had and by receipts, and names none but what went wrong.

use measure::{EXAMPLES_MAX, Mishap};
use serde_json::Value;
use truth::{OneIn, Truth};

use super::{Target, counted, finish};

/// Six rooms of twenty, of whom half stay for a second or two and come back. A user who misses something waits 10 s for
/// it at its end, and so the run takes that much longer.
const SCENARIO: &str = "\
name: faults
seed: 6
channels:
  - { id: room, count: 6, members: all }
cohorts:
  - name: residents
    users: 60
    ramp: { rate: 60/s }
    actions:
      - send: { channel: room, rate: 60/s, size: 20..60B }
  - name: commuters
    users: 60
    ramp: { rate: 60/s }
    lifetime: 1s..2s
    rejoin: 200ms..500ms
hold: 5s
";

#[test]
fn every_frame_that_went_wrong_is_found() {
    let target = Target::start(|config| {
        config.delay = "lognormal(10ms,0.7,200ms)".parse().expect("a distribution");
        (config.drop, config.duplicate, config.swap) = (OneIn::new(700), OneIn::new(150), OneIn::new(200));
    });
    let mut run = target.run(SCENARIO, 2);
    let result = finish(&mut run);
    let truth = target.ledger.truth();
    let counts = truth.counts;
    assert!(counts.dropped > 3 && counts.duplicated > 10 && counts.swapped > 10, "{counts:?}");
    let found = |name| counted(&result, "completeness", name);
    assert_eq!(found("expected"), counts.deliveries, "{counts:?}");
    assert_eq!(found("delivered"), counts.written, "{counts:?}");
    assert_eq!(found("lost"), counts.dropped, "{counts:?}");
    assert_eq!(found("duplicated"), counts.duplicated, "{counts:?}");
    assert_eq!(found("reordered"), counts.swapped, "{counts:?}");
    assert_eq!(counts.undeliverable, 0, "nobody leaves before all that was told is there: {counts:?}");
    let visits = counted(&result, "counters", "connected");
    assert!(visits > 150, "users came and went in mid-run: {visits}");
    by_event(&result, &truth);
    examples(&result, &truth);
    // What counting frames alone would say.
    let missing = counts.deliveries.saturating_sub(counts.written + counts.duplicated);
    assert_ne!(missing, counts.dropped, "repeats make up for losses where nobody looks at numbers");
}

/// Of each message: who watched when it was numbered, and who had it.
fn by_event(result: &Value, truth: &Truth) {
    let by = &result["by_event"];
    assert_eq!(by["agrees"], true, "by user, by event and by receipts it is the same: {by}");
    assert_eq!(by["gaps"].as_array().map(Vec::len), Some(0), "{by}");
    let number = |place: &Value, name: &str| place[name].as_u64().unwrap_or_else(|| panic!("{name}: {place}"));
    let watched = || truth.events.values().filter(|fate| fate.deliveries > 0);
    let missed = || watched().filter(|fate| fate.written < fate.deliveries);
    assert_eq!(number(by, "events"), watched().count() as u64);
    assert_eq!(number(by, "expected"), truth.counts.deliveries);
    assert_eq!(number(by, "lost"), truth.counts.dropped);
    assert_eq!(number(by, "events_missed"), missed().count() as u64);
    assert_eq!(number(by, "events_missed_by_all"), missed().filter(|fate| fate.written == 0).count() as u64);
    let messages = &by["messages"];
    let heard = || watched().filter(|fate| fate.written > 0);
    assert_eq!(number(messages, "messages"), heard().count() as u64);
    assert_eq!(number(messages, "expected"), heard().map(|fate| fate.deliveries).sum::<u64>());
    assert_eq!(number(messages, "receipts"), truth.counts.written);
    assert_eq!((number(messages, "delivered"), number(messages, "differing")), (truth.counts.written, 0));
    let named = by["most_missed"].as_array().expect("a list");
    assert_eq!(named.len(), missed().count().min(50));
    let mut before = u64::MAX;
    for event in named {
        let place = (event["channel"].as_str().expect("a channel").to_owned(), number(event, "number"));
        let fate = &truth.events[&place];
        assert_eq!(number(event, "expected"), fate.deliveries, "{event}");
        assert_eq!(number(event, "missed"), fate.deliveries - fate.written, "{event}");
        assert!(number(event, "missed") > 0 && number(event, "missed") <= before, "most first: {by}");
        before = number(event, "missed");
        if fate.written > 0 {
            assert_eq!(event["message"], fate.id.as_str(), "{event}");
        }
    }
}

/// What is shown went wrong, and as much is shown as can be.
fn examples(result: &Value, truth: &Truth) {
    let kinds = [(Mishap::Lost, "lost"), (Mishap::Duplicated, "duplicated"), (Mishap::Reordered, "reordered")];
    for (mishap, name) in kinds {
        let shown = result["examples"][name].as_array().expect("a list");
        let wrong = truth.wrong.iter().filter(|(kind, ..)| *kind == mishap).count();
        let mut seen = 0;
        for example in shown {
            let text = |key: &str| example[key].as_str().unwrap_or_default().to_owned();
            let (first, last) = (example["number"].as_u64(), example["last_number"].as_u64());
            let first = first.expect("a number");
            let last = if mishap == Mishap::Lost { last.expect("a number") } else { first };
            for number in first..=last {
                let it = (mishap, text("user_id"), text("channel"), number);
                assert!(truth.wrong.contains(&it), "{it:?} did not go wrong");
                seen += 1;
            }
            let fate = &truth.events[&(text("channel"), first)];
            if fate.written > 0 {
                assert_eq!(text("message"), fate.id, "{example}");
            }
        }
        assert!(shown.len() == EXAMPLES_MAX || seen == wrong, "{name}: {seen} of {wrong} are shown: {shown:?}");
    }
}
