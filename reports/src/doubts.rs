//! What a run says against itself although its numbers can be trusted.

use measure::Counter;

use crate::clocks;
use crate::format::{count, duration_us, number};
use crate::result::{RunResult, SourceInfo};
use crate::run::RunState;

/// A host whose processors are busier than this share makes everything on it slower, the service under test included.
const HOST_BUSY: f64 = 0.95;

/// A lag that readers should know about, in microseconds: a tenth of what a person notices.
const LAG_NOTICED_US: u64 = 10_000;

/// Canaries and bulk users should see the same service; beyond this factor one of the two is measured wrongly.
const CANARY_FACTOR: f64 = 2.0;

/// The doubts, in words.
pub(crate) fn doubts(run: &RunState, result: &RunResult) -> Vec<String> {
    let mut doubts = Vec::new();
    counted(run, &mut doubts);
    busy_hosts(run, result, &mut doubts);
    if let Some(lag) = result.metrics.get("lag").filter(|lag| lag.count > 0 && lag.p99_us > LAG_NOTICED_US) {
        let p99 = duration_us(lag.p99_us as f64);
        doubts.push(format!(
            "One action in a hundred started {p99} or more after it was due; that is part of the latencies."
        ));
    }
    clocks::doubts(result, &mut doubts);
    lost_receivers(result, &mut doubts);
    canaries(result, &mut doubts);
    doubts
}

/// Who is lost has receivers that nobody tells of: a message's last receiver may be one of them.
fn lost_receivers(result: &RunResult, doubts: &mut Vec<String>) {
    let lost: Vec<&SourceInfo> =
        result.sources.iter().filter(|s| s.kind == "worker" && s.lost_at_s.is_some()).collect();
    let Some(first) = lost.iter().filter_map(|s| s.lost_at_s).min_by(f64::total_cmp) else { return };
    let names: Vec<&str> = lost.iter().map(|s| s.name.as_str()).collect();
    let users = count(lost.iter().map(|s| s.users_planned).sum());
    doubts.push(format!(
        "The fan-out figures lack the {users} users of {} from {} s on: a message may have reached its first receiver \
         earlier, and its last one later, than they say.",
        names.join(", "),
        number(first.max(0.0))
    ));
}

fn counted(run: &RunState, doubts: &mut Vec<String>) {
    let mut say = |n: u64, what: &str| {
        if n > 0 {
            doubts.push(format!("{} {what}", count(n)));
        }
    };
    say(
        run.total(Counter::Negative),
        "latency samples came out negative and count as 0, below all others: two clocks disagree by more than a message takes.",
    );
    say(run.total(Counter::Saturated), "latency samples were above 60 s and count as 60 s.");
    say(run.fanout.late(), "deliveries came so late that the fan-out figures lack them; `delivery` has them.");
    say(run.repeats, "intervals were shipped again after a break, and counted once.");
}

fn busy_hosts(run: &RunState, result: &RunResult, doubts: &mut Vec<String>) {
    for host in &result.hosts {
        let full = f64::from(host.cores.max(1)) * HOST_BUSY;
        let slots = host.cpu.iter().flatten().filter(|cpu| **cpu >= full).count() as u64;
        if slots > 0 {
            let (seconds, name) = (slots * u64::from(run.slots.width_s()), &host.name);
            doubts.push(format!(
                "The host {name} had no processor time to spare for {seconds} s; where load generator and service share it, \
                 the service is measured as slower than it is."
            ));
        }
    }
}

fn canaries(result: &RunResult, doubts: &mut Vec<String>) {
    let median = |name: &str| result.metrics.get(name).filter(|m| m.count > 0).map(|m| m.p50_us.max(1) as f64);
    let (Some(bulk), Some(canary)) = (median("delivery"), median("canary_delivery")) else {
        return;
    };
    if (bulk / canary).max(canary / bulk) > CANARY_FACTOR {
        let (bulk, canary) = (duration_us(bulk), duration_us(canary));
        doubts.push(format!("Canaries had messages after {canary} (median), the bulk of the users after {bulk}."));
    }
}
