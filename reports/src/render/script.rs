//! The numbers that the page's script reads out, as JSON that can't end its script element.

use jiff::Timestamp;
use serde::Serialize;

use super::figure::{Part, Readout, Section};
use super::over_time::OverTime;
use crate::RunResult;

#[derive(Serialize)]
struct Data<'a> {
    /// When the start instant was, in milliseconds of Unix time.
    start_ms: Option<i64>,
    /// Length of a bin, in seconds.
    bin_s: u32,
    /// Where the time axis ends.
    end_s: f64,
    charts: Vec<&'a Readout>,
}

/// JSON for the script element of a run's report.
pub(super) fn data(result: &RunResult, sections: &[Section]) -> String {
    let start_ms = result.started_at.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    of(&OverTime::new(result), start_ms, sections)
}

/// The same for charts on any axis; without a start there is no wall clock to read.
pub(super) fn of(time: &OverTime<'_>, start_ms: Option<i64>, sections: &[Section]) -> String {
    let charts = sections
        .iter()
        .flat_map(|section| &section.parts)
        .filter_map(|part| match part {
            Part::Figure(figure) => figure.readout.as_ref(),
            _ => None,
        })
        .collect();
    let data = Data { start_ms, bin_s: time.bins.width, end_s: time.end, charts };
    harmless(&serde_json::to_string(&data).unwrap_or_else(|_| "null".into()))
}

/// JSON in which no character means anything to an HTML parser; all of these stand inside strings only.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_cannot_end_its_script() {
        let json = serde_json::to_string("</script><!-- & \u{2028}").unwrap();
        let safe = harmless(&json);
        assert!(!safe.contains(['<', '>', '&']));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "</script><!-- & \u{2028}");
    }
}
