//! The skip list against a `BTreeMap`, and what its answers cost in steps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::SkipList;

#[derive(Clone, Copy, Debug)]
enum Command {
    Insert(u16, u32),
    Remove(u16),
    Pop,
}

fn command() -> impl Strategy<Value = Command> {
    let key = 0_u16..400;
    prop_oneof![
        6 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Command::Insert(key, value)),
        3 => key.prop_map(Command::Remove),
        1 => Just(Command::Pop),
    ]
}

fn same(list: &SkipList<u16, u32>, map: &BTreeMap<u16, u32>, probe: u16) -> Result<(), TestCaseError> {
    prop_assert_eq!((list.len(), list.is_empty()), (map.len(), map.is_empty()));
    prop_assert_eq!(list.contains_key(&probe), map.contains_key(&probe));
    let rank = map.range(..probe).count();
    prop_assert_eq!(list.rank(&probe), rank);
    prop_assert_eq!(list.rank_behind(&probe), map.range(..=probe).count());
    prop_assert!(list.from(rank).eq(map.range(probe..)));
    prop_assert!(list.before(rank).eq(map.range(..probe).rev()));
    prop_assert!(list.values().eq(map.values()));
    prop_assert!(list.before(usize::MAX).eq(map.iter().rev()));
    prop_assert_eq!(list.from(map.len()).count(), 0);
    Ok(())
}

proptest! {
    #[test]
    fn it_answers_what_a_tree_map_answers(
        commands in prop::collection::vec((command(), 0_u16..400), 1..300),
    ) {
        let (mut list, mut map) = (SkipList::new(), BTreeMap::new());
        for (command, probe) in commands {
            match command {
                Command::Insert(key, value) => prop_assert_eq!(list.insert(key, value), map.insert(key, value)),
                Command::Remove(key) => prop_assert_eq!(list.remove(&key), map.remove(&key)),
                Command::Pop => {
                    let first = list.from(0).next().map(|(key, _)| *key);
                    prop_assert_eq!(first, map.keys().next().copied());
                    if let Some(key) = first {
                        prop_assert_eq!(list.remove(&key), map.remove(&key));
                    }
                }
            }
            same(&list, &map, probe)?;
        }
    }
}

/// Steps of a page of 100 in the middle, found by key and by rank, and of a removal and insertion there.
fn steps(n: u64) -> [usize; 3] {
    let mut list = SkipList::new();
    // In no order: the odd multiples of a power of two's residues visit each once.
    for i in 0..n {
        list.insert(i.wrapping_mul(0x9e37_79b1) % n.next_power_of_two(), ());
    }
    list.take_steps();
    let mut worst = [0; 3];
    for at in 1..100 {
        let key = n * at / 100;
        let rank = list.rank(&key);
        assert!(list.from(rank).take(100).count() > 0);
        worst[0] = worst[0].max(list.take_steps());
        assert!(list.before(rank).take(100).count() > 0);
        worst[1] = worst[1].max(list.take_steps());
        list.remove(&key);
        list.insert(key, ());
        worst[2] = worst[2].max(list.take_steps());
    }
    worst
}

#[test]
fn a_page_costs_about_the_same_however_large_the_list_is() {
    let (small, large) = (steps(100), steps(1_000_000));
    // Ten thousand times as many keys are seven levels of four; each costs 2.5 steps on average, and 10 here at worst.
    for (small, large) in small.into_iter().zip(large) {
        assert!(large <= small + 140, "{large} steps of a million, {small} of a hundred");
    }
    assert!(large.into_iter().all(|steps| steps < 400), "{large:?}");
}

#[test]
fn an_emptied_list_gives_its_memory_back() {
    let mut list = SkipList::new();
    for key in 0..1_000 {
        list.insert(key, ());
    }
    assert!((0..1_000).all(|key| list.remove(&key).is_some()));
    assert_eq!((list.nodes.capacity(), list.free.capacity(), list.head.len()), (0, 0, 0));
    list.insert(7, ());
    assert_eq!(list.from(0).next(), Some((&7, &())));
}
