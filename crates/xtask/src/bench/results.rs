//! Figures for people (a line, a table in `benches/RESULTS.md`) and for scripts (a line of JSON).

use anyhow::{Context, Result};
use serde_json::json;

use super::{Aim, Figure, machine};
use crate::repo;

/// The line that is shown when a benchmark is done.
pub(super) fn print(f: &Figure) {
    println!("{:<14} {}", f.bench, cells(f).join("  "));
}

/// The line that scripts read.
pub(super) fn json(f: &Figure) -> String {
    let (Aim::AtLeast(aim) | Aim::AtMost(aim) | Aim::RatioAtLeast(aim) | Aim::RatioAtMost(aim)) = f.aim;
    let (bench, value, unit, limit, ratio, met) = (f.bench, f.value, f.unit, f.limit, f.ratio(), f.met());
    json!({"bench": bench, "value": value, "unit": unit, "limit": limit, "ratio": ratio, "aim": aim, "met": met})
        .to_string()
}

fn cells(f: &Figure) -> [String; 6] {
    let number = |value: f64| if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    let aim = match f.aim {
        Aim::AtLeast(least) => format!("≥ {least} {}", f.unit),
        Aim::AtMost(most) => format!("≤ {most} {}", f.unit),
        Aim::RatioAtLeast(least) => format!("≥ {least:.2} ×"),
        Aim::RatioAtMost(most) => format!("≤ {most:.2} ×"),
    };
    [
        format!("{} {}", number(f.value), f.unit),
        format!("{} to {}", number(f.spread.0), number(f.spread.1)),
        f.limit.map_or("–".to_owned(), |l| format!("{} {}", number(l), f.unit)),
        f.ratio().map_or("–".to_owned(), |ratio| format!("{ratio:.2} ×")),
        aim,
        if f.met() { "met" } else { "missed" }.to_owned(),
    ]
}

/// Writes the table; rows of benchmarks that were not run now are kept as they were.
///
/// # Errors
/// When the file can't be written.
pub(super) fn write(figures: &[Figure]) -> Result<()> {
    let path = repo::root().join("benches/RESULTS.md");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let text = table(&before, figures, &machine::describe());
    std::fs::create_dir_all(repo::root().join("benches"))?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    println!("written to benches/RESULTS.md");
    Ok(())
}

fn table(before: &str, figures: &[Figure], machine: &str) -> String {
    let mut text = String::from(
        "# What throng costs\n\nWritten by `cargo xtask bench`: the median of the rounds, and their spread; the limit is what \
         the same run\nmeasured beside it, round by round. `fanout-nchan` has a peer where others have a limit: throng's chat server \
         and nginx\nwith nchan, each with 15,000 WebSocket subscribers of one channel that one process holds with the same \
         client; deliveries a\nsecond of one message at a time, from the HTTP call that publishes it until the last of them \
         has it. nchan is given the bytes\nthat throng made of its message, and checks, numbers and keeps less.\n\n\
         | bench | value | spread | limit | ratio | aim | | machine |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let kept = before.lines().filter(|line| {
        let name = line.strip_prefix("| ").and_then(|l| l.split(' ').next());
        name.is_some_and(|n| !["bench", "---"].contains(&n) && figures.iter().all(|f| f.bench != n))
    });
    let mut rows: Vec<String> = kept.map(str::to_owned).collect();
    rows.extend(figures.iter().map(|f| format!("| {} | {} | {machine} |", f.bench, cells(f).join(" | "))));
    rows.sort();
    for row in rows {
        text.push_str(&row);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(bench: &'static str, value: f64) -> Figure {
        Figure { bench, unit: "ns", value, spread: (1.0, 9.0), limit: None, aim: Aim::AtMost(5.0) }
    }

    #[test]
    fn other_rows_are_kept() {
        let first = table("", &[figure("a", 4.0), figure("b", 4.0)], "m");
        let second = table(&first, &[figure("b", 6.0)], "m");
        assert_eq!(second.lines().filter(|l| l.starts_with("| a ")).count(), 1);
        assert!(second.contains("| b | 6.000 ns | 1.000 to 9.000 | – | – | ≤ 5 ns | missed | m |"), "{second}");
    }

    #[test]
    fn scripts_get_all_keys() {
        let line: serde_json::Value = serde_json::from_str(&json(&figure("a", 4.0))).unwrap();
        for key in ["bench", "value", "unit", "limit", "ratio", "aim", "met"] {
            assert!(line.get(key).is_some(), "{key}");
        }
        assert_eq!(line["met"], true);
    }
}
