//! A run's state in words: for the block, for a line, for a summary.

use proto::control::{RunState, RunUpdate, WorkerHealth};
use reports::format;

/// Events that happen in every run, and are seen in the state anyway.
pub(super) fn is_routine(kind: &str) -> bool {
    ["preparing", "started", "start_skew", "phase", "ended"].contains(&kind)
}

/// A time of the run; before its start it is negative.
pub(super) fn clock(seconds: f64) -> String {
    format::run_time(seconds.max(0.0))
}

/// One line.
pub(super) fn line(update: &RunUpdate) -> String {
    let head = headline(update);
    let Some(live) = update.live.filter(|_| under_way(update)) else { return head };
    let planned = live.users_planned.max(live.users_connected);
    format!(
        "{head}  users {} of {}, {} deliveries/s, p50 {}, p99 {}, {}",
        format::count(live.users_connected),
        format::count(planned),
        format::number(live.deliveries_per_s),
        latency(live.delivery_p50_us),
        latency(live.delivery_p99_us),
        format::counted(live.errors, "error", "errors"),
    )
}

/// The block of a terminal that is `width` columns wide.
pub(super) fn block(update: &RunUpdate, width: usize, colours: bool) -> Vec<String> {
    let paint = |code: &str, text: &str| if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let cut = |text: String| text.chars().take(width.saturating_sub(1)).collect::<String>();
    let mut lines = vec![paint("1", &cut(headline(update)))];
    let Some(live) = update.live.filter(|_| under_way(update)) else { return lines };
    let planned = live.users_planned.max(live.users_connected);
    let of = format!(" {} of {}", format::count(live.users_connected), format::count(planned));
    let of: String = of.chars().take(width.saturating_sub(10)).collect();
    let bar = bar(live.users_connected, planned, width.saturating_sub(10 + of.chars().count()).min(40));
    lines.push(format!("users    {}{of}", paint("36", &bar)));
    lines.push(cut(format!(
        "events   {} deliveries/s   {} sends/s   {} delivered",
        format::number(live.deliveries_per_s),
        format::number(live.sends_per_s),
        format::count(live.delivered),
    )));
    lines.push(cut(format!(
        "latency  p50 {}   p99 {}   send p99 {}",
        latency(live.delivery_p50_us),
        latency(live.delivery_p99_us),
        latency(live.send_p99_us)
    )));
    let trouble = cut(format!("errors   {}   lost {}", format::count(live.errors), format::count(live.lost)));
    lines.push(if live.errors + live.lost > 0 { paint("31", &trouble) } else { trouble });
    let (shown, rest) = update.workers.split_at(update.workers.len().min(6));
    for (at, worker) in shown.iter().enumerate() {
        let head = if at == 0 { "workers  " } else { "         " };
        lines.push(cut(format!("{head}{}", health(worker))));
    }
    if !rest.is_empty() {
        lines.push(format!("         and {} more", rest.len()));
    }
    lines
}

fn under_way(update: &RunUpdate) -> bool {
    matches!(update.state(), RunState::Running | RunState::Draining)
}

fn headline(update: &RunUpdate) -> String {
    let state = match update.state() {
        RunState::Unspecified | RunState::Queued => "waits for its turn",
        RunState::Preparing => "prepares",
        RunState::Running => "runs",
        RunState::Draining => "drains",
        RunState::Reporting => "writes its report",
        RunState::Ended => "has ended",
    };
    let mut text = format!("{} {state}", update.name);
    if under_way(update) {
        text.push_str(&format!("  {} of {}", clock(update.elapsed_s), clock(update.planned_s)));
        if !update.phase.is_empty() {
            text.push_str(&format!("  {}", update.phase));
        }
    }
    text
}

fn health(worker: &WorkerHealth) -> String {
    let silent =
        if worker.silent_s > 2.0 { format!(", silent for {}", format::span(worker.silent_s)) } else { String::new() };
    let (connected, planned) = (format::count(worker.users_connected), format::count(worker.users_planned));
    // A probe has no users of its own.
    let users = if worker.users_planned > 0 { format!("{connected} of {planned} users, ") } else { String::new() };
    format!("{}  {users}{}{silent}", worker.name, worker.state)
}

/// A latency, or a dash where nothing was measured yet.
fn latency(us: u64) -> String {
    format::maybe_us((us > 0).then_some(us))
}

fn bar(part: u64, whole: u64, width: usize) -> String {
    let share = if whole == 0 { 0.0 } else { part.min(whole) as f64 / whole as f64 };
    let filled = (share * width as f64).floor() as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::control::Live;

    fn running() -> RunUpdate {
        let live = Live {
            users_planned: 1_000,
            users_connected: 250,
            deliveries_per_s: 12_345.0,
            delivery_p50_us: 2_100,
            delivery_p99_us: 8_400,
            ..Live::default()
        };
        let worker =
            WorkerHealth { name: "worker-1".into(), state: "running".into(), silent_s: 3.0, ..Default::default() };
        RunUpdate {
            name: "quickstart".into(),
            state: RunState::Running.into(),
            elapsed_s: 12.3,
            planned_s: 40.0,
            live: Some(live),
            workers: vec![worker; 8],
            phase: "hold".into(),
            ..RunUpdate::default()
        }
    }

    #[test]
    fn a_line_says_all_that_matters() {
        let line = line(&running()).replace('\u{a0}', " ");
        for part in ["quickstart runs", "hold", "250 of 1,000", "2.10 ms", "8.40 ms", "0 errors"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(super::line(&RunUpdate::default()).contains("waits"));
    }

    #[test]
    fn a_block_fits_its_terminal() {
        for width in [20, 40, 80, 120] {
            let lines = block(&running(), width, false);
            assert!(lines.iter().all(|l| l.chars().count() <= width), "{width}: {lines:#?}");
            assert_eq!(lines.len(), 12, "six workers and how many more");
        }
        assert!(block(&running(), 80, false)[1].contains('█'));
        assert!(!block(&running(), 80, false).concat().contains('\x1b'));
        assert!(block(&running(), 80, true).concat().contains('\x1b'));
    }

    #[test]
    fn bars_are_full_only_when_all_is_there() {
        assert_eq!((bar(0, 0, 4), bar(999, 1_000, 4), bar(7, 5, 4)), ("░░░░".into(), "███░".into(), "████".into()));
    }
}
