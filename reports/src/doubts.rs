//! What a run says against itself although its numbers can be trusted.

use measure::Counter;

use crate::clocks;
use crate::format::{count, duration_us, percent, run_time};
use crate::lacking;
use crate::result::{HostInfo, RunResult};
use crate::run::{EDGE_LOST, RunState};

/// A host whose processors are busier than this share makes everything on it slower, the service under test included.
const HOST_BUSY: f64 = 0.95;

/// With more than this share of its memory in use a host begins to drop what it needs again.
const HOST_FULL: f64 = 0.95;

/// A lag that readers should know about, in microseconds: a tenth of what a person notices.
const LAG_NOTICED_US: u64 = 10_000;

/// Canaries and bulk users should see the same service; beyond this factor one of the two is measured wrongly.
const CANARY_FACTOR: f64 = 2.0;

/// The doubts, in words.
pub(crate) fn doubts(run: &RunState, result: &RunResult) -> Vec<String> {
    let mut doubts = Vec::new();
    counted(run, &mut doubts);
    doubts.extend(edges(run));
    busy_hosts(run, result, &mut doubts);
    doubts.extend(full_hosts(result));
    doubts.extend(crate::verdict::reached::doubts(run, result));
    if let Some(lag) = result.metrics.get("lag").filter(|lag| lag.count > 0 && lag.p99_us > LAG_NOTICED_US) {
        let p99 = duration_us(lag.p99_us as f64);
        doubts.push(format!(
            "One action in a hundred started {p99} or more after it was due; that is part of the latencies."
        ));
    }
    clocks::doubts(result, &mut doubts);
    doubts.extend(lacking::words(&result.fanout));
    by_event(result, &mut doubts);
    canaries(result, &mut doubts);
    doubts
}

/// The account by event against that by user: two sums of the same visits, and receipts for a third.
fn by_event(result: &RunResult, doubts: &mut Vec<String>) {
    let (user, event) = (result.completeness, &result.by_event);
    if event.agrees == Some(false) {
        doubts.push(format!(
            "User by user {} deliveries were expected and {} lost, event by event {} and {}; receipts say another thing of \
             {} messages. One of these is wrong, perhaps because the service began to number its events anew.",
            count(user.expected),
            count(user.lost),
            count(event.expected),
            count(event.lost),
            count(event.messages.differing)
        ));
    }
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
    say(run.repeats, "intervals were shipped again after a break, and counted once.");
}

/// That a part of the service died: what it lost is in the account, but how long it took is of a service that mends itself.
fn edges(run: &RunState) -> Option<String> {
    let lost = || run.events.iter().filter(|event| event.kind == EDGE_LOST);
    let first = run_time(lost().next()?.at_s);
    let times =
        crate::format::counted(lost().count() as u64, "edge of the service died", "times an edge of the service died");
    Some(format!(
        "{times} in mid-run, first at {first}: its users had to connect again, and what was measured until they were back is of \
         a service that mends itself. Its log says why it died."
    ))
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

/// Workers on hosts whose memory was nearly used up: pages that are fetched back take time that nobody sees.
fn full_hosts(result: &RunResult) -> impl Iterator<Item = String> {
    let is_full =
        |h: &&HostInfo| h.memory_used_max_bytes as f64 > h.memory_bytes as f64 * HOST_FULL && h.memory_bytes > 0;
    result.hosts.iter().filter(is_full).filter_map(|host| {
        let ours = result.sources.iter().filter(|s| s.kind == "worker" && s.host == host.name);
        let workers: Vec<&str> = ours.map(|s| s.name.as_str()).collect();
        let used = percent(host.memory_used_max_bytes as f64, host.memory_bytes as f64);
        (!workers.is_empty()).then(|| {
            format!(
                "The host {} of {} had {used} of its memory in use; what it had to fetch back made it late. Add hosts, or ask \
                 for fewer users.",
                host.name,
                workers.join(", ")
            )
        })
    })
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

#[cfg(test)]
mod tests {
    use proto::telemetry::NoteRequest;

    use crate::journal::Event;
    use crate::result::Outcome;
    use crate::run::EDGE_LOST;
    use crate::testing::{START_NS, healthy, result, run};

    #[test]
    fn an_edge_that_died_is_a_doubt_and_no_verdict() {
        let mut run = run("  - lost: count == 0\n", (0..10).map(|_| healthy()));
        let told = |result: crate::RunResult| result.doubts.into_iter().find(|doubt| doubt.contains("edge"));
        assert_eq!(told(result(&run)), None);
        for at_s in [4, 7] {
            let (kind, text) = (EDGE_LOST.to_owned(), "edge-1 was killed (signal 9)".to_owned());
            run.step(&Event::Note(NoteRequest { run: "r".into(), at_ns: START_NS + at_s * 1_000_000_000, kind, text }));
        }
        let result = result(&run);
        assert_eq!(result.verdict.outcome, Outcome::Passed);
        let told = told(result).expect("a doubt").replace('\u{a0}', " ");
        assert!(told.starts_with("2 times an edge of the service died in mid-run, first at 4 s:"), "{told}");
    }
}
