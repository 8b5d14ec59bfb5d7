//! What fails in a fleet, and what the documents promise of it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use measure::Clock;

use super::boot::Fleet;
use super::eventually;
use super::outcome::{Outcome, Run};

/// Users of a run: a hundred a worker.
const USERS: u64 = 300;

/// A cut that is shorter than the lease.
const BRIEFLY: Duration = Duration::from_secs(2);
/// A machine that takes longer than this to cut and to mend has made another cut of it.
const MENDING_MAX: Duration = Duration::from_millis(300);
/// So often a cut is tried that should be short.
const ATTEMPTS: u32 = 5;
/// How long a process may take to be there again, on a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// A case: its name, and what is done and must come of it.
type Case = (&'static str, fn(&mut Fleet) -> Result<String>);

const CASES: [Case; 6] = [
    ("plain", plain),
    ("control-plane-restarted", control_plane_restarted),
    ("data-plane-away", data_plane_away),
    ("edge-killed", edge_killed),
    ("cut-briefly", cut_briefly),
    ("cut-for-good", cut_for_good),
];

/// Boots the fleet and goes through all cases, or through one.
///
/// # Errors
/// What did not keep its promise.
pub(super) fn all(only: Option<&str>) -> Result<String> {
    let clock = Clock::System;
    let mut start = clock.now();
    let mut took = || {
        let seconds = clock.now().since(start).as_secs_f64();
        start = clock.now();
        seconds
    };
    let mut fleet = Fleet::boot().context("the fleet boots")?;
    println!("{:>6.1} s  {} hosts serve", took(), fleet.hosts().count());
    let mut done = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let said = case(&mut fleet).with_context(|| format!("case {name}"))?;
        println!("{:>6.1} s  {name}: {said}", took());
        done += 1;
    }
    ensure!(done > 0, "there is no such case; there are {}", CASES.map(|(name, _)| name).join(", "));
    Ok(format!("{done} cases on {} hosts: what is promised holds", fleet.hosts().count()))
}

/// Everybody in one room, with this hold in seconds and what else the scenario says.
fn scenario(hold: u32, more: &str) -> String {
    format!(
        "name: fleet\ndescription: Everybody in one room, over both edges.\nseed: 7\n\
         channels:\n  - {{ id: room, type: livestream, members: all }}\n\
         cohorts:\n  - name: fans\n    users: {USERS}\n    ramp: {{ rate: 150/s }}\n    actions:\n\
         \x20     - send: {{ channel: room, rate: 4/s, size: 50..100B }}\n\
         hold: {hold}s\nprobes: {{ canaries: 4, send: 1/s }}\nthresholds:\n  - lost: count == 0\n{more}"
    )
}

/// Nothing fails.
fn plain(fleet: &mut Fleet) -> Result<String> {
    let run = Run::start(fleet, &scenario(6, ""), USERS)?;
    let outcome = run.end(fleet)?;
    unharmed(&outcome)
}

/// In order, as an init system does it, and killed: the run is taken up, and ends as if nothing had been.
fn control_plane_restarted(fleet: &mut Fleet) -> Result<String> {
    let mut run = Run::start(fleet, &scenario(16, ""), USERS)?;
    run.under_way(fleet)?;
    fleet.host("control-plane").stop()?;
    fleet.host("control-plane").start()?;
    serves(fleet, "control-plane")?;
    wait(fleet, Duration::from_secs(4))?;
    fleet.host("control-plane").kill()?;
    let outcome = run.end(fleet)?;
    let back = outcome.kinds().iter().filter(|kind| **kind == "control_plane_back").count();
    ensure!(back == 2, "it came back {back} times: {}", outcome.result["events"]);
    unharmed(&outcome)
}

/// Probes keep what they have meanwhile, and ship it when it is back.
fn data_plane_away(fleet: &mut Fleet) -> Result<String> {
    let mut run = Run::start(fleet, &scenario(18, ""), USERS)?;
    run.under_way(fleet)?;
    fleet.host("data-plane").kill_and_hold()?;
    wait(fleet, Duration::from_secs(10))?;
    fleet.host("data-plane").start()?;
    let outcome = run.end(fleet)?;
    ensure!(outcome.kinds().contains(&"data_plane_back"), "nobody says so: {}", outcome.result["events"]);
    unharmed(&outcome)
}

/// Its users go to the other one, or come back to it, and catch up: nothing is lost. What they should have said while they
/// were cut off is in the verdict.
fn edge_killed(fleet: &mut Fleet) -> Result<String> {
    let mut run = Run::start(fleet, &scenario(12, ""), USERS)?;
    run.under_way(fleet)?;
    fleet.host("edge-1").kill()?;
    let outcome = run.end(fleet)?;
    let cut_off = outcome.number("/counters/disconnected");
    ensure!((USERS / 4..USERS).contains(&cut_off), "{cut_off} users of {USERS} were cut off by one edge of two");
    ensure!(outcome.number("/counters/recovered") > 0, "nobody had to catch up: {}", outcome.result["counters"]);
    let silent = |reason: &&str| reason.contains("were not started") && reason.contains("was not connected");
    let (honest, reasons) = (matches!(outcome.code, 0 | 2), outcome.reasons());
    ensure!(honest && reasons.iter().all(silent), "exit {}: {}", outcome.code, reasons.join("\n"));
    outcome.nothing_lost()?;
    outcome.conserves()?;
    outcome.all_accounted()?;
    says(&outcome)
}

