//! Determinism: the same scenario and seed are the same users, the same schedule and the same messages, however many
//! workers share them.

use std::collections::BTreeSet;

use super::{Miss, Target, attempt_undisturbed, counted, finish};

const SCENARIO: &str = "\
name: twice
seed: 9
channels:
  - { id: room, count: 4, members: all }
cohorts:
  - name: people
    users: 40
    ramp: { rate: 40/s }
    actions:
      - send: { channel: room, rate: 40/s, size: 20..200B }
hold: 3s
";

/// A message without what is of its run: id, sender, channel, text, and when it was due since the first one was.
type Said = (String, String, String, String, u64);

struct Once {
    said: BTreeSet<Said>,
    users: BTreeSet<String>,
    dropped: u64,
}

fn once(scenario: &str, workers: u32) -> Once {
    let target = Target::start(|_| {});
    let mut run = target.run(scenario, workers);
    let result = finish(&mut run);
    let truth = target.ledger.truth();
    let suffix = format!("-{}", result["run"].as_str().expect("a run has an id"));
    let due = |stamp: Option<(u16, u64, u64)>| stamp.expect("all messages are throng's").2;
    let first = truth.heard.iter().map(|h| due(h.stamp)).min().expect("something was said");
    let said = truth.heard.iter().map(|h| {
        let id = h.id.strip_suffix(&suffix).expect("who may remember is told which run it is").to_owned();
        (id, h.user.clone(), h.cid.clone(), h.text.clone(), due(h.stamp) - first)
    });
    Once { said: said.collect(), users: truth.users.clone(), dropped: counted(&result, "counters", "dropped") }
}

#[test]
fn two_runs_of_a_seed_are_the_same() {
    attempt_undisturbed(|| {
        let (alone, shared) = (once(SCENARIO, 1), once(SCENARIO, 2));
        if alone.dropped + shared.dropped > 0 {
            let what = "the machine was too slow for somebody to be connected when it was due to talk".to_owned();
            return Err(Miss { what, disturbed: true });
        }
        assert_eq!(alone.users, shared.users);
        assert_eq!(alone.users.len(), 40);
        assert_eq!(alone.said, shared.said);
        assert!(alone.said.len() > 100, "{}", alone.said.len());
        let other = once(&SCENARIO.replace("seed: 9", "seed: 10"), 1);
        assert_eq!(other.users, alone.users, "who is there doesn't depend on the seed");
        assert_ne!(other.said.len(), 0);
        assert_eq!(other.said.intersection(&alone.said).count(), 0, "what they do does");
        Ok(())
    });
}
