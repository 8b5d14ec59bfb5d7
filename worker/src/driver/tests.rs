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
    let mut parts: Vec<_> = (0..3).flat_map(|index| all(&scenario, Shard { index, count: 3 })).collect();
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
            Work::Act { .. } => {}
        }
    }
    assert_eq!(here.len(), 40);
    assert!(here.values().any(|(visits, _)| *visits > 2), "some come back more than once");
}
