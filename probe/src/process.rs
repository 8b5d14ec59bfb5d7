//! What one process uses, from `/proc/<pid>`.

use std::path::{Path, PathBuf};

use measure::{Clock, Gauge, Recorder, Timestamp};

use crate::shipper::Sampler;

/// Linux counts processor time for user space in ticks of 10 ms, whatever the kernel's own timer does.
pub(crate) const TICK_NANOS: u64 = 10_000_000;

/// Samples the processor time, memory and open files of this process.
pub fn own_process(clock: Clock) -> Sampler {
    let mut process = Process::new(None, clock);
    Box::new(move |recorder| process.sample(recorder))
}

/// A process that is looked at once a second.
#[derive(Debug)]
pub(crate) struct Process {
    dir: PathBuf,
    clock: Clock,
    before: Option<(Timestamp, u64)>,
}

impl Process {
    /// The process with this id on this host; `None`: ourselves.
    pub(crate) fn new(pid: Option<u32>, clock: Clock) -> Self {
        let dir = pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
        let mut process = Self { dir: dir.into(), clock, before: None };
        // So that the first second has a figure, too.
        process.before = process.ticks().map(|ticks| (process.clock.now(), ticks));
        process
    }

    fn ticks(&self) -> Option<u64> {
        cpu_ticks(&std::fs::read_to_string(self.dir.join("stat")).ok()?)
    }

    /// Adds what it uses; nothing of what can't be read.
    pub(crate) fn sample(&mut self, recorder: &mut Recorder) {
        let now = self.clock.now();
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).ok();
        let ticks = self.ticks();
        let rss = read("status").and_then(|text| rss_bytes(&text));
        let files = open_files(&self.dir.join("fd"));
        if let Some(ticks) = ticks {
            if let Some((then, before)) = self.before {
                let level = cpu_milli(ticks.saturating_sub(before), now.since(then).as_nanos());
                recorder.set(Gauge::ProcessCpuMilli, None, level);
            }
            self.before = Some((now, ticks));
        }
        for (gauge, level) in [(Gauge::ProcessRssBytes, rss), (Gauge::ProcessFiles, files)] {
            if let Some(level) = level {
                recorder.set(gauge, None, i64::try_from(level).unwrap_or(i64::MAX));
            }
        }
    }
}

/// Thousandths of a core that so many ticks in so many nanoseconds are.
pub(crate) fn cpu_milli(ticks: u64, nanos: u128) -> i64 {
    let used = u128::from(ticks) * u128::from(TICK_NANOS) * 1_000;
    i64::try_from(used.checked_div(nanos).unwrap_or(0)).unwrap_or(i64::MAX)
}

/// How many files a process has open. Linux tells it as the directory's size since 6.2; to count them, twenty thousand in
/// each of a hundred processes, took a tenth of a machine.
fn open_files(dir: &Path) -> Option<u64> {
    match std::fs::metadata(dir).ok()?.len() {
        0 => std::fs::read_dir(dir).ok().map(|files| files.count() as u64),
        told => Some(told),
    }
}

/// User and system time in `/proc/<pid>/stat` (proc_pid_stat(5)): fields 14 and 15. The second field is the program's
/// name, which may hold anything, so fields are counted from its closing parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Resident memory in `/proc/<pid>/status`.
fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "4242 (a) b (x) S 1 4242 4242 0 -1 4194560 2010 0 3 0 150 37 0 0 20 0 9 0 88 1000 500 1844674 1 1";
        assert_eq!(cpu_ticks(stat), Some(187));
        assert_eq!(cpu_ticks("4242 (cut"), None);
        assert_eq!(cpu_milli(50, 500_000_000), 1_000);
        assert_eq!(cpu_milli(5, 0), 0);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(rss_bytes("Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!(rss_bytes("Name:\tkernel thread\n"), None);
    }

    #[test]
    fn our_own_process_is_seen() {
        let clock = Clock::manual(Timestamp::from_nanos(1_000_000_000));
        let mut recorder = Recorder::new(0, clock.now());
        let mut process = Process::new(None, clock.clone());
        process.sample(&mut recorder);
        clock.advance(std::time::Duration::from_secs(1));
        process.sample(&mut recorder);
        let taken = recorder.take(clock.now());
        assert!(taken.level(Gauge::ProcessRssBytes) > 1 << 20);
        assert!(taken.level(Gauge::ProcessFiles) >= 3);
        assert!(taken.gauges.contains_key(&Gauge::ProcessCpuMilli.into()));
    }

    #[test]
    fn the_processor_time_is_that_of_the_last_second() {
        let clock = Clock::manual(Timestamp::from_nanos(1_000_000_000));
        let mut recorder = Recorder::new(0, clock.now());
        let mut process = Process::new(None, clock.clone());
        let (then, begun) = (process.before.unwrap().1, Clock::System.now());
        // However busy the machine is: so much, and not so long.
        while process.ticks().unwrap() < then + 20 {
            let took = Clock::System.now().since(begun);
            assert!(took < std::time::Duration::from_secs(60), "no processor time is counted");
        }
        clock.advance(std::time::Duration::from_secs(1));
        let before = process.ticks().unwrap();
        process.sample(&mut recorder);
        let after = process.ticks().unwrap();
        let level = recorder.take(clock.now()).level(Gauge::ProcessCpuMilli);
        let milli = |ticks: u64| (ticks - then) as i64 * 10;
        assert!((200..=milli(after)).contains(&level) && level >= milli(before), "{level}, {then} {before} {after}");
    }
}
