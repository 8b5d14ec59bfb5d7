//! What the machine gives: cores, memory, files, ports.

use std::net::IpAddr;

use rustix::process::{Resource, getrlimit};

/// Memory of one user on this side, user space and kernel, in bytes: about 1 KiB of tables and state, and half of the 5.3 KB
/// of kernel memory of a loopback pair (measured); rounded up.
pub const USER_BYTES: u64 = 4 << 10;
/// What a user has beside that over TLS: keys and buffers (measured: 9.3 KiB, with rustls).
pub const TLS_BYTES: u64 = 10 << 10;
/// What a user has beside that who polls: a task, and an HTTP connection with its buffers (measured: 27 KiB); rounded up.
pub const POLLED_BYTES: u64 = 32 << 10;
/// Files that the process needs beside its users' and those for API calls: event loops, logs, telemetry. It has fewer
/// than 20 of them (measured); the others are for what comes and goes.
pub const OTHER_FILES: u64 = 40;

/// The most connections for API calls that a thread keeps to each endpoint: its users share them.
pub const CALLS_A_THREAD_MAX: u64 = 32;
/// The fewest: one for errands, and some for actions.
const CALLS_A_THREAD_MIN: u64 = 4;

/// Connections for API calls that each of so many threads keeps to each endpoint: not more than a quarter of the files
/// that the process may have open, so that a small limit leaves room for users.
pub fn calls_a_thread(open_files: u64, threads: u64) -> u64 {
    (open_files / 4 / threads.max(1)).clamp(CALLS_A_THREAD_MIN, CALLS_A_THREAD_MAX)
}

/// A host, as a process on it sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// Cores that the process may use.
    pub cores: u32,
    /// Memory in all, in bytes.
    pub memory: u64,
    /// Of that, what could be had now, in bytes.
    pub available: u64,
    /// Files that the process may have open: the soft limit.
    pub open_files: u64,
    /// Local ports that connections to one address can have.
    pub ports: u64,
    /// Its addresses that connections are to come from; none: left to the kernel.
    pub sources: Vec<IpAddr>,
}

impl Machine {
    /// Looks.
    pub fn look() -> Self {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            memory: kib(&memory, "MemTotal:").unwrap_or(0),
            available: kib(&memory, "MemAvailable:").unwrap_or(u64::MAX),
            open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            ports: ports(&range).unwrap_or(28_232),
            sources: Vec::new(),
        }
    }

    /// Users that a worker with so many threads can hold here, by files, memory, and ports to one address.
    pub fn capacity(&self, threads: u32) -> u64 {
        let calls = calls_a_thread(self.open_files, threads.into()) * u64::from(threads);
        let files = self.open_files.saturating_sub(OTHER_FILES + calls);
        let ports = self.ports * self.sources.len().max(1) as u64;
        files.min(self.available / USER_BYTES).min(ports.saturating_sub(calls))
    }
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

fn ports(text: &str) -> Option<u64> {
    let mut ends = text.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some(last.checked_sub(first)? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read() {
        assert_eq!(kib("MemTotal:       24 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(24 << 10));
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        let machine = Machine::look();
        assert!(machine.cores > 0 && machine.memory > 0 && !machine.host.is_empty() && machine.capacity(1) > 0);
    }

    #[test]
    fn the_scarcest_thing_decides() {
        let machine = Machine { available: 1 << 30, open_files: 1_024, ports: 28_232, ..Machine::default() };
        assert_eq!(machine.capacity(2), 920);
        assert_eq!(Machine { open_files: 256, ..machine.clone() }.capacity(2), 152);
        assert_eq!(Machine { open_files: 64, ..machine.clone() }.capacity(2), 8, "fewer calls");
        assert_eq!(Machine { open_files: 100_000, ..machine.clone() }.capacity(2), 28_168);
        let sources = vec![IpAddr::from([10, 0, 0, 1]); 3];
        assert_eq!(Machine { open_files: 100_000, sources, ..machine.clone() }.capacity(2), 84_632);
        assert_eq!(Machine { open_files: 100_000, available: 1 << 20, ..machine }.capacity(2), 256);
    }
}
