//! The shards of a scenario sum to the whole, for every number of them.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use scenarios::model::*;
use scenarios::{Arrival, PlannedUser, Scenario, Shard};

fn action(kind: ActionKind, channel: usize, rate: f64, arrivals: Arrivals) -> Action {
    Action { kind, channel, rate, arrivals }
}

fn cohort(name: &str, users: u64, ramp_rate: f64, ramp_delay: Duration, actions: Vec<Action>) -> CohortSpec {
    let churn = |min, max| Some(Range { min: Duration::from_secs(min), max: Duration::from_secs(max) });
    let (lifetime, rejoin) = if users.is_multiple_of(2) { (churn(2, 5), churn(1, 3)) } else { (None, None) };
    let (name, transport, compression) = (name.to_owned(), Transport::default(), Compression::default());
    CohortSpec { name, users, transport, compression, ramp_rate, ramp_delay, lifetime, rejoin, actions }
}

fn rooms(count: u32, per_user: u32, popularity: Popularity, members: Vec<u16>) -> ChannelGroup {
    ChannelGroup { id: "room".into(), channel_type: "messaging".into(), count, popularity, members, per_user }
}

fn scenario(seed: u64, users: (u64, u64), ramp: (f64, f64), count: u32, per_user: u32, zipf: Option<f64>) -> Scenario {
    let popularity = zipf.map_or(Popularity::Uniform, Popularity::Zipf);
    let send = ActionKind::Send { size: Range { min: 10, max: 20 } };
    Scenario {
        name: "shards".into(),
        description: String::new(),
        seed,
        target: TargetSpec::default(),
        channels: vec![
            rooms(1, 1, Popularity::Uniform, vec![0, 1]),
            rooms(count, per_user.min(count), popularity, vec![1]),
        ],
        cohorts: vec![
            cohort("fans", users.0, ramp.0, Duration::ZERO, vec![action(send, 0, 20.0, Arrivals::Even)]),
            cohort(
                "chatters",
                users.1,
                ramp.1,
                Duration::from_millis(300),
                vec![action(send, 1, 50.0, Arrivals::Poisson), action(ActionKind::Typing, 1, 9.0, Arrivals::Poisson)],
            ),
        ],
        phases: vec![
            Phase { name: "hold".into(), duration: Duration::from_secs(3), shape: Shape::Hold(1.0) },
            Phase { name: "up".into(), duration: Duration::from_secs(2), shape: Shape::Slope { from: 1.0, to: 4.0 } },
            Phase {
                name: "swing".into(),
                duration: Duration::from_secs(4),
                shape: Shape::Wave { min: 0.0, max: 2.0, period: Duration::from_secs(2) },
            },
        ],
        probes: ProbeSpec::default(),
        thresholds: Vec::new(),
        on_worker_loss: WorkerLoss::Continue,
    }
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    (
        any::<u64>(),
        (1_u64..200, 0_u64..200),
        (1.0..300.0_f64, 1.0..300.0_f64),
        1_u32..40,
        1_u32..6,
        proptest::option::of(0.2..3.0_f64),
    )
        .prop_map(|(seed, users, ramp, count, per_user, zipf)| scenario(seed, users, ramp, count, per_user, zipf))
}

