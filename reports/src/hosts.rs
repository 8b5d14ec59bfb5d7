//! What the machines did, apart from the processes on them: a row for each host that a probe looked at.

use std::collections::BTreeMap;

use measure::Gauge;

use crate::result::HostInfo;
use crate::run::RunState;
use crate::timeline::levels;

/// All hosts that somebody measured, by name. Two probes on one host measure the same machine; the first one's
/// figures are shown, and the other's where the first has none.
pub(crate) fn hosts(run: &RunState) -> Vec<HostInfo> {
    let mut on: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, source) in run.sources.iter().enumerate() {
        on.entry(&source.hello.host).or_default().push(i);
    }
    on.iter().filter_map(|(name, sources)| info(run, name, sources)).collect()
}

fn info(run: &RunState, name: &str, sources: &[usize]) -> Option<HostInfo> {
    let of = |gauge: Gauge| of_host(run, sources, gauge);
    let cores: Vec<i64> = of(Gauge::HostCores).into_iter().flatten().collect();
    let most = |gauge: Gauge| of(gauge).into_iter().flatten().max().map_or(0, unsigned);
    let cpu = thousandths(of(Gauge::HostCpuMilli));
    if cores.is_empty() && cpu.iter().all(Option::is_none) {
        return None;
    }
    let known: Vec<f64> = cpu.iter().flatten().copied().collect();
    let load = thousandths(of(Gauge::HostLoadMilli));
    Some(HostInfo {
        name: name.to_owned(),
        machine: sources
            .iter()
            .map(|i| &run.sources[*i].hello.machine)
            .find(|m| !m.is_empty())
            .cloned()
            .unwrap_or_default(),
        sources: sources.iter().map(|i| run.sources[*i].name().to_owned()).collect(),
        cores: cores.into_iter().max().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        memory_bytes: most(Gauge::HostMemoryBytes),
        cpu_max: known.iter().copied().fold(0.0, f64::max),
        cpu_mean: known.iter().sum::<f64>() / known.len().max(1) as f64,
        memory_used_max_bytes: most(Gauge::HostMemoryUsedBytes),
        load_max: load.iter().flatten().copied().fold(0.0, f64::max),
        sockets_max: most(Gauge::HostSockets),
        retransmits: retransmits(&of(Gauge::HostRetransmits)),
        cpu,
        memory_used_bytes: of(Gauge::HostMemoryUsedBytes).into_iter().map(|v| v.map(unsigned)).collect(),
        load,
        sockets: of(Gauge::HostSockets).into_iter().map(|v| v.map(unsigned)).collect(),
    })
}

/// One level of a host by slot, from the first of its sources that has it.
fn of_host(run: &RunState, sources: &[usize], gauge: Gauge) -> Vec<Option<i64>> {
    let mut all = sources.iter().map(|source| levels(run, *source, gauge));
    let first = all.next().unwrap_or_default();
    all.fold(first, |held, next| held.into_iter().zip(next).map(|(a, b)| a.or(b)).collect())
}

/// Segments sent again in the run: the kernel counts since its start. A count that fell is of a host that was started
/// again; what it counted before that is lost.
fn retransmits(levels: &[Option<i64>]) -> Option<u64> {
    let known: Vec<i64> = levels.iter().flatten().copied().collect();
    let rises = known.windows(2).map(|w| unsigned(if w[1] >= w[0] { w[1] - w[0] } else { w[1] }));
    (!known.is_empty()).then(|| rises.sum())
}

fn thousandths(levels: Vec<Option<i64>>) -> Vec<Option<f64>> {
    levels.into_iter().map(|v| v.map(|milli| milli as f64 / 1e3)).collect()
}

fn unsigned(level: i64) -> u64 {
    u64::try_from(level).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{healthy, level, result, run};

    #[test]
    fn a_host_is_no_process() {
        let seconds = (0..4).map(|s| {
            let mut interval = healthy();
            level(&mut interval, Gauge::ProcessCpuMilli, 100);
            level(&mut interval, Gauge::HostCpuMilli, if s == 2 { 1_990 } else { 500 });
            level(&mut interval, Gauge::HostCores, 2);
            level(&mut interval, Gauge::HostRetransmits, 700 + s);
            interval
        });
        let result = result(&run("  - lost: count == 0\n", seconds));
        let host = &result.hosts[0];
        assert_eq!((host.cores, host.cpu_max, host.retransmits), (2, 1.99, Some(3)));
        assert_eq!((host.cpu.len(), host.sources.as_slice()), (4, ["worker-1".to_owned()].as_slice()));
        assert_eq!(result.sources[0].cpu_max, 0.1, "the process' own");
        assert!(result.doubts.iter().any(|d| d.contains("no processor time to spare for 1 s")), "{:?}", result.doubts);
    }

    #[test]
    fn a_host_that_nobody_looked_at_has_no_row() {
        assert!(result(&run("  - lost: count == 0\n", (0..2).map(|_| healthy()))).hosts.is_empty());
    }

    #[test]
    fn a_host_that_was_started_again_counts_from_nothing() {
        assert_eq!(retransmits(&[None, Some(90), Some(95), None, Some(2), Some(3)]), Some(8));
        assert_eq!(retransmits(&[None]), None);
    }
}
