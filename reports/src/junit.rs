//! `junit.xml`: a test case for each threshold and one for the measurement itself, for CI systems that show them.

use std::io::{self, Write};

use crate::format;
use crate::result::{Outcome, RunResult, ThresholdResult};
use crate::verdict::windows;

/// Writes the file.
///
/// # Errors
/// When `out` can't be written.
pub(crate) fn write(result: &RunResult, out: &mut dyn Write) -> io::Result<()> {
    let failed = result.thresholds.iter().filter(|t| t.held != Some(true)).count();
    let invalid = usize::from(result.verdict.outcome == Outcome::Invalid);
    let (suite, tests) = (text(&result.scenario.name), result.thresholds.len() + 1);
    let seconds = if result.duration_s.is_finite() { result.duration_s } else { 0.0 };
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<testsuites name="throng" tests="{tests}" failures="{failed}" errors="{invalid}">"#)?;
    writeln!(
        out,
        r#"  <testsuite name="{suite}" tests="{tests}" failures="{failed}" errors="{invalid}" skipped="0" time="{seconds:.3}" timestamp="{}">"#,
        text(&result.started_at)
    )?;
    let case = format!(r#"    <testcase classname="throng.{suite}" name="{{}}" time="0""#);
    let open = |name: &str| case.replace("{}", name);
    writeln!(out, "{}", trusted(result, &open("the measurement can be trusted")))?;
    for threshold in &result.thresholds {
        writeln!(out, "{}", held(threshold, &open(&text(&threshold.text))))?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn trusted(result: &RunResult, open: &str) -> String {
    if result.verdict.outcome != Outcome::Invalid {
        return format!("{open}/>");
    }
    let reasons: Vec<_> = result.verdict.reasons.iter().map(|reason| text(reason)).collect();
    let first = reasons.first().map_or("nothing was measured", String::as_str);
    format!(
        "{open}>\n      <error type=\"invalid\" message=\"{first}\">{}</error>\n    </testcase>",
        reasons.join("\n")
    )
}

fn held(threshold: &ThresholdResult, open: &str) -> String {
    let measured = threshold.measured.map(|m| format::in_unit(m, &threshold.unit));
    let said = match (threshold.held, measured) {
        _ if threshold.unusable => {
            format!("unusable: clocks are known to within {}", format::duration_us(threshold.bound_us))
        }
        (Some(true), _) => return format!("{open}/>"),
        (_, Some(measured)) => match &threshold.window {
            Some(window) => format!("measured {measured} {}", windows(window)),
            None => format!("measured {measured}"),
        },
        (_, None) if threshold.unjudged.is_empty() => "nothing was measured to judge it by".to_owned(),
        (_, None) => threshold.unjudged.clone(),
    };
    let stopped = if threshold.stopped_run { "; it stopped the run" } else { "" };
    let at = threshold.first_failed_at_s.map(|s| format!(", first at {}", format::run_time(f64::from(s))));
    let said = text(&format!("{said}{}{stopped}", at.unwrap_or_default()));
    format!("{open}>\n      <failure type=\"threshold\" message=\"{said}\"/>\n    </testcase>")
}

/// Text as XML 1.0 has it in elements and attributes; characters that it can't hold become U+FFFD.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::VerdictInfo;
    use crate::testing::{healthy, result, run};

    fn xml(result: &RunResult) -> String {
        let mut out = Vec::new();
        write(result, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_threshold_is_a_test() {
        let thresholds = "  - delivery: p(99) < 1ms\n  - lost: count == 0\n  - connect: p(50) < 1s\n";
        let xml = xml(&result(&run(thresholds, (0..10).map(|_| healthy()))));
        assert!(xml.contains(r#"tests="4" failures="2" errors="0""#), "{xml}");
        assert!(xml.contains(r#"name="lost: count == 0" time="0"/>"#), "{xml}");
        assert!(xml.contains("name=\"delivery: p(99) &lt; 1ms\" time=\"0\">\n      <failure type=\"threshold\" message=\"measured 2.00"), "{xml}");
        assert!(xml.contains("nothing was measured to judge it by"), "{xml}");
        assert_eq!((xml.matches("<testcase").count(), xml.matches("</testcase>").count()), (4, 2), "{xml}");
    }

    #[test]
    fn an_invalid_run_is_an_error_and_texts_are_no_markup() {
        let evil = "\"><x>&\u{1}";
        let verdict = VerdictInfo { reasons: vec![evil.into()], ..VerdictInfo::default() };
        let mut result = RunResult { verdict, ..RunResult::default() };
        result.scenario.name = evil.into();
        let xml = xml(&result);
        assert!(xml.contains(r#"errors="1""#) && !xml.contains("<x>") && !xml.contains('\u{1}'), "{xml}");
        assert!(xml.contains(r#"<error type="invalid" message="&quot;&gt;&lt;x&gt;&amp;"#), "{xml}");
    }
}