fn shards(count: u32) -> impl Iterator<Item = Shard> {
    (0..count).map(move |index| Shard::new(index, count).expect("index < count"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn users_of_all_shards_are_the_users(scenario in any_scenario(), count in 1_u32..9, at in 0_u64..3_000) {
        let whole: Vec<PlannedUser> = scenario.planned_users(Shard::WHOLE).collect();
        prop_assert_eq!(whole.len() as u64, scenario.users());
        prop_assert!(whole.is_sorted_by_key(|user| user.joins_at));
        let mut union = Vec::new();
        for shard in shards(count) {
            let share: Vec<_> = scenario.planned_users(shard).collect();
            prop_assert_eq!(share.len() as u64, scenario.users_in(shard));
            prop_assert!(share.is_sorted_by_key(|user| user.joins_at));
            prop_assert!(share.iter().all(|user| user.index % u64::from(count) == u64::from(shard.index)));
            union.extend(share);
        }
        union.sort_by_key(|user| (user.joins_at, user.index));
        prop_assert_eq!(&union, &whole);

        let at = Duration::from_millis(at);
        let joined = whole.iter().filter(|user| user.joins_at <= at).count() as u64;
        prop_assert_eq!(scenario.users_planned_at(Shard::WHOLE, at), joined);
        prop_assert_eq!(shards(count).map(|shard| scenario.users_planned_at(shard, at)).sum::<u64>(), joined);
    }

    #[test]
    fn arrivals_of_all_shards_are_the_arrivals(scenario in any_scenario(), count in 1_u32..9) {
        let joins: BTreeMap<u64, Duration> = scenario.planned_users(Shard::WHOLE).map(|u| (u.index, u.joins_at)).collect();
        for (number, cohort, action) in scenario.actions() {
            let whole: Vec<Arrival> = scenario.arrivals(number, Shard::WHOLE).collect();
            prop_assert!(whole.is_sorted_by_key(|arrival| (arrival.at, arrival.number)));
            let mut union: Vec<_> = shards(count).flat_map(|shard| {
                scenario.arrivals(number, shard).inspect(move |arrival| assert!(shard.holds(arrival.user)))
            }).collect();
            union.sort_by_key(|arrival| arrival.number);
            prop_assert_eq!(&union, &whole);
            for arrival in &whole {
                prop_assert!(joins[&arrival.user] < arrival.at && arrival.at <= scenario.timeline().end);
                prop_assert_eq!(scenario.cohort_of(arrival.user).map(|(c, _)| c), Some(cohort));
                prop_assert_eq!(usize::from(arrival.channel.group), action.channel);
                prop_assert!(scenario.channels_of(arrival.user).contains(&arrival.channel));
                prop_assert_eq!(arrival.size > 0, matches!(action.kind, ActionKind::Send { .. }));
            }
        }
    }

    #[test]
    fn a_user_is_the_same_whoever_asks(scenario in any_scenario(), visit in 0_u32..5) {
        for user in 0..scenario.users() {
            let (cohort, _) = scenario.cohort_of(user).expect("a user of the scenario");
            let spec = &scenario.cohorts[usize::from(cohort)];
            let stay = scenario.stays(user, visit);
            prop_assert_eq!(stay, scenario.stays(user, visit));
            prop_assert_eq!(stay.stays_for.is_some(), spec.lifetime.is_some());
            if let (Some(stays_for), Some(range)) = (stay.stays_for, spec.lifetime) {
                prop_assert!(range.min <= stays_for && stays_for <= range.max);
            }
            let channels = scenario.channels_of(user);
            let wanted: u32 = scenario.channels.iter().filter(|g| g.members.contains(&cohort)).map(|g| g.per_user).sum();
            prop_assert_eq!(channels.len() as u32, wanted);
            prop_assert!(scenario.user_id(user).starts_with(&spec.name));
        }
    }
}

#[test]
fn ids_have_one_length_and_number_only_the_many() {
    let scenario = scenario(1, (100, 1000), (100.0, 100.0), 3, 1, None);
    assert_eq!((scenario.user_id(0), scenario.user_id(99)), ("fans-00".into(), "fans-99".into()));
    assert_eq!((scenario.user_id(100), scenario.user_id(1099)), ("chatters-000".into(), "chatters-999".into()));
    let names: Vec<_> = scenario.channels_of(500).into_iter().map(|channel| scenario.cid(channel)).collect();
    assert_eq!(names[0], "messaging:room");
    assert!(names[1].starts_with("messaging:room-"));
}

#[test]
fn the_timeline_has_no_gaps_and_the_load_follows_it() {
    let scenario = scenario(1, (100, 1), (100.0, 100.0), 3, 1, None);
    let timeline = scenario.timeline();
    assert_eq!(timeline.ramp, Duration::from_secs(1));
    assert_eq!(timeline.end, Duration::from_secs(10));
    assert!(timeline.phases.windows(2).all(|pair| pair[0].2 == pair[1].1));
    assert_eq!(timeline.phase_at(Duration::from_millis(4_500)), Some("up"));
    let factor = |millis| scenario.load_factor(Duration::from_millis(millis));
    assert_eq!((factor(500), factor(5_000), factor(10_000)), (1.0, 2.5, 0.0));
    assert!((factor(6_500) - 2.0).abs() < 0.01 && factor(7_500) < 0.01, "a wave swings upwards first");
}

#[test]
fn five_million_users_are_planned_without_being_stored() {
    let scenario = scenario(2021, (5_000_000, 3), (20_000.0, 1.0), 3, 1, None);
    let clock = measure::Clock::System;
    let started = clock.now();
    let shard = Shard::new(7, 100).expect("7 < 100");
    assert_eq!(scenario.planned_users(shard).count() as u64, scenario.users_in(shard));
    let last = scenario.planned_users(shard).last().expect("many");
    assert!(last.joins_at < scenario.timeline().ramp);
    let watched = scenario.channels_of(last.index);
    assert_eq!(watched.len(), 1);
    // A debug build; an iterator that walked all five million for each user would take hours.
    assert!(clock.now().since(started) < Duration::from_secs(20));
}
