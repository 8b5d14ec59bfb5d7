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
