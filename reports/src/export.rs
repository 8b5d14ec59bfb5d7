//! A run's numbers for other tools: HdrHistogram's log, a row a second as CSV, or all of it as JSON.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
use measure::Metric;

use crate::clocks;
use crate::close::load;
use crate::files;
use crate::hlog;
use crate::recover;
use crate::result::{Bands, RunResult};

/// What a run is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Histograms of each second, in HdrHistogram's log format.
    Hlog,
    /// Counts and percentiles, a row a second.
    Csv,
    /// Everything that the report shows.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "hlog" => Ok(Self::Hlog),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is no format: there are hlog, csv and json")),
        }
    }
}

/// Writes the run in `run_dir`.
///
/// # Errors
/// When there is no such run, or `out` can't be written.
pub fn export(run_dir: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    let result = load(run_dir)?;
    match format {
        Format::Hlog => {
            let path = run_dir.join(files::HLOG);
            if !path.exists() && recover::is_unclosed(run_dir) {
                hlog::write(&recover::state(run_dir)?.0, &mut &mut *out)?;
                return Ok(out.flush()?);
            }
            let log = File::open(&path).with_context(|| format!("can't read {}", path.display()))?;
            io::copy(&mut BufReader::new(log), out)?;
        }
        Format::Csv => csv(&result, out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &result)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A value of one column in one row; empty where there is none.
type Cell<'a> = Box<dyn Fn(usize) -> String + 'a>;

fn csv(result: &RunResult, out: &mut dyn Write) -> io::Result<()> {
    let line = &result.timeline;
    let mut columns: Vec<(String, Cell<'_>)> = vec![("second".into(), whole(&line.seconds))];
    for (name, values) in [
        ("users_planned", &line.users_planned),
        ("users_connected", &line.users_connected),
        ("sends_asked_per_s", &line.sends_asked),
        ("sends_due_per_s", &line.sends_due),
        ("sends_per_s", &line.sends),
        ("deliveries_asked_per_s", &line.deliveries_asked),
        ("deliveries_per_s", &line.deliveries),
        ("errors_per_s", &line.errors),
        ("lost_per_s", &line.lost),
    ] {
        columns.push((name.into(), whole(values)));
    }
    for (metric, bands) in &line.latency {
        columns.extend(of_metric(metric, bands));
        if Metric::from_name(metric).is_some_and(clocks::is_between_sources) {
            // Of the run: in no second was it larger.
            let bound = result.metrics.get(metric).map_or(0.0, |m| m.bound_us).to_string();
            columns.push((format!("{metric}_bound_us"), Box::new(move |_| bound.clone())));
        }
    }
    let row = |cells: Vec<String>| cells.join(",");
    writeln!(out, "{}", row(columns.iter().map(|(name, _)| name.clone()).collect()))?;
    for second in 0..line.seconds.len() {
        writeln!(out, "{}", row(columns.iter().map(|(_, cell)| cell(second)).collect()))?;
    }
    Ok(())
}

/// Names of metrics are ours, and everything else is a number: nothing needs quotes.
fn of_metric<'a>(metric: &str, bands: &'a Bands) -> Vec<(String, Cell<'a>)> {
    let mut columns =
        vec![(format!("{metric}_count"), whole(&bands.count)), (format!("{metric}_mean_us"), known(&bands.mean_us))];
    for (name, values) in [
        ("p50", &bands.p50_us),
        ("p90", &bands.p90_us),
        ("p99", &bands.p99_us),
        ("p999", &bands.p999_us),
        ("max", &bands.max_us),
    ] {
        columns.push((format!("{metric}_{name}_us"), known(values)));
    }
    columns
}

fn whole<T: ToString>(values: &[T]) -> Cell<'_> {
    Box::new(|row| values.get(row).map(ToString::to_string).unwrap_or_default())
}

fn known<T: ToString>(values: &[Option<T>]) -> Cell<'_> {
    Box::new(|row| values.get(row).and_then(Option::as_ref).map(ToString::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{healthy, result, run};

    #[test]
    fn a_row_a_second_and_a_column_a_number() {
        let mut seconds: Vec<_> = (0..3).map(|_| healthy()).collect();
        seconds[1].histograms.clear();
        let result = result(&run("  - lost: count == 0\n", seconds));
        let mut text = Vec::new();
        csv(&result, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
        let cell = |row: usize, name: &str| rows[row][rows[0].iter().position(|n| *n == name).expect(name)];
        assert_eq!((cell(1, "second"), cell(3, "second"), cell(1, "users_connected")), ("0", "2", "10"));
        assert_eq!((cell(1, "delivery_count"), cell(1, "deliveries_per_s")), ("50", "50"));
        assert_eq!(cell(1, "delivery_bound_us"), "0", "one clock");
        assert!(!rows[0].contains(&"send_bound_us"));
        assert_eq!((cell(2, "delivery_count"), cell(2, "delivery_p99_us")), ("0", ""), "no sample is no number");
        assert_eq!("xml".parse::<Format>().unwrap_err(), "\"xml\" is no format: there are hlog, csv and json");
    }
}
