//! What a run says of single events: from coverage and receipts to [`ByEvent`] and [`Examples`].

use std::collections::BTreeMap;

use measure::{Counter, Mishap};
use scenarios::model::Tokens;

use crate::coverage::Events;
use crate::result::{ByEvent, EVENTS_VERSION, Example, Examples, MISSED_MAX, MessageCounts, MissedEvent};
use crate::run::RunState;
use crate::sources::kind;

/// The account by event, which a run that goes on has none of yet, and the first examples.
pub(crate) fn tell(run: &RunState, over: bool) -> (ByEvent, Examples) {
    let events = run.coverage.by_name();
    if !over {
        return (ByEvent::default(), examples(run, &events));
    }
    let mut by_event =
        ByEvent { version: EVENTS_VERSION, gaps: gaps(run), nameless: !run.coverage.names_all(), ..ByEvent::default() };
    let mut missed = Vec::new();
    for (name, of) in &events {
        add(&mut by_event, &mut missed, name, of);
    }
    most(&mut missed);
    let worst = missed.iter().map(|m| {
        let known = events.get(m.channel).and_then(|of| of.message(m.number));
        let (message, sent_s) = named(run, known);
        let channel = m.channel.to_owned();
        MissedEvent { channel, number: m.number, expected: m.expected, missed: m.missed, message, sent_s }
    });
    by_event.most_missed = worst.collect();
    if by_event.events == 0 && run.total(Counter::Expected) > 0 {
        by_event.gaps.push("No worker told of single events.".into());
    }
    by_event.agrees = by_event.gaps.is_empty().then(|| {
        let (expected, lost) = (run.total(Counter::Expected), run.total(Counter::Lost));
        (by_event.expected, by_event.lost) == (expected, lost) && by_event.messages.differing == 0
    });
    (by_event, examples(run, &events))
}

/// Why the account is not that of all users and events.
fn gaps(run: &RunState) -> Vec<String> {
    let mut gaps: Vec<String> = run.coverage.whole().err().into_iter().map(str::to_owned).collect();
    for source in run.sources.iter().filter(|s| kind(s) == "worker") {
        let name = source.name();
        match &source.goodbye {
            None => {
                gaps.push(format!("{name} gave no account of the visits that it had not shipped when it was lost."));
            }
            Some(_) if source.missing() > 0 => gaps.push(format!("Some intervals of {name} are missing.")),
            Some(goodbye) if goodbye.receipts_dropped > 0 => {
                gaps.push(format!("{name} had no room for all of its receipts while the data plane was away."));
            }
            Some(_) => {}
        }
    }
    gaps
}

/// An event that somebody missed, before it has its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missed<'a> {
    channel: &'a str,
    number: u64,
    expected: u64,
    missed: u64,
}

fn add<'a>(sum: &mut ByEvent, worst: &mut Vec<Missed<'a>>, channel: &'a str, of: &Events<'_>) {
    for (first, last, expected, missed) in of.stretches() {
        let events = (last - first).saturating_add(1);
        let times = |n: u64| n.saturating_mul(events);
        sum.expected = sum.expected.saturating_add(times(expected));
        sum.lost = sum.lost.saturating_add(times(missed));
        sum.events = sum.events.saturating_add(if expected > 0 { events } else { 0 });
        if missed > 0 {
            sum.events_missed = sum.events_missed.saturating_add(events);
            sum.events_missed_by_all =
                sum.events_missed_by_all.saturating_add(if missed >= expected { events } else { 0 });
            let numbers = (first..=last).take(MISSED_MAX);
            worst.extend(numbers.map(|number| Missed { channel, number, expected, missed }));
            if worst.len() > 100 * MISSED_MAX {
                most(worst);
            }
        }
    }
    let (mut watched, mut missed) = (of.channel.watched.reader(), of.channel.missed.reader());
    let mut aside = of.channel.aside.reader();
    let counts = &mut sum.messages;
    for (number, receipts) in of.messages() {
        let (expected, missed, aside) = (watched.at(number), missed.at(number), aside.at(number));
        let delivered = expected.saturating_sub(missed);
        let known = i64::try_from(receipts).unwrap_or(i64::MAX).saturating_add(aside);
        *counts = MessageCounts {
            messages: counts.messages + 1,
            expected: counts.expected.saturating_add_signed(expected),
            delivered: counts.delivered.saturating_add_signed(delivered),
            receipts: counts.receipts.saturating_add(receipts),
            aside: counts.aside.saturating_add(aside),
            differing: counts.differing + u64::from(known != delivered),
        };
    }
}

/// Keeps those that most users missed, most first.
fn most(missed: &mut Vec<Missed<'_>>) {
    missed.sort_by(|a, b| b.missed.cmp(&a.missed).then_with(|| (a.channel, a.number).cmp(&(b.channel, b.number))));
    missed.truncate(MISSED_MAX);
}

/// A message's id and when it was sent.
fn named(run: &RunState, known: Option<(measure::MessageKey, u64)>) -> (Option<String>, Option<f64>) {
    let Some((key, sent_ns)) = known else { return (None, None) };
    (Some(run.message_id(key)), Some(run.since_start(sent_ns)))
}

fn examples(run: &RunState, events: &BTreeMap<&str, Events<'_>>) -> Examples {
    let listed = matches!(run.opened.scenario.target.tokens, Tokens::Csv(_));
    let of = |mishap: Mishap| {
        let all = run.examples.of(mishap).iter().map(|e| {
            let known = events.get(e.channel.as_str()).and_then(|of| of.message(e.first));
            let (message, sent_s) = named(run, known);
            Example {
                user: e.user,
                user_id: if listed { String::new() } else { run.opened.scenario.user_id(e.user) },
                channel: e.channel.clone(),
                number: e.first,
                last_number: e.last,
                at_s: run.since_start(e.at.as_nanos()),
                message,
                sent_s,
            }
        });
        all.collect()
    };
    Examples {
        version: EVENTS_VERSION,
        lost: of(Mishap::Lost),
        duplicated: of(Mishap::Duplicated),
        reordered: of(Mishap::Reordered),
    }
}
