//! A plan as people read it: each figure with the arithmetic that made it.

use std::fmt;
use std::time::Duration;

use measure::grouped;

use crate::plan::{
    BYTES_AROUND_FRAME, BYTES_AROUND_TEXT, FILES_KEPT_BACK, KERNEL_BYTES_A_CONNECTION, MOST_WATCHERS_OF_TYPING,
    NANOS_A_DELIVERY, NODE_BYTES_A_CONNECTION, Plan,
};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan of {}", self.scenario)?;
        writeln!(f)?;
        self.load(f)?;
        writeln!(f)?;
        self.processes(f)?;
        writeln!(f)?;
        self.memory(f)
    }
}

impl Plan {
    fn load(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = grouped(self.users);
        row(
            f,
            "users",
            &users,
            &format!(
                "of which {} canaries; they join at up to {}/s",
                grouped(self.canaries),
                number(self.joins_per_second)
            ),
        )?;
        row(f, "time", &time(self.duration), &format!("{} until all have joined, then the phases", time(self.ramp)))?;
        row(
            f,
            "channels",
            &grouped(self.channels),
            &format!("watched in {} pairs of user and channel", grouped(self.memberships)),
        )?;
        writeln!(f)?;
        for action in &self.actions {
            let what = format!("{} by {} in {}", action.action, action.cohort, action.channel);
            let why = if action.broadcast {
                format!(
                    "deliveries/s = {}/s × {} watchers, {} B each",
                    number(action.rate),
                    number(action.audience),
                    action.bytes
                )
            } else {
                format!("{}/s; above {MOST_WATCHERS_OF_TYPING} watchers it is not broadcast", number(action.rate))
            };
            row(f, &what, &number(action.deliveries_per_second), &why)?;
        }
        if self.peak_factor > 1.0 {
            row(
                f,
                "",
                "",
                &format!(
                    "the rates are those of the busiest moment, {} × what the actions say",
                    number(self.peak_factor)
                ),
            )?;
        }
        writeln!(f)?;
        row(f, "API calls", &format!("{}/s", number(self.calls_per_second)), "at the busiest moment")?;
        row(f, "deliveries", &format!("{}/s", number(self.deliveries_per_second)), "at the busiest moment")?;
        let bits = self.bytes_per_second * 8.0;
        let why = format!(
            "a delivery is its text, {BYTES_AROUND_TEXT} B of event and {BYTES_AROUND_FRAME} B of frame and headers"
        );
        row(f, "bandwidth", &format!("{}bit/s", scaled(bits, 1_000.0, &["", "k", "M", "G", "T"])), &why)?;
        let why = format!("at {} µs a delivery, both ends together, one frame a write", NANOS_A_DELIVERY / 1_000);
        row(f, "cores", &number(self.cores.ceil().max(1.0)), &why)
    }

    fn processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self.files_per_process.saturating_sub(FILES_KEPT_BACK);
        let limit = format!(
            "{} files a process − {FILES_KEPT_BACK} kept back = {} connections",
            grouped(self.files_per_process),
            grouped(room)
        );
        let fits = |fits: bool| if fits { "" } else { "  DOES NOT FIT" };
        row(
            f,
            "workers",
            &grouped(self.workers),
            &format!("{} users each{}; {limit}", grouped(self.users_per_worker), fits(self.workers_fit)),
        )?;
        if self.nodes > 0 {
            let why = format!("{} connections each{}", grouped(self.connections_per_node), fits(self.nodes_fit));
            row(f, "chat servers", &grouped(self.nodes), &why)?;
        } else {
            row(
                f,
                "chat servers",
                "none",
                &format!("the target has {} address(es) of its own", self.target_addresses),
            )?;
        }
        let why = format!(
            "{} connections ÷ ({} ports an address × {} server addresses)",
            grouped(self.users),
            grouped(self.ports_per_address),
            grouped(self.target_addresses)
        );
        row(f, "source addresses", &grouped(self.source_addresses), &why)
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |bytes: u64| format!("{} users × {} B", grouped(self.users), grouped(bytes));
        row(f, "memory, workers", &bytes(self.worker_bytes), &each(self.worker_bytes / self.users.max(1)))?;
        if self.nodes > 0 {
            row(f, "memory, chat servers", &bytes(self.node_bytes), &each(NODE_BYTES_A_CONNECTION))?;
        }
        row(f, "memory, kernel", &bytes(self.kernel_bytes), &format!("{}, both ends", each(KERNEL_BYTES_A_CONNECTION)))
    }
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, value: &str, why: &str) -> fmt::Result {
    writeln!(f, "  {what:<32} {value:>14}   {why}")
}

fn number(value: f64) -> String {
    if value >= 100.0 { grouped(value.round() as u64) } else { format!("{}", (value * 100.0).round() / 100.0) }
}

fn bytes(value: u64) -> String {
    format!("{}B", scaled(value as f64, 1_024.0, &["", "Ki", "Mi", "Gi", "Ti"]))
}

fn scaled(mut value: f64, step: f64, prefixes: &[&str]) -> String {
    let mut prefix = 0;
    while value >= step && prefix + 1 < prefixes.len() {
        value /= step;
        prefix += 1;
    }
    format!("{value:.1} {}", prefixes[prefix])
}

fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, s) => format!("{h}h{m:02}m{s:02}s"),
    }
}
