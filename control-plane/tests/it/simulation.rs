//! Seeded simulation of the control plane's core: agents that are late, silent, dying, refusing, lying or doubled, a
//! data plane that fails, people who interrupt. Every run must end in time, with the outcome that the faults allow.

use std::time::Duration;

use control_plane::run::{Outcome, RunState, kind};

use crate::world::{Faults, Rng, World};

/// Names its seed when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("this seed failed; run it alone with THRONG_SEED={}", self.0);
        }
    }
}

/// Runs `test` for many seeds, or for the one in `THRONG_SEED`.
fn each_seed(n: u64, mut test: impl FnMut(u64)) {
    let one = std::env::var("THRONG_SEED").ok().and_then(|s| s.parse().ok());
    let seeds = if let Some(seed) = one { seed..seed + 1 } else { 0..n };
    for seed in seeds {
        let _named = Seed(seed);
        test(seed);
    }
}

#[test]
fn every_run_ends_in_time_whatever_fails() {
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    each_seed(3_000, |seed| {
        let mut world = World::new(seed, &Faults::any(&mut Rng::new(seed)));
        world.run_to_end();
        world.check();
        for run in world.ended() {
            let last = run.happenings.iter().rev().find(|h| h.kind != kind::ENDED).map_or("", |h| h.kind);
            *outcomes.entry(format!("{:?} after {last}", run.verdict.outcome)).or_default() += 1;
        }
    });
    println!("{outcomes:#?}");
    if outcomes.values().sum::<u32>() > 1_000 {
        // Many seeds: all kinds of ends must be among them.
        let seen = |what: &str| outcomes.keys().any(|k| k.contains(what));
        for what in ["Passed", "Failed", kind::DATA_PLANE_UNREACHABLE, kind::NOT_ENOUGH_AGENTS, kind::STOPPED] {
            assert!(seen(what), "the simulation never saw {what}: {outcomes:#?}");
        }
    }
}

#[test]
fn a_healthy_fleet_passes() {
    each_seed(500, |seed| {
        let mut world = World::new(seed, &Faults::none(&mut Rng::new(seed)));
        world.run_to_end();
        world.check();
        for run in world.ended() {
            assert_eq!(run.verdict.outcome, Outcome::Passed, "{:?} {:#?}", run.verdict, run.happenings);
            assert!(!run.verdict.interrupted);
        }
    });
}

#[test]
fn a_fleet_that_is_too_small_ends_with_the_arithmetic() {
    let mut faults = Faults::none(&mut Rng::new(1));
    faults.capacities = vec![200, 200];
    (faults.users, faults.side_by_side) = (1_000, false);
    let mut world = World::new(1, &faults);
    world.run_to_end();
    for run in world.ended() {
        assert_eq!(run.verdict.outcome, Outcome::Invalid);
        let why = &run.verdict.reasons[0];
        assert!(why.contains("needs 1,000 users' capacity; 2 workers joined hold 400; start more workers"), "{why}");
    }
}

#[test]
fn one_refusal_moves_the_shards_to_the_rest() {
    let mut faults = Faults::none(&mut Rng::new(2));
    faults.capacities = vec![1_000, 1_000, 1_000];
    faults.users = 900;
    faults.runs = 1;
    faults.refuses = vec![1];
    faults.workers = 3;
    faults.probes = 0;
    let mut world = World::new(2, &faults);
    world.run_to_end();
    world.check();
    let run = &world.ended()[0];
    assert_eq!(run.verdict.outcome, Outcome::Passed, "{:#?}", run.happenings);
    assert!(run.happenings.iter().any(|h| h.kind == kind::REFUSED), "{:#?}", run.happenings);
    assert_eq!(world.shard_counts(), [3, 2], "handed out over three, then over two");
}

#[test]
fn an_interrupt_ends_any_state_soon() {
    each_seed(500, |seed| {
        let mut faults = Faults::none(&mut Rng::new(seed));
        faults.runs = 1;
        faults.stop_at = Some(Duration::from_millis(seed * 40));
        let mut world = World::new(seed, &faults);
        world.run_to_end();
        world.check();
        let run = &world.ended()[0];
        if run.state_when_stopped.is_some_and(|s| !matches!(s, RunState::Reporting | RunState::Ended)) {
            assert!(run.verdict.interrupted, "{run:#?}");
            let took = run.ended_at.since(run.stopped_at.unwrap());
            assert!(took < Duration::from_secs(4), "took {took:?}: {run:#?}");
        }
    });
}

#[test]
fn runs_that_fit_go_side_by_side_and_none_overtakes() {
    each_seed(300, |seed| {
        let mut faults = Faults::none(&mut Rng::new(seed));
        faults.capacities = vec![1_000; 4];
        (faults.users, faults.probes, faults.runs, faults.side_by_side) = (500, 0, 5, false);
        faults.workers = 2;
        let mut world = World::new(seed, &faults);
        world.run_to_end();
        world.check();
        let runs = world.ended();
        let starts: Vec<_> = runs.iter().map(|run| run.started_at.expect("it ran")).collect();
        let preparing =
            |run: &crate::world::Ended| run.happenings.iter().find(|h| h.kind == kind::PREPARING).map(|h| h.at);
        assert!(runs.iter().map(preparing).is_sorted(), "first come, first served");
        let side_by_side = |of: usize| {
            let over =
                |other: &&crate::world::Ended| other.started_at.unwrap() <= starts[of] && starts[of] < other.ended_at;
            runs.iter().filter(over).count()
        };
        assert!(side_by_side(0).max(side_by_side(1)) == 2, "two of four workers each: none waits for the other");
        for (at, run) in runs.iter().enumerate() {
            assert!((1..=2).contains(&side_by_side(at)), "four workers are two runs'");
            assert_eq!(run.verdict.outcome, Outcome::Passed, "{:?}", run.verdict);
            let told = |kind| run.happenings.iter().any(|h| h.kind == kind);
            assert!(told(kind::BESIDE) && (at < 3 || told(kind::WAITING)), "{:#?}", run.happenings);
        }
    });
}
