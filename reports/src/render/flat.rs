//! Section 5: does latency stay flat while users join? The chart that this project exists for.

use super::bound;
use super::figure::{Figure, Part, Section, Table};
use super::over_time::{OverTime, counts, gaps};
use crate::RunResult;
use crate::charts::{Axis, EndLabel, Ink, Kind, Mark, Scale, Values};
use crate::format;

/// Steps of users into which a run is cut.
const STEPS: usize = 10;

/// A step: users at its middle, and the medians of its seconds' p50 and p99.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    users: f64,
    points: usize,
    p50: f64,
    p99: f64,
}

/// The section.
pub(super) fn section(result: &RunResult) -> Section {
    let time = OverTime::new(result);
    let mut parts = Vec::new();
    for (metric, named) in [("delivery", "Delivery"), ("send", "Send")] {
        parts.push(part(&time, metric, named));
    }
    Section { number: 5, id: "flat", title: "Does it stay flat?", parts }
}

fn part(time: &OverTime<'_>, metric: &str, named: &str) -> Part {
    let points = points(time, metric);
    let most = points.iter().map(|p| p.0).fold(0.0, f64::max);
    if points.is_empty() {
        return Part::Finding(format!("{named}: no second had both a connected user and a sample."));
    }
    let steps = steps(&points, most);
    let scale = Scale::log_around(points.iter().flat_map(|p| [p.1, p.2]));
    let y = Axis::new(scale, Kind::Duration, metric);
    let x = Axis::new(Scale::to(most), Kind::Count, "users connected");
    let mut marks = Vec::new();
    for (users, p50, p99) in &points {
        marks.push(Mark::Dot(Ink::DotHigh, (*users, *p99), 2.0));
        marks.push(Mark::Dot(Ink::Dot, (*users, *p50), 2.0));
    }
    let line = |pick: fn(&Step) -> f64| steps.iter().map(|s| (s.users, Some(pick(s)))).collect::<Vec<_>>();
    marks.push(Mark::Line(Ink::P99, line(|s| s.p99)));
    marks.push(Mark::Line(Ink::P50, line(|s| s.p50)));
    let last = steps.last().copied();
    let labels = last.map_or_else(Vec::new, |s| {
        vec![
            EndLabel { at: s.p99, word: "p99".into(), ink: Ink::P99 },
            EndLabel { at: s.p50, word: "p50".into(), ink: Ink::P50 },
        ]
    });
    let title = title(named, &steps);
    let caption = format!(
        "Each dot is {}: its users connected and its p50 or p99 of {metric}. The lines join the medians of these dots in up to {STEPS} steps of users.{}",
        if time.bins.width == 1 { "a second".into() } else { format!("the worst second of {}", time.bin_words()) },
        time.result.metrics.get(metric).map(bound::sentence).unwrap_or_default()
    );
    let alternative = format!("{named} latency against users connected. {title}.");
    let chart = crate::charts::Chart { x, y, marks, shades: Vec::new(), rules: Vec::new(), labels, height: 200.0 };
    Figure::new(&format!("flat-{metric}"), title, caption, alternative, &chart).with_table(table(&steps)).part()
}

/// Users, p50 and p99 of each bin that has them.
fn points(time: &OverTime<'_>, metric: &str) -> Vec<(f64, f64, f64)> {
    let line = &time.result.timeline;
    let Some(bands) = line.latency.get(metric) else { return Vec::new() };
    let users: Values = time.bins.max(counts(&line.users_connected));
    let (p50, p99) = (time.bins.max(gaps(&bands.p50_us)), time.bins.max(gaps(&bands.p99_us)));
    users
        .into_iter()
        .zip(p50.into_iter().zip(p99))
        .filter_map(|(users, (p50, p99))| Some((users?, p50?, p99?)))
        .filter(|(users, _, _)| *users > 0.0)
        .collect()
}

fn steps(points: &[(f64, f64, f64)], most: f64) -> Vec<Step> {
    let step_of = |users: f64| ((users / most * STEPS as f64).ceil() as usize).clamp(1, STEPS);
    (1..=STEPS)
        .filter_map(|step| {
            let of: Vec<_> = points.iter().filter(|p| step_of(p.0) == step).collect();
            let median = |pick: fn(&(f64, f64, f64)) -> f64| {
                let mut values: Vec<f64> = of.iter().map(|p| pick(p)).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied()
            };
            Some(Step { users: median(|p| p.0)?, points: of.len(), p50: median(|p| p.1)?, p99: median(|p| p.2)? })
        })
        .collect()
}

fn title(named: &str, steps: &[Step]) -> String {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return named.to_owned() };
    if steps.len() < 2 {
        return format!(
            "{named}: all samples were taken at about {} users, so there is nothing to compare",
            format::count(last.users as u64)
        );
    }
    let (from, to) = (format::duration_us(first.p99), format::duration_us(last.p99));
    let users = format!("{} to {}", format::count(first.users as u64), format::count(last.users as u64));
    match last.p99 / first.p99 {
        ratio if ratio > 1.5 => format!("{named} p99 rose from {from} to {to} as users grew from {users}"),
        ratio if ratio < 0.67 => format!("{named} p99 fell from {from} to {to} as users grew from {users}"),
        _ => format!("{named} p99 stayed flat, {from} and {to}, as users grew from {users}"),
    }
}

fn table(steps: &[Step]) -> Table {
    let mut table = Table::new(&["Users connected", "#Dots", "#Median p50", "#Median p99"]);
    for step in steps {
        table.row([
            format::count(step.users as u64),
            step.points.to_string(),
            format::duration_us(step.p50),
            format::duration_us(step.p99),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_called_flat_and_rising_is_called_rising() {
        let flat: Vec<_> = (1..=100).map(|u| (f64::from(u), 1_000.0, 2_000.0)).collect();
        assert!(title("Delivery", &steps(&flat, 100.0)).contains("stayed flat"));
        let rising: Vec<_> = (1..=100).map(|u| (f64::from(u), 1_000.0, 100.0 * f64::from(u))).collect();
        assert!(title("Delivery", &steps(&rising, 100.0)).contains("rose"));
        assert!(title("Delivery", &steps(&[(100.0, 1.0, 2.0)], 100.0)).contains("nothing to compare"));
    }
}
