//! Section 8: expected, delivered, lost, duplicated, reordered; and by cohort.

use super::figure::{Part, Section, Table};
use crate::RunResult;
use crate::format;
use crate::result::Completeness;

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
    if !result.loss_examples.is_empty() {
        parts.push(Part::Heading("The first examples".into()));
        parts.push(Part::List(result.loss_examples.clone()));
    }
    parts.push(Part::Note(
        "Counted for each user and channel by the gapless sequence numbers of its events: expected are all that were \
         published between the moment a user began to watch and the moment the user ceased to."
            .into(),
    ));
    Section { number: 8, id: "completeness", title: "Completeness", parts }
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
