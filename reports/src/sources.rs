//! A row for each source in the report.

use measure::{Gauge, Histogram};
use proto::telemetry::CloseRequest;

use crate::result::SourceInfo;
use crate::run::RunState;
use crate::source::Source;
use crate::timeline::levels;

/// All sources; without a `close` the run goes on.
pub(crate) fn sources(run: &RunState, close: Option<&CloseRequest>) -> Vec<SourceInfo> {
    run.sources.iter().enumerate().map(|(i, s)| info(run, close, i, s)).collect()
}

fn info(run: &RunState, close: Option<&CloseRequest>, index: usize, source: &Source) -> SourceInfo {
    let of = |gauge: Gauge| levels(run, index, gauge);
    let most = |gauge: Gauge| of(gauge).into_iter().flatten().max().map(unsigned);
    let held = if source.hello.kind == "node" { Gauge::NodeConnections } else { Gauge::UsersConnected };
    let cpu: Vec<Option<f64>> =
        of(Gauge::ProcessCpuMilli).into_iter().map(|v| v.map(|milli| milli as f64 / 1e3)).collect();
    let known: Vec<f64> = cpu.iter().flatten().copied().collect();
    let p99 = |h: &Histogram| (!h.is_empty()).then(|| h.quantile(0.99));
    let last = |gauge: Gauge| of(gauge).into_iter().flatten().next_back().unwrap_or(0);
    let cores = match source.hello.cores {
        0 => most(Gauge::HostCores).unwrap_or(0) as u32,
        cores => cores,
    };
    SourceInfo {
        name: source.name().to_owned(),
        kind: kind(source),
        host: source.hello.host.clone(),
        cores,
        users_planned: source.users_planned.max(most(Gauge::UsersPlanned).unwrap_or(0)),
        users_connected_max: most(Gauge::UsersConnected).unwrap_or(0),
        lost_at_s: lost_at(run, close, source),
        intervals: source.stored.len() - source.damaged,
        intervals_missing: source.missing(),
        cpu_max: known.iter().copied().fold(0.0, f64::max),
        cpu_mean: if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 },
        rss_max_bytes: most(Gauge::ProcessRssBytes).unwrap_or(0),
        files_max: most(Gauge::ProcessFiles).unwrap_or(0),
        lag_p99_us: p99(&source.lag),
        loop_delay_p99_us: p99(&source.loop_delay),
        clock_offset_us: last(Gauge::ClockOffsetNanos) as f64 / 1e3,
        clock_bound_us: source.bounds.worst() as f64 / 1e3,
        clock_drift_us_per_s: last(Gauge::ClockDriftPpb) as f64 / 1e3,
        clock_exchanges: unsigned(last(Gauge::ClockExchanges)),
        clock_jumps: unsigned(last(Gauge::ClockJumps)),
        cpu,
        rss_bytes: of(Gauge::ProcessRssBytes).into_iter().map(|v| v.map(unsigned)).collect(),
        connections: of(held).into_iter().map(|v| v.map(unsigned)).collect(),
    }
}

/// What it said that it is; of one that never said anything, what its name says.
pub(crate) fn kind(source: &Source) -> String {
    match source.hello.kind.as_str() {
        "" => source.name().split('-').next().unwrap_or_default().to_owned(),
        kind => kind.to_owned(),
    }
}

fn unsigned(level: i64) -> u64 {
    u64::try_from(level).unwrap_or(0)
}

/// When a source was lost: when somebody noted it, or else when the last of it came. A source that the run had to wait
/// for in vain is lost too; while the run goes on, only what was noted is.
fn lost_at(run: &RunState, close: Option<&CloseRequest>, source: &Source) -> Option<f64> {
    let named = close.is_some_and(|c| c.lost_sources.iter().any(|l| l == source.name()));
    if source.goodbye.is_some() && !named {
        return None;
    }
    let noted = run.events.iter().find(|e| e.kind.ends_with("_lost") && mentions(&e.text, source.name()));
    match (noted, close) {
        (Some(event), _) => Some(event.at_s),
        (None, Some(_)) => Some(f64::from(source.covered)),
        (None, None) => None,
    }
}

/// Whether a text names this source, and not another whose name begins with it.
pub(crate) fn mentions(text: &str, name: &str) -> bool {
    let between = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
    text.split(between).any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_source_is_named_by_the_whole_word() {
        assert!(mentions("worker-1 is lost: its connection broke", "worker-1"));
        assert!(mentions("lost: `worker-1`.", "worker-1"));
        assert!(!mentions("worker-12 is lost", "worker-1"));
    }
}
