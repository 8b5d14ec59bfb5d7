//! Which machine a figure is from.

/// Processor, cores, memory and kernel, in one line.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let meminfo = read("/proc/meminfo");
    let kilobytes = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:")).and_then(|l| {
        let number = l.trim().split(' ').next()?;
        number.parse::<u64>().ok()
    });
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {cores} cores, {} GiB, Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        kilobytes.unwrap_or_default() >> 20,
        kernel.trim()
    )
}
