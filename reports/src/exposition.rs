//! Open runs in Prometheus' text format, version 0.0.4, for dashboards that watch other things, too.
//!
//! Totals only ever grow, as what recorders ship is only ever added; quantiles are of the run so far.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use measure::Counter;

use crate::clocks;
use crate::latency::by_metric;
use crate::levels;
use crate::run::RunState;

/// What a scrape asks of each distribution.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// The families of a scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    families: BTreeMap<String, (Kind, &'static str, String)>,
}

/// What a family is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    Summary,
}

impl Exposition {
    /// Adds a run.
    pub(crate) fn add(&mut self, run: &RunState) {
        let name = run.opened.request.run.as_str();
        let labels = [("run", name)];
        for counter in Counter::ALL {
            let (family, total) = (format!("throng_{counter}_total"), run.total(*counter));
            self.sample(&family, "", Kind::Counter, counter.meaning(), &labels, total);
        }
        for (gauge, level) in levels::of_the_run(run) {
            self.sample(&format!("throng_{gauge}"), "", Kind::Gauge, gauge.meaning(), &labels, level);
        }
        for (source, gauge, level) in levels::of_sources(run) {
            let labels = [("run", name), ("source", source.name()), ("host", source.hello.host.as_str())];
            self.sample(&format!("throng_{gauge}"), "", Kind::Gauge, gauge.meaning(), &labels, level);
        }
        for (metric, histogram) in by_metric(run.totals.histograms.iter().chain(&run.fanouts.histograms)) {
            let (family, meaning) = (format!("throng_{metric}_seconds"), metric.meaning());
            for quantile in QUANTILES {
                let (at, text) = (histogram.quantile(quantile) as f64 / 1e6, quantile.to_string());
                let labels = [("run", name), ("quantile", text.as_str())];
                self.sample(&family, "", Kind::Summary, meaning, &labels, at);
            }
            let sum = histogram.mean() * histogram.count() as f64 / 1e6;
            self.sample(&family, "_sum", Kind::Summary, meaning, &labels, sum);
            self.sample(&family, "_count", Kind::Summary, meaning, &labels, histogram.count());
        }
        for (metric, bound_us) in clocks::bounds(run) {
            let help = "by how much clocks of different hosts may have made these latencies wrong; 0 where one clock stamped them";
            let family = format!("throng_{metric}_bound_seconds");
            self.sample(&family, "", Kind::Gauge, help, &labels, bound_us / 1e6);
        }
    }

    fn sample(
        &mut self,
        family: &str,
        suffix: &str,
        kind: Kind,
        help: &'static str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        let (_, _, lines) = self.families.entry(family.to_owned()).or_insert_with(|| (kind, help, String::new()));
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        // Writing to a string can't fail.
        let _ = writeln!(lines, "{family}{suffix}{{{}}} {value}", labels.join(","));
    }
}

impl Display for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, (kind, help, lines)) in &self.families {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Summary => "summary",
            };
            write!(f, "# HELP {name} {}\n# TYPE {name} {kind}\n{lines}", help.replace('\\', "\\\\"))?;
        }
        Ok(())
    }
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{healthy, run};

    #[test]
    fn a_scrape_has_totals_levels_and_quantiles() {
        let run = run("  - lost: count == 0\n", (0..4).map(|_| healthy()));
        let mut exposition = Exposition::default();
        exposition.add(&run);
        let text = exposition.to_string();
        for line in [
            "# TYPE throng_sent_total counter",
            "throng_sent_total{run=\"r\"} 20",
            "throng_lost_total{run=\"r\"} 0",
            "throng_users_connected{run=\"r\"} 10",
            "# TYPE throng_delivery_seconds summary",
            "throng_delivery_seconds_count{run=\"r\"} 200",
            "throng_delivery_bound_seconds{run=\"r\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(text.contains("throng_delivery_seconds{run=\"r\",quantile=\"0.99\"} 0.002"), "{text}");
        let names: Vec<_> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len(), "each family stands in one place");
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
