//! Users, deliveries and messages over time.

use super::figure::{Figure, Part, Table};
use super::over_time::{OverTime, counts};
use crate::charts::{Axis, Ink, Kind, Scale, Values};
use crate::format;

/// Users connected, with the plan as a thin line.
pub(super) fn users(time: &OverTime<'_>) -> Part {
    let line = &time.result.timeline;
    let connected = time.bins.max(counts(&line.users_connected));
    let planned = time.bins.max(counts(&line.users_planned));
    let y = Axis::new(Scale::from_zero(most(&[&connected, &planned])), Kind::Count, "users connected");
    let marks = vec![time.line(Ink::Asked, &planned), time.line(Ink::A, &connected)];
    let mut labels: Vec<_> = time.label(Ink::A, "reached", &connected).into_iter().collect();
    if last(&planned) != last(&connected) {
        labels.extend(time.label(Ink::Asked, "planned", &planned));
    }
    let title = users_title(time);
    let caption = format!(
        "Users who had their first event and whose connection stood at the end of the second. Dashed: the plan.{}",
        time.bin_note("the most")
    );
    let mut table = Table::new(&["Time", "#Planned", "#Connected"]);
    let (planned_bins, connected_bins) = (planned, connected);
    let (planned, connected) =
        (time.rows.max(counts(&line.users_planned)), time.rows.max(counts(&line.users_connected)));
    for ((at, planned), connected) in time.row_times().into_iter().zip(planned).zip(connected) {
        table.row([at, whole(planned), whole(connected)]);
    }
    let alternative = format!("Users connected over time. {title}.");
    Figure::new("users", title, caption, alternative, &time.chart(y, marks, labels, 120.0))
        .with_table(table)
        .over_time("count", [("connected", connected_bins), ("planned", planned_bins)])
        .part()
}

fn users_title(time: &OverTime<'_>) -> String {
    let users = time.result.users;
    let reached = time.result.timeline.users_connected.iter().position(|n| *n >= users.connected_max);
    let at = reached.and_then(|i| time.result.timeline.seconds.get(i)).copied();
    match (users.connected_max, at) {
        (0, _) => "No user was ever connected".into(),
        (most, Some(at)) if most >= users.planned => {
            format!("All {} users were connected after {}", format::count(most), format::span(f64::from(at) + 1.0))
        }
        (most, _) => {
            format!("{} of {} users were connected at once", format::count(most), format::count(users.planned))
        }
    }
}

/// Deliveries a second, with what the scenario asks for as a thin line.
pub(super) fn deliveries(time: &OverTime<'_>) -> Part {
    let line = &time.result.timeline;
    let per_second = &line.deliveries;
    let (values, asked) = (time.bins.rate(counts(per_second)), time.bins.rate(counts(&line.deliveries_asked)));
    let y = Axis::new(Scale::from_zero(most(&[&values, &asked])), Kind::Count, "deliveries/s");
    let total = time.bins.total(per_second);
    let peak = per_second.iter().max().copied().unwrap_or(0);
    let title = if total == 0 {
        "Nothing was delivered".into()
    } else {
        format!("{} deliveries, {}\u{a0}/s at the peak", format::count(total), format::count(peak))
    };
    // Results of before it was kept have none.
    let dashed = if line.deliveries_asked.is_empty() {
        ""
    } else {
        " Dashed: what the scenario asks for on average, from its messages, its canaries’ too, and the users who should be \
         there to hear them."
    };
    let note = time.bin_note("the mean");
    let caption = format!("Messages that receivers got, each counted once a receiver.{dashed}{note}");
    let mut table = Table::new(&["Time", "#Asked a second", "#Deliveries a second"]);
    let rows = [&line.deliveries_asked, per_second].map(|values| time.rows.rate(counts(values)));
    let [asked_rows, rows] = rows;
    for ((at, asked), rate) in time.row_times().into_iter().zip(asked_rows).zip(rows) {
        table.row([at, rated(asked), rated(rate)]);
    }
    let alternative = format!("Deliveries a second over time. {title}.");
    let labels: Vec<_> = time.label(Ink::A, "delivered", &values).into_iter().collect();
    let marks = vec![time.line(Ink::Asked, &asked), time.line(Ink::A, &values)];
    let chart = time.chart(y, marks, labels, 120.0);
    Figure::new("deliveries", title, caption, alternative, &chart)
        .with_table(table)
        .over_time("per_s", [("delivered", values), ("asked", asked)])
        .part()
}

/// Messages accepted a second, with what the scenario asks for as a thin line.
pub(super) fn messages(time: &OverTime<'_>) -> Part {
    let line = &time.result.timeline;
    let (accepted, asked) = (time.bins.rate(counts(&line.sends)), time.bins.rate(counts(&line.sends_asked)));
    let y = Axis::new(Scale::from_zero(most(&[&accepted, &asked])), Kind::Count, "messages/s");
    let marks = vec![time.line(Ink::Asked, &asked), time.line(Ink::A, &accepted)];
    let labels: Vec<_> = time.label(Ink::A, "accepted", &accepted).into_iter().collect();
    let title = messages_title(time.bins.total(&line.sends), time.bins.total(&line.sends_due));
    let caption = format!(
        "Messages that the API accepted, in the second of its answer. Dashed: what the scenario asks for on average; \
         when each message falls due is up to chance, unless its arrivals are even.{}",
        time.bin_note("the mean")
    );
    let mut table = Table::new(&["Time", "#Asked a second", "#Due a second", "#Accepted a second"]);
    let columns = [&line.sends_asked, &line.sends_due, &line.sends].map(|values| time.rows.rate(counts(values)));
    for (row, at) in time.row_times().into_iter().enumerate() {
        let cell = |column: usize| rated(columns[column].get(row).copied().flatten());
        table.row([at, cell(0), cell(1), cell(2)]);
    }
    let alternative = format!("Messages a second over time. {title}.");
    Figure::new("messages", title, caption, alternative, &time.chart(y, marks, labels, 110.0))
        .with_table(table)
        .over_time("per_s", [("accepted", accepted), ("asked", asked)])
        .part()
}

fn messages_title(sent: u64, due: u64) -> String {
    match (sent, due) {
        (0, 0) => "No message fell due".into(),
        (sent, due) if sent >= due => format!("All {} that fell due were accepted", messages_words(sent)),
        (sent, due) => format!("{} of {} that fell due were accepted", format::count(sent), messages_words(due)),
    }
}

fn messages_words(n: u64) -> String {
    format::counted(n, "message", "messages")
}

/// The largest of all lines; 0 where there is none.
pub(super) fn most(lines: &[&Values]) -> f64 {
    lines.iter().flat_map(|line| line.iter().flatten()).copied().fold(0.0, f64::max)
}

fn last(values: &Values) -> Option<f64> {
    values.iter().rev().flatten().next().copied()
}

fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format::count(v as u64))
}

fn rated(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), format::per_second)
}
