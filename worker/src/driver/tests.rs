//! The order of what is due, for the whole run and for shards of it.

use std::collections::HashMap;

use scenarios::Source;

use super::*;

fn scenario(yaml: &str) -> Scenario {
    let source = Source { file_name: "t.yaml".into(), bytes: yaml.as_bytes().to_vec(), ..Source::default() };
    scenarios::parse(&source).unwrap_or_else(|e| panic!("{e}"))
}

const CHURN: &str = "
name: churn
seed: 11
channels: [{id: room, count: 5}]
cohorts:
  - name: fans
    users: 40
    ramp: {rate: 20/s}
    lifetime: 1s..3s
    rejoin: 1s..2s
    actions: [{send: {channel: room, rate: 50/s, size: 10B}}, {typing: {channel: room, rate: 5/s}}]
hold: 8s
";

fn all(scenario: &Scenario, shard: Shard) -> Vec<Due> {
    let mut driver = Driver::new(scenario, shard);
    std::iter::from_fn(|| driver.pop(Duration::MAX)).collect()
}

#[test]
fn what_is_due_comes_in_order_and_only_then() {
    let scenario = scenario(CHURN);
    let whole = all(&scenario, Shard::WHOLE);
    assert!(whole.is_sorted_by_key(|due| due.at) && whole.len() > 400);
    let mut driver = Driver::new(&scenario, Shard::WHOLE);
    assert_eq!(driver.pop(Duration::ZERO).as_ref(), whole.first(), "the first user joins at once");
    let second = driver.next_at().unwrap();
    assert_eq!(driver.pop(second - Duration::from_nanos(1)), None, "not before it is due");
    assert_eq!(driver.pop(second).as_ref(), whole.get(1));
    // However late somebody asks: nothing was skipped.
    let mut driver = Driver::new(&scenario, Shard::WHOLE);
    let late: Vec<_> = std::iter::from_fn(|| driver.pop(Duration::from_secs(5))).collect();
    assert_eq!(late, whole.iter().filter(|due| due.at <= Duration::from_secs(5)).cloned().collect::<Vec<_>>());
}

#[test]
fn shards_sum_to_the_whole() {
    let scenario = scenario(CHURN);
    let mut parts: Vec<_> = (0..3).flat_map(|index| all(&scenario, Shard::new(index, 3).unwrap())).collect();
    let mut whole = all(&scenario, Shard::WHOLE);
    for list in [&mut parts, &mut whole] {
        list.sort_by_key(|due| (due.at, format!("{:?}", due.work)));
    }
    assert_eq!(parts, whole);
}

#[test]
fn visits_alternate_and_none_is_lost() {
    let scenario = scenario(CHURN);
    let mut here: HashMap<u64, (u32, bool)> = HashMap::new();
    for due in all(&scenario, Shard::WHOLE) {
        match due.work {
            Work::Join { user, visit, .. } => {
                let state = here.entry(user).or_insert((0, false));
                assert!(!state.1 && state.0 == visit, "user {user} joins for the {visit}-th time");
                *state = (visit, true);
            }
            Work::Leave { user, visit, .. } => {
                assert_eq!(here.insert(user, (visit + 1, false)), Some((visit, true)));
            }
            Work::Return { .. } => panic!("nobody has lost a worker"),
            Work::Act { .. } => {}
        }
    }
    assert_eq!(here.len(), 40);
    assert!(here.values().any(|(visits, _)| *visits > 2), "some come back more than once");
}

#[test]
fn users_who_are_taken_over_go_on_as_the_scenario_has_it() {
    let scenario = scenario(CHURN);
    let shard = Shard::new(1, 2).unwrap();
    let (from, apart) = (Duration::from_millis(3_700), Duration::from_millis(40));
    let mut driver = Driver::new(&scenario, shard);
    driver.take_up(|| from, |_, number| apart * number as u32);
    let rest: Vec<_> = std::iter::from_fn(|| driver.pop(Duration::MAX)).collect();
    assert!(rest.is_sorted_by_key(|due| due.at) && rest.iter().all(|due| due.at >= from));
    let returns = |due: &&Due| matches!(due.work, Work::Return { .. });
    // Whatever is due after that is what would have been due without the loss, visit by visit.
    let others: Vec<_> = rest.iter().filter(|due| !returns(due)).cloned().collect();
    let expected: Vec<_> = all(&scenario, shard).into_iter().filter(|due| due.at > from).collect();
    assert_eq!(others, expected);
    // Who should be here returns once, one after the other, and never after it has left.
    let mut here = std::collections::BTreeSet::new();
    for due in all(&scenario, shard).into_iter().take_while(|due| due.at <= from) {
        match due.work {
            Work::Join { user, .. } => assert!(here.insert(user)),
            Work::Leave { user, .. } => assert!(here.remove(&user)),
            _ => {}
        }
    }
    let mut returned = std::collections::BTreeSet::new();
    for due in &rest {
        match due.work {
            Work::Return { user, .. } => assert!(here.contains(&user) && returned.insert(user), "{due:?}"),
            Work::Leave { user, visit, .. } => {
                let first = here.remove(&user);
                assert!(!first || returned.contains(&user), "user {user} leaves its visit {visit} and never returned");
            }
            _ => {}
        }
    }
    assert!(returned.len() > 5, "{returned:?}");
    let at: Vec<_> = rest.iter().filter(returns).map(|due| due.at).collect();
    assert!(at.iter().zip(0..).all(|(at, n)| *at <= from + apart * n) && at.last() > at.first(), "{at:?}");
}

#[test]
fn all_parts_of_a_lost_shard_together_return_at_the_ramps_rate() {
    let scenario = scenario(CHURN);
    let taken = crate::plan::TakenOver { of: 3 };
    let mut all: Vec<Duration> = Vec::new();
    // Shard 2 of 3 in 4 parts, each of two threads.
    for part in 0..8 {
        let shard = Shard::new(2 + 3 * part, 24).unwrap();
        all.extend((0..10).map(|number| taken.returns_after(&scenario.cohorts[0], shard, number)));
    }
    all.sort();
    assert_eq!(all[0], Duration::ZERO);
    let apart = Duration::from_millis(50);
    for (n, at) in all.iter().enumerate() {
        assert!(at.abs_diff(apart * n as u32) < Duration::from_micros(1), "the {n}-th after {at:?}");
    }
}
