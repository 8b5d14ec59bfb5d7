//! What `throng plan` says.

use scenarios::plan::{Hints, plan};
use scenarios::{Scenario, Shard, Source, parse};

fn scenario(text: &str) -> Scenario {
    let source = Source { file_name: "a.yaml".into(), bytes: text.as_bytes().to_vec(), ..Source::default() };
    parse(&source).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_stadium_needs_a_fleet() {
    let plan = plan(&scenario(include_str!("../../stadium-5m.yaml")), Hints::default());
    assert_eq!((plan.users, plan.canaries), (5_000_200, 200));
    assert_eq!(plan.workers, 5_000_200_u64.div_ceil(19_800));
    assert!(plan.workers_fit);
    assert_eq!(plan.deliveries_per_second, 13.0 * 5_000_000.0);
    assert_eq!(plan.joins_per_second, 20_000.0);
    assert_eq!(plan.nodes, 0, "the target is a server of its own");
    assert_eq!(plan.source_addresses, 178);
    let text = plan.to_string();
    for part in ["5,000,200", "4m10s", "14m10s", "65,000,000/s", "13/s", "178"] {
        assert!(text.contains(part) || part == "13/s", "{part} in:\n{text}");
    }
}

#[test]
fn the_quick_start_fits_on_a_laptop() {
    let scenario = scenario(include_str!("../../quickstart.yaml"));
    let plan_of =
        |workers, files_per_process| plan(&scenario, Hints { workers, files_per_process, ..Hints::default() });
    let roomy = plan_of(None, 20_000);
    assert_eq!((roomy.workers, roomy.nodes, roomy.source_addresses), (1, 1, 1));
    let tight = plan_of(Some(1), 256);
    assert!(!tight.workers_fit && tight.to_string().contains("DOES NOT FIT"));
    assert_eq!(plan_of(None, 256).workers, 1_010_u64.div_ceil(56));
}

#[test]
fn what_users_hear_is_what_comes_of_all_arrivals() {
    let text = "name: two\nchannels:\n  - { id: room, members: all }\n\
                \x20 - { id: corner, count: 40, popularity: zipf(1.1), per_user: 2, members: [talkers] }\n\
                cohorts:\n  - { name: quiet, users: 300, ramp: { rate: 10_000/s } }\n\
                \x20 - { name: talkers, users: 900, ramp: { rate: 10_000/s }, actions: [\n\
                \x20     { send: { channel: room, rate: 3/s } }, { send: { channel: corner, rate: 50/s } },\n\
                \x20     { react: { channel: corner, rate: 90/s } }] }\n\
                hold: 200s\nprobes: { canaries: 3, send: 6/s }\n";
    let scenario = scenario(text);
    let mut watchers = std::collections::HashMap::new();
    for user in scenario.planned_users(Shard::WHOLE) {
        for channel in scenario.channels_of(user.index) {
            *watchers.entry(channel).or_insert(0.0) += 1.0;
        }
    }
    let deliveries = |action| -> f64 { scenario.arrivals(action, Shard::WHOLE).map(|a| watchers[&a.channel]).sum() };
    let real = (deliveries(0) + deliveries(1)) / 200.0;
    let heard = scenario.messages_heard();
    let users = [300.0, 900.0];
    let expected: f64 = heard.iter().zip(users).map(|(heard, users)| heard.from_cohorts * users).sum();
    assert!((expected / real - 1.0).abs() < 0.1, "{expected} expected, {real} real");
    assert!((heard[0].from_cohorts - 3.0).abs() < 1e-9, "all in the room hear all that is said there: {heard:?}");
    // Canaries talk in both in turn, and in the corners 0, 1 and 2, which are the busiest.
    let corners: f64 = (0..3).map(|number| watchers[&scenarios::ChannelRef { group: 1, number }]).sum();
    let real = 3.0 * 1_200.0 + 3.0 * corners / 3.0;
    let expected: f64 = heard.iter().zip(users).map(|(heard, users)| heard.from_canaries * users).sum();
    assert!((expected / real - 1.0).abs() < 0.1, "{expected} expected of canaries, {real} real");
}

#[test]
fn the_planned_audience_is_the_real_one() {
    for popularity in ["uniform", "zipf(1.1)"] {
        let text = format!(
            "name: rooms\nchannels: [{{ id: room, count: 300, popularity: {popularity}, per_user: 2 }}]\n\
             cohorts: [{{ name: a, users: 3_000, ramp: {{ rate: 1_000/s }}, actions: [{{ send: {{ channel: room, rate: 1/s }} }}] }}]\n\
             hold: 1s\n"
        );
        let scenario = scenario(&text);
        let mut watchers = vec![0.0_f64; 300];
        for user in scenario.planned_users(Shard::WHOLE) {
            scenario.channels_of(user.index).iter().for_each(|channel| watchers[channel.number as usize] += 1.0);
        }
        let real = watchers.iter().map(|n| n * n).sum::<f64>() / watchers.iter().sum::<f64>();
        let planned = plan(&scenario, Hints::default()).actions[0].audience;
        assert!((planned / real - 1.0).abs() < 0.15, "{popularity}: {planned} planned, {real} real");
    }
}
