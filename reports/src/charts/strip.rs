//! Named stretches along a time axis: a strip that stands above the charts which share the axis.

use std::fmt::Write;

use super::chart::{Width, columns};
use super::scale::Scale;
use super::svg::{Anchor, escape, fit, text};

/// Named stretches of time.
#[derive(Clone, Debug)]
pub struct Strip {
    /// Where the axis ends, in seconds.
    pub end: f64,
    /// From, to, name.
    pub spans: Vec<(f64, f64, String)>,
}

impl Strip {
    /// Draws it; `said` is its text alternative.
    pub fn svg(&self, width: Width, said: &str) -> String {
        let (full, left, right) = columns(width);
        let scale = Scale::Linear { low: 0.0, high: self.end };
        let across = full - left - right;
        let class = if width == Width::Wide { "wide" } else { "narrow" };
        let mut out = format!(
            r#"<svg class="chart {class}" viewBox="0 0 {full:.0} 26" role="img" aria-label="{}" data-plot="{left:.1} 0 {across:.1} 26">"#,
            escape(said)
        );
        out.push_str(r#"<g class="words">"#);
        text(&mut out, (0.0, 16.0), Anchor::Start, "t", "phases");
        out.push_str("</g>");
        let _ = write!(
            out,
            r#"<svg class="plot" x="{left:.1}" y="0" width="{across:.1}" height="26" viewBox="{left:.1} 0 {across:.1} 26" preserveAspectRatio="none">"#
        );
        let place = |at: f64| left + scale.fraction(at) * across;
        for (i, (start, end, _)) in self.spans.iter().enumerate() {
            let (x, until) = (place(*start), place(*end));
            let _ = write!(
                out,
                r#"<rect class="span{}" x="{x:.1}" y="1" width="{:.1}" height="22"/>"#,
                i % 2,
                (until - x).max(0.5)
            );
        }
        out.push_str("</svg><g class=\"words spans\">");
        for (start, end, name) in &self.spans {
            let (x, until) = (place(*start), place(*end));
            let name = fit(name, 12.0, until - x - 6.0);
            if !name.is_empty() {
                let _ = write!(out, r#"<g data-from="{start:.3}" data-to="{end:.3}">"#);
                text(&mut out, ((x + until) / 2.0, 16.0), Anchor::Middle, "t strong", &name);
                out.push_str("</g>");
            }
        }
        out.push_str("</g></svg>");
        out
    }
}
