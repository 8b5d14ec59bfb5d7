//! No false "no", ever, and few false "maybe"s.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::table::Table;
use super::{Broken, Copy, Filter};

fn ship(filter: &mut Filter, copy: &mut Copy) {
    if let Some(changes) = filter.take_changes() {
        copy.apply(changes).unwrap();
    }
    assert_eq!(filter.take_changes(), None, "taken once");
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Come(u16),
    Go(u16),
    Crowd(u16),
    Leave(u16),
    Ship,
    Lose,
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        6 => (0_u16..2_000).prop_map(Command::Come),
        4 => (0_u16..2_000).prop_map(Command::Go),
        1 => (0_u16..2_000).prop_map(Command::Crowd),
        1 => (0_u16..2_000).prop_map(Command::Leave),
        3 => Just(Command::Ship),
        1 => Just(Command::Lose),
    ]
}

proptest! {
    #[test]
    fn whoever_is_online_may_be_there(commands in prop::collection::vec(command(), 1..80)) {
        let (mut filter, mut copy) = (Filter::new(), Copy::default());
        let mut online: BTreeMap<u16, u32> = BTreeMap::new();
        for command in commands {
            let (users, comes) = match command {
                Command::Come(user) => (user..user + 1, true),
                Command::Go(user) => (user..user + 1, false),
                Command::Crowd(first) => (first..first + 700, true),
                Command::Leave(first) => (first..first + 700, false),
                Command::Ship => (0..0, true),
                Command::Lose => {
                    copy = Copy::default();
                    filter.begin_anew();
                    (0..0, true)
                }
            };
            for user in users {
                let connections = online.entry(user).or_default();
                match comes {
                    true => {
                        *connections += 1;
                        filter.add(&user.to_string());
                    }
                    false if *connections > 0 => {
                        *connections -= 1;
                        filter.remove(&user.to_string());
                    }
                    false => {}
                }
            }
            online.retain(|_, connections| *connections > 0);
            prop_assert_eq!(filter.len(), online.len());
            if matches!(command, Command::Ship) {
                ship(&mut filter, &mut copy);
                prop_assert!(online.keys().all(|user| copy.may_hold(&user.to_string())));
            }
        }
    }
}

#[test]
fn hardly_anybody_else_may_be_there() {
    let (mut filter, mut copy) = (Filter::new(), Copy::default());
    assert!(copy.may_hold("anybody"), "nothing is known yet");
    for user in 0..20_000 {
        filter.add(&format!("user-{user}"));
    }
    ship(&mut filter, &mut copy);
    assert!((0..20_000).all(|user| copy.may_hold(&format!("user-{user}"))));
    let wrong = (0..200_000).filter(|other| copy.may_hold(&format!("other-{other}"))).count();
    // Two buckets of four slots, at most half full on average, and 65,535 tags: about 12 of 200,000.
    assert!(wrong < 60, "{wrong} of 200,000 are wrong");
    for user in 0..19_990 {
        filter.remove(&format!("user-{user}"));
    }
    ship(&mut filter, &mut copy);
    assert!((19_990..20_000).all(|user| copy.may_hold(&format!("user-{user}"))));
    let stayed = (0..19_990).filter(|user| copy.may_hold(&format!("user-{user}"))).count();
    assert!(stayed < 20, "{stayed} users stayed after they went");
    assert!(filter.table.slots().len() <= 512, "a table for ten users");
}

#[test]
fn a_change_is_small_and_a_new_table_whole() {
    let (mut filter, mut copy) = (Filter::new(), Copy::default());
    (0..900).for_each(|user| filter.add(&format!("user-{user}")));
    assert!(filter.take_changes().is_some_and(|changes| changes.slots.is_some()));
    filter.add("ann");
    let changes = filter.take_changes().unwrap();
    assert!(changes.slots.is_none() && changes.writes.len() <= 600, "of 4,096 bytes: {changes:?}");
    assert_eq!(copy.apply(changes), Err(Broken), "the whole table was never seen");
    filter.begin_anew();
    ship(&mut filter, &mut copy);
    filter.remove("ann");
    filter.take_changes();
    filter.add("bob");
    assert_eq!(copy.apply(filter.take_changes().unwrap()), Err(Broken), "one was left out");
}

#[test]
fn a_table_fills_up_before_it_gives_up_and_then_nothing_has_changed() {
    let mut table = Table::for_users(2_048);
    let (mut held, mut written) = (BTreeSet::new(), Vec::new());
    for user in 0..u64::MAX {
        let before = (table.slots().to_vec(), written.len());
        let hash = super::hash(&user.to_string());
        if !table.insert(hash, &mut written) {
            assert_eq!(before, (table.slots().to_vec(), written.len()));
            break;
        }
        held.insert(hash);
        assert!(held.len() <= table.slots().len());
    }
    assert!(held.len() * 10 > table.slots().len() * 9, "{} of {}", held.len(), table.slots().len());
    assert!(held.iter().all(|hash| table.may_hold(*hash)));
}

#[test]
fn users_with_the_same_buckets_and_tag_go_into_the_stash() {
    let (mut filter, mut copy) = (Filter::new(), Copy::default());
    // Names can't be made to collide here as quickly as an attacker would; hashes can.
    let hashes: Vec<u64> = (0..50).map(|n| 0x1234_0000_0000_0000 | n << 40).collect();
    for hash in &hashes {
        if !filter.table.insert(*hash, &mut filter.written) {
            filter.stash.push(*hash);
        }
        filter.users.insert(*hash, 1);
    }
    assert_eq!(filter.stash.len(), 42, "eight fit into two buckets");
    ship(&mut filter, &mut copy);
    filter.rebuild();
    assert_eq!(filter.stash.len(), 42, "no table is large enough for them");
}

#[test]
fn what_is_not_shipped_for_long_does_not_grow() {
    let (mut filter, mut copy) = (Filter::new(), Copy::default());
    copy.apply(filter.take_changes().unwrap()).unwrap();
    filter.add("ann");
    for nth in 0..10_000 {
        filter.add(&format!("user-{nth}"));
        filter.remove(&format!("user-{nth}"));
        assert!(filter.written.len() * 3 <= filter.table.slots().len());
    }
    copy.apply(filter.take_changes().unwrap()).unwrap();
    assert!(copy.may_hold("ann") && !copy.may_hold("user-1"));
}
