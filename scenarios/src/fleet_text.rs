//! A fleet's plan as people read it; with the arithmetic of every limit, where they want it.

use std::fmt::Write as _;

use measure::grouped;

use crate::fleet::{Fleet, Role, number};
use crate::plan::{FLEET_NANOS_A_BUSY_DELIVERY, HEADROOM_USED, MINUTES_AROUND_A_RUN, PORTS_AN_ADDRESS};

impl Fleet {
    /// The plan as text; `explained` with the arithmetic.
    pub fn text(&self, explained: bool) -> String {
        let mut out = String::new();
        let host = &self.host;
        // Writing to memory succeeds.
        let _ = writeln!(
            out,
            "fleet for {} on {}: {} vCPU, {} GiB, {} Gbit/s, ${} an hour\n",
            self.scenario, self.kind, host.vcpu, host.memory_gib, host.network_gbps, host.usd_per_hour
        );
        let _ = writeln!(out, "  {:<14} {:>7}   {:<32} limited by", "role", "hosts", "each");
        for role in &self.roles {
            let line = format!("  {:<14} {:>7}   {:<32} {}", role.role, grouped(role.hosts), role.each, limit(role));
            let _ = writeln!(out, "{}", line.trim_end());
        }
        let _ = writeln!(out, "  {:<14} {:>7}\n", "in all", grouped(self.hosts));
        self.numbers(&mut out);
        if explained {
            self.explain(&mut out);
        } else {
            out.push_str("\n  --explain shows the arithmetic of each limit\n");
        }
        out
    }

    fn numbers(&self, out: &mut String) {
        let mut row = |what: &str, text: String| {
            let _ = writeln!(out, "  {what:<18} {text}");
        };
        row("users", grouped(self.users));
        row(
            "busiest moment",
            format!(
                "{} deliveries/s, {} packets/s, {} Gbit/s to the users",
                number(self.deliveries_per_second),
                number(self.packets_per_second),
                number(self.bits_per_second / 1e9)
            ),
        );
        row(
            "addresses",
            format!(
                "{} a worker host: its users ÷ ({} ports × {} addresses of the service)",
                grouped(self.source_addresses),
                grouped(PORTS_AN_ADDRESS),
                grouped(self.target_addresses)
            ),
        );
        let minutes = self.run.as_secs_f64() / 60.0;
        row(
            "cost",
            format!(
                "${} an hour; ${} a run of {} min ({MINUTES_AROUND_A_RUN} min of it to boot and to collect)",
                money(self.usd_per_hour),
                money(self.usd_per_run),
                number(minutes)
            ),
        );
        row("prices", format!("{}, on demand, as of {}; transfer and disks not included", self.region, self.priced_on));
    }

    fn explain(&self, out: &mut String) {
        let bench = if self.nanos_a_delivery == FLEET_NANOS_A_BUSY_DELIVERY { "fanout-busy" } else { "fanout" };
        let _ = writeln!(
            out,
            "\n  Each user gets {} frames a second, so a delivery takes {} µs of processor time, both ends together\n  \
             (bench {bench}). Of each host {} % are planned with. A role has as many hosts as its tightest limit asks for.",
            number(self.frames_a_user),
            number(self.nanos_a_delivery as f64 / 1e3),
            (HEADROOM_USED * 100.0).round()
        );
        for role in self.roles.iter().filter(|role| !role.limits.is_empty()) {
            let _ = writeln!(out, "\n  a host of {}: {}", role.role, role.each);
            for limit in &role.limits {
                let holds = format!("{} {}", grouped(limit.holds), limit.unit);
                let _ = writeln!(out, "    {:<11} {holds:>22} = {}", limit.by, limit.arithmetic);
            }
        }
        let _ = writeln!(
            out,
            "\n  ${} an hour = {} hosts × ${}\n  Where each figure comes from: scenarios/src/constants.rs, benches/RESULTS.md",
            money(self.usd_per_hour),
            grouped(self.hosts),
            self.host.usd_per_hour
        );
    }
}

fn limit(role: &Role) -> String {
    let tightest = role.limits.first().map_or(String::new(), |limit| limit.by.to_owned());
    if role.fits { tightest } else { format!("{tightest}  DOES NOT FIT") }
}

fn money(usd: f64) -> String {
    let cents = (usd * 100.0).round() as u64;
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}