/// A worker's host is without network for less than the lease, in mid-hold: to control plane, data plane and edges. Nobody is
/// lost and nothing is missed; what was late is late.
fn cut_briefly(fleet: &mut Fleet) -> Result<String> {
    for _ in 0..ATTEMPTS {
        let mut run = Run::start(fleet, &scenario(14, ""), USERS)?;
        run.under_way(fleet)?;
        wait(fleet, Duration::from_secs(2))?;
        let joined = fleet.host("worker-2").joins();
        let (clock, cut) = (Clock::System, Clock::System.now());
        fleet.host("worker-2").port.cut()?;
        wait(fleet, BRIEFLY)?;
        fleet.host("worker-2").port.mend()?;
        let lasted = clock.now().since(cut);
        let outcome = run.end(fleet)?;
        if lasted > BRIEFLY + MENDING_MAX {
            println!("the machine took {:.1} s for a cut of {} s: once more", lasted.as_secs_f64(), BRIEFLY.as_secs());
            continue;
        }
        ensure!(fleet.host("worker-2").joins() == joined, "the worker began anew: {}", fleet.host("worker-2").tail());
        // Else nothing was cut.
        let late = outcome.number("/metrics/delivery/max_us");
        ensure!(late > 1_000_000, "nobody noticed: the latest delivery took {late} µs");
        return unharmed(&outcome);
    }
    bail!("the machine can't cut a link for {} s: tried {ATTEMPTS} times", BRIEFLY.as_secs())
}

/// It is lost after its lease; the run goes on without it, and says that it can't be trusted. The worker ends its load by
/// itself, and is of use again when it is back.
fn cut_for_good(fleet: &mut Fleet) -> Result<String> {
    let mut run = Run::start(fleet, &scenario(12, ""), USERS)?;
    run.under_way(fleet)?;
    fleet.host("worker-2").port.cut()?;
    let outcome = run.end(fleet)?;
    let (reasons, lost) = (outcome.reasons(), fleet.agent("worker-2"));
    ensure!(outcome.code == 2 && outcome.result["verdict"]["outcome"] == "invalid", "exit {}", outcome.code);
    ensure!(reasons.iter().all(|reason| reason.contains(&lost)) && !reasons.is_empty(), "{}", reasons.join("\n"));
    ensure!(outcome.kinds().contains(&"worker_lost"), "nobody says so: {}", outcome.result["events"]);
    // What the lost worker's users were to get and what they got is on neither side.
    outcome.nothing_lost()?;
    outcome.conserves()?;
    let unaccounted = &outcome.result["conservation"]["unaccounted"];
    ensure!(*unaccounted == serde_json::json!([lost]), "not accounted for: {unaccounted}");
    let ended = "the control plane has been away for too long: stopping the run";
    let by_itself = |fleet: &mut Fleet| Ok(fleet.host("worker-2").log().contains(ended).then_some(()));
    eventually("the worker ends its load by itself", BACK_WITHIN, fleet, by_itself)?;
    fleet.host("worker-2").port.mend()?;
    let joined = |fleet: &mut Fleet| Ok(fleet.host("worker-2").joins().ge(&2).then_some(()));
    eventually("the worker is back", BACK_WITHIN, fleet, joined)?;
    says(&outcome)
}

/// Lets time pass.
fn wait(fleet: &mut Fleet, long: Duration) -> Result<()> {
    let (clock, start) = (Clock::System, Clock::System.now());
    eventually("time passes", long * 10, fleet, |_| Ok((clock.now().since(start) >= long).then_some(())))
}

fn serves(fleet: &mut Fleet, name: &str) -> Result<()> {
    eventually("it serves again", BACK_WITHIN, fleet, |fleet| Ok(fleet.host(name).serves().then_some(())))
}

/// Everybody was there and got everything, nothing counts against the run, and every source has said what it counted.
fn unharmed(outcome: &Outcome) -> Result<String> {
    outcome.is_well()?;
    outcome.all_accounted()?;
    ensure!(outcome.number("/users/connected_max") == USERS, "users: {}", outcome.result["users"]);
    let kinds = outcome.kinds();
    ensure!(!kinds.contains(&"worker_lost") && !kinds.contains(&"probe_lost"), "{}", outcome.result["events"]);
    says(outcome)
}

fn says(outcome: &Outcome) -> Result<String> {
    Ok(format!("exit {}, {} events delivered", outcome.code, outcome.number("/completeness/delivered")))
}
