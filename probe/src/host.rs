//! What a host uses, from `/proc`.

use measure::{Clock, Gauge, Recorder, Timestamp};

use crate::process::cpu_milli;
use crate::shipper::Sampler;

/// Samples processor time, load, memory, sockets and retransmitted segments of this host.
pub fn host(clock: Clock) -> Sampler {
    // A look before the first second, so that it has a figure, too.
    let busy = cpu(&std::fs::read_to_string("/proc/stat").unwrap_or_default());
    let before = busy.map(|(busy, _)| (clock.now(), busy));
    let mut host = Host { clock, before };
    Box::new(move |recorder| host.sample(recorder))
}

/// What kind of machine this host is: processor and kernel, as far as the system tells.
pub(crate) fn machine() -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let facts = [processor(&read("cpuinfo")), kernel(&read("sys/kernel/osrelease"))];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The first processor's name in `/proc/cpuinfo`: `model name` on x86, `Model` on boards that have one; other machines
/// give numbers only.
fn processor(cpuinfo: &str) -> Option<String> {
    let fields = || cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let named = |name: &str| fields().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned());
    named("model name").or_else(|| named("Model")).filter(|name| !name.is_empty())
}

fn kernel(release: &str) -> Option<String> {
    let release = release.trim();
    (!release.is_empty()).then(|| format!("Linux {release}"))
}

struct Host {
    clock: Clock,
    before: Option<(Timestamp, u64)>,
}

impl Host {
    fn sample(&mut self, recorder: &mut Recorder) {
        let now = self.clock.now();
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        if let Some((busy, cores)) = cpu(&read("stat")) {
            if let Some((then, before)) = self.before {
                let level = cpu_milli(busy.saturating_sub(before), now.since(then).as_nanos());
                recorder.set(Gauge::HostCpuMilli, None, level);
            }
            self.before = Some((now, busy));
            recorder.set(Gauge::HostCores, None, cores);
        }
        let memory = memory(&read("meminfo"));
        let levels = [
            (Gauge::HostLoadMilli, load_milli(&read("loadavg"))),
            (Gauge::HostMemoryUsedBytes, memory.map(|m| m.0)),
            (Gauge::HostMemoryBytes, memory.map(|m| m.1)),
            (Gauge::HostSockets, tcp_sockets(&read("net/sockstat"))),
            (Gauge::HostRetransmits, retransmits(&read("net/snmp"))),
        ];
        for (gauge, level) in levels {
            if let Some(level) = level {
                recorder.set(gauge, None, level);
            }
        }
    }
}

/// Busy ticks of all cores together, and how many cores, in `/proc/stat` (proc_stat(5)): all but `idle` and `iowait`;
/// guests are in `user` already.
fn cpu(stat: &str) -> Option<(u64, i64)> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = all.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy = ticks.iter().take(8).enumerate().filter(|(i, _)| *i != 3 && *i != 4).map(|(_, n)| n).sum();
    let cores = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    (ticks.len() >= 4).then_some((busy, cores as i64))
}

/// The load average of the last minute in `/proc/loadavg`.
fn load_milli(loadavg: &str) -> Option<i64> {
    let minute: f64 = loadavg.split_ascii_whitespace().next()?.parse().ok()?;
    Some((minute * 1_000.0).round() as i64)
}

/// Memory in use, which is all that is not available to programs, and memory altogether, in bytes.
fn memory(meminfo: &str) -> Option<(i64, i64)> {
    let kilobytes = |name: &str| -> Option<i64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let (total, available) = (kilobytes("MemTotal:")?, kilobytes("MemAvailable:")?);
    Some(((total - available) * 1024, total * 1024))
}

/// TCP sockets in use in `/proc/net/sockstat`.
fn tcp_sockets(sockstat: &str) -> Option<i64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP: inuse "))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Retransmitted TCP segments in `/proc/net/snmp`: a line of names, then a line of values.
fn retransmits(snmp: &str) -> Option<i64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = names.split_ascii_whitespace().position(|name| name == "RetransSegs")?;
    values.split_ascii_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_as_far_as_it_says() {
        let x86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU: fast\n\nprocessor\t: 1\n";
        assert_eq!(processor(x86).as_deref(), Some("Some CPU: fast"));
        assert_eq!(
            processor("processor\t: 0\nCPU part\t: 0xd40\n\nModel\t\t: Some Board\n").as_deref(),
            Some("Some Board")
        );
        assert_eq!((processor("processor\t: 0\nCPU part\t: 0xd40\n"), kernel("\n")), (None, None));
        assert_eq!(kernel("6.1.2-x\n").as_deref(), Some("Linux 6.1.2-x"));
        assert!(machine().contains("Linux "), "{}", machine());
    }

    #[test]
    fn idle_time_is_not_busy_and_guests_count_once() {
        let stat = "cpu  100 20 30 5000 400 5 6 7 90 1\ncpu0 50 10 15 2500 200 2 3 3 45 0\ncpu1 50 10 15 2500 200 3 3 4 45 1\nintr 7\n";
        assert_eq!(cpu(stat), Some((168, 2)));
        assert_eq!(cpu("nothing"), None);
    }

    #[test]
    fn the_other_files_are_read() {
        assert_eq!(load_milli("1.25 0.60 0.30 2/345 678\n"), Some(1_250));
        assert_eq!(memory("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable:  400 kB\n"), Some((614_400, 1_024_000)));
        assert_eq!(memory("MemTotal: 1000 kB\n"), None);
        assert_eq!(tcp_sockets("sockets: used 9\nTCP: inuse 27 orphan 0 tw 3 alloc 30 mem 2\n"), Some(27));
        let snmp = "Ip: A B\nIp: 1 2\nTcp: RtoMin ActiveOpens RetransSegs InErrs\nTcp: 200 -1 42 0\n";
        assert_eq!(retransmits(snmp), Some(42));
        assert_eq!(retransmits("Tcp: RtoMin\n"), None);
    }

    #[test]
    fn this_host_is_seen() {
        let mut recorder = Recorder::new(0, Timestamp::default());
        host(Clock::System)(&mut recorder);
        let taken = recorder.take(Timestamp::default());
        assert!(taken.level(Gauge::HostCores) >= 1);
        assert!(taken.level(Gauge::HostMemoryBytes) > taken.level(Gauge::HostMemoryUsedBytes));
    }
}
