//! Section 8: expected, delivered, lost, duplicated, reordered; by cohort, and event by event.

use super::examples;
use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;
use crate::result::{ByEvent, Completeness};

/// Missed events that the page shows; `result.json` has more.
const MISSED_SHOWN: usize = 10;

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let all = result.completeness;
    let mut parts = vec![Part::Finding(finding(result))];
    if all.expected > 0 {
        let mut table = Table::new(&["", "#Expected", "#Delivered", "#Lost", "#Twice", "#Out of order"]).stacked();
        if result.completeness_by_cohort.len() > 1 {
            for (cohort, of) in &result.completeness_by_cohort {
                row(&mut table, cohort, *of);
            }
        }
        row(&mut table, "everybody", all);
        parts.push(Part::Table(table));
    }
    let recovered = result.counters.get("recovered").copied().unwrap_or(0);
    if recovered > 0 {
        parts.push(Part::Note(format!(
            "{} of the delivered came through /sync after a reconnect, not over the socket.",
            format::count(recovered)
        )));
    }
    parts.extend(by_event(result));
    parts.extend(examples::parts(result));
    parts.push(Part::Note(
        "Counted for each user and channel by the gapless sequence numbers of its events: expected are all that were \
         published between the moment a user began to watch and the moment the user ceased to."
            .into(),
    ));
    Section { number: 8, id: "completeness", title: "Completeness", parts }
}

/// What the account by event says, and the events that most users missed.
fn by_event(result: &RunResult) -> Vec<Part> {
    let by = &result.by_event;
    if by.version == 0 || (by.events == 0 && by.gaps.is_empty()) {
        return Vec::new();
    }
    let mut parts = vec![Part::Heading("Event by event".into())];
    if by.events > 0 {
        parts.push(Part::Note(events(by)));
    }
    if by.nameless {
        parts.push(Part::Note(
            "There were more messages than can be kept by name: of later ones only numbers are known.".into(),
        ));
    }
    if !by.gaps.is_empty() {
        parts.push(Part::Note("This is not the account of all users and events:".into()));
        parts.push(Part::List(by.gaps.clone()));
    }
    if !by.most_missed.is_empty() {
        let mut table = Table::new(&["Event", "~What", "#Sent at", "#Expected", "#Had it", "#Missed"]).stacked();
        for m in by.most_missed.iter().take(MISSED_SHOWN) {
            let what = m.message.clone().unwrap_or_else(|| "no message that anybody had".into());
            let sent = m.sent_s.map_or_else(|| "–".into(), format::run_time);
            let had = m.expected.saturating_sub(m.missed);
            let counts = [m.expected, had, m.missed].map(format::count);
            let event = format!("{} {}", m.channel, format::count(m.number));
            table.marked(had == 0, [event, what, sent].into_iter().chain(counts));
        }
        parts.push(Part::Table(table));
    }
    parts
}

fn events(by: &ByEvent) -> String {
    let all = format::counted(by.events, "numbered event was", "numbered events were");
    let missed = match by.events_missed {
        0 => "each reached everybody who watched".to_owned(),
        n => {
            format!("{} missed by somebody, {} by everybody", format::count(n), format::count(by.events_missed_by_all))
        }
    };
    let m = &by.messages;
    let aside = match m.aside {
        0 => String::new(),
        n => format!(", and {n} that receipts don’t tell"),
    };
    format!(
        "{all} published while somebody watched: {missed}. The {} among them that somebody had were expected {} times and \
         had {} times, by their numbers; receipts tell of {} times{aside}.",
        format::counted(m.messages, "message", "messages"),
        format::count(m.expected),
        format::count(m.delivered),
        format::count(m.receipts)
    )
}

/// What completeness says, in a sentence or two.
pub(super) fn finding(result: &RunResult) -> String {
    let all = result.completeness;
    if super::running(result) && all.expected == 0 {
        return "Counted when users cease to watch, so most of it at the end of the run.".into();
    }
    if all.expected == 0 {
        return "No event was published while a user watched, so there was nothing to lose.".into();
    }
    let lost = match all.lost {
        0 if all.delivered >= all.expected => {
            format!("Nothing was lost: all {} arrived.", format::counted(all.expected, "event", "events"))
        }
        lost => format!(
            "{} of {} expected {} lost ({}).",
            format::count(lost),
            format::counted(all.expected, "event", "events"),
            if lost == 1 { "was" } else { "were" },
            format::percent(lost as f64, all.expected as f64)
        ),
    };
    let order = match (all.duplicated, all.reordered) {
        (0, 0) => "None came twice, none out of order.".to_owned(),
        (twice, disordered) => {
            format!("{} came twice, {} out of order.", format::count(twice), format::count(disordered))
        }
    };
    format!("{lost} {order}")
}

fn row(table: &mut Table, name: &str, of: Completeness) {
    let cells = [of.expected, of.delivered, of.lost, of.duplicated, of.reordered].map(format::count);
    table.marked(of.lost > 0, std::iter::once(name.to_owned()).chain(cells));
}
