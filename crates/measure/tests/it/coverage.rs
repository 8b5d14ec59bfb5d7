//! However users are spread over recorders, and whenever these are taken, the account by event and the first examples are
//! the same, and they are what a plain count says.

use std::collections::BTreeMap;

use measure::{Covered, EXAMPLES_MAX, Interval, MessageKey, Mishap, Place, Recorder, Timestamp};
use proptest::prelude::*;

const CHANNELS: [&str; 2] = ["messaging:den", "livestream:stadium"];

/// One user's visit to one channel, from the number `base` on, and what it lacks of it.
#[derive(Clone, Debug)]
struct Visit {
    channel: u32,
    base: u64,
    missed: Vec<bool>,
}

fn visit() -> impl Strategy<Value = Visit> {
    let missed = prop::collection::vec(prop::bool::weighted(0.2), 0..12);
    (0..2_u32, 0..20_u64, missed).prop_map(|(channel, base, missed)| Visit { channel, base, missed })
}

fn record(recorder: &mut Recorder, visit: &Visit, user: u64, at: u64) {
    let Visit { channel, base, missed } = visit;
    recorder.cover(*channel, Covered::Watched, base + 1, base + missed.len() as u64);
    for (number, missed) in (base + 1..).zip(missed) {
        if *missed {
            recorder.cover(*channel, Covered::Missed, number, number);
            recorder.example(Mishap::Lost, Timestamp::from_nanos(at), user, *channel, (number, number));
        } else {
            let place = Place { channel: *channel, number, sent: Timestamp::from_nanos(number) };
            let message = MessageKey::new(*channel as u16, number);
            recorder.record_delivery(message, Some(place), 0, 50, 40);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_split_over_recorders_gives_the_same_account(
        visits in prop::collection::vec((visit(), 0..4_usize, any::<bool>()), 0..40),
        order in any::<prop::sample::Index>(),
    ) {
        let mut recorders: Vec<Recorder> = (0..4).map(|_| Recorder::new(1, Timestamp::default())).collect();
        for recorder in &mut recorders {
            (0..).zip(CHANNELS).for_each(|(number, name)| recorder.channel(number, name));
        }
        let mut parts: Vec<Interval> = Vec::new();
        let mut model: BTreeMap<(usize, u64), (i64, i64)> = BTreeMap::new();
        let mut lost = Vec::new();
        for (user, (visit, recorder, take)) in (0_u64..).zip(&visits) {
            // Several users settle at the same instant.
            let at = user / 3;
            record(&mut recorders[*recorder], visit, user, at);
            for (number, missed) in (visit.base + 1..).zip(&visit.missed) {
                let (watched, lacking) = model.entry((visit.channel as usize, number)).or_default();
                (*watched, *lacking) = (*watched + 1, *lacking + i64::from(*missed));
                if *missed {
                    lost.push((at, user, number));
                }
            }
            if *take {
                parts.push(recorders[*recorder].take(Timestamp::from_nanos(at)));
            }
        }
        parts.extend(recorders.iter_mut().map(|r| r.take(Timestamp::from_nanos(99))));
        let turn = order.index(parts.len());
        parts.rotate_left(turn);
        let mut sum = Interval::default();
        parts.iter().for_each(|part| sum.merge(&Interval::decode(&part.encode()).unwrap()));

        prop_assert_eq!(sum.uncovered, 0);
        for (channel, name) in CHANNELS.into_iter().enumerate() {
            let found = sum.coverage.remove(name).unwrap_or_default();
            let (mut watched, mut missed) = (found.watched.reader(), found.missed.reader());
            for number in 0..40 {
                let truth = model.get(&(channel, number)).copied().unwrap_or_default();
                prop_assert_eq!((watched.at(number), missed.at(number)), truth, "{} {}", name, number);
                let heard = found.messages.get(&number).map(|named| named.message);
                let told = truth.0 > truth.1;
                prop_assert_eq!(heard, told.then(|| MessageKey::new(channel as u16, number)));
                if told {
                    let receipt = &sum.receipts[&MessageKey::new(channel as u16, number)];
                    prop_assert_eq!(receipt.count() as i64, truth.0 - truth.1, "receipts say the same");
                }
            }
            let of = model.iter().filter(|((c, _), _)| *c == channel).map(|(_, counts)| counts);
            prop_assert_eq!(found.watched.total(), of.map(|(w, _)| i128::from(*w)).sum::<i128>());
        }
        lost.sort_unstable();
        lost.truncate(EXAMPLES_MAX);
        let shown = sum.examples.of(Mishap::Lost).iter().map(|e| (e.at.as_nanos(), e.user, e.first)).collect::<Vec<_>>();
        prop_assert_eq!(shown, lost, "the first by time, then user");
    }
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let mut recorder = Recorder::new(0, Timestamp::default());
    recorder.channel(0, CHANNELS[0]);
    (0..150_000).for_each(|n| recorder.cover(0, Covered::Missed, 3 * n + 1, 3 * n + 1));
    let taken = recorder.take(Timestamp::default());
    assert_eq!(taken.coverage[CHANNELS[0]].len() as u64 / 2 + taken.uncovered, 150_000);
    assert!(taken.uncovered > 0);
    recorder.cover(0, Covered::Missed, 1, 1);
    assert_eq!(recorder.take(Timestamp::default()).uncovered, 0, "the next interval has room again");
}

#[test]
fn a_recorder_gives_ten_examples_of_a_kind_and_no_more() {
    let mut recorder = Recorder::new(0, Timestamp::default());
    recorder.channel(0, CHANNELS[0]);
    let mut all = 0;
    for second in 0..20 {
        for user in 0..3 {
            recorder.example(Mishap::Duplicated, Timestamp::from_nanos(second), user, 0, (7, 7));
        }
        all += recorder.take(Timestamp::from_nanos(second)).examples.of(Mishap::Duplicated).len();
    }
    assert_eq!(all, EXAMPLES_MAX);
}
