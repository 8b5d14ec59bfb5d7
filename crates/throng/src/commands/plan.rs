//! `throng plan`: what a scenario needs, before anything is started.

use std::time::Duration;

use reports::format;
use scenarios::Scenario;
use scenarios::model::{ActionKind, ChannelGroup, Popularity};
use serde_json::{Value, json};

use crate::args::PlanArgs;
use crate::exit::{Exit, Failure};
use crate::local::sizes::{self, Room};
use crate::scenario;

/// Bytes of a message's frame beside its text: who, where, when, and the numbers.
const FRAME_BYTES: f64 = 600.0;
/// What a scenario makes, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Load {
    messages: f64,
    messages_peak_per_s: f64,
    deliveries: f64,
    deliveries_peak_per_s: f64,
    bytes_peak_per_s: f64,
}

/// Prints what a scenario needs.
///
/// # Errors
/// When it doesn't validate.
pub(crate) fn plan(args: &PlanArgs, open_files: u64) -> Result<Exit, Failure> {
    let loaded = scenario::load(&args.scenario, &args.overrides)?;
    let scenario = &loaded.scenario;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let bundled = scenario.target.urls.is_empty();
    let room = Room { open_files, cores };
    let sizes = sizes::choose(loaded.users(), bundled, args.workers, room);
    let load = load_of(scenario);
    if args.json {
        println!("{}", as_json(scenario, load, &sizes));
    } else {
        print!("{}", as_text(scenario, load, &sizes, room));
    }
    Ok(Exit::Passed)
}

fn load_of(scenario: &Scenario) -> Load {
    let ramp = scenario.timeline().ramp;
    let mut load = Load::default();
    for (_, _, action) in scenario.actions() {
        let ActionKind::Send { size } = action.kind else { continue };
        let profile = scenario.rate_profile(action);
        let audience = audience(scenario, &scenario.channels[action.channel]);
        let (messages, peak) = (profile.total(), profile.peak());
        load.messages += messages;
        load.messages_peak_per_s += peak;
        // While users join, half of them are there on average.
        load.deliveries += (messages - profile.expected_until(ramp) / 2.0) * audience;
        load.deliveries_peak_per_s += peak * audience;
        load.bytes_peak_per_s += peak * audience * (FRAME_BYTES + f64::from(size.min + size.max) / 2.0);
    }
    load
}

/// Users that get one message of a group, on average, once all have joined.
fn audience(scenario: &Scenario, group: &ChannelGroup) -> f64 {
    let members = group.members.iter().map(|c| scenario.cohorts[usize::from(*c)].users as f64).sum::<f64>();
    let weight = |k: u32| match group.popularity {
        Popularity::Uniform => 1.0,
        Popularity::Zipf(s) => f64::from(k + 1).powf(-s),
    };
    let sum: f64 = (0..group.count).map(weight).sum();
    // A channel is as often written to as it is watched, so popular ones count twice.
    let shares = (0..group.count).map(|k| weight(k) / sum);
    shares.map(|share| share * (members * f64::from(group.per_user) * share).min(members)).sum()
}

type Chosen = Result<sizes::Sizes, String>;

fn as_json(scenario: &Scenario, load: Load, sizes: &Chosen) -> Value {
    let timeline = scenario.timeline();
    let phases = timeline
        .phases
        .iter()
        .map(|(name, start, end)| json!({"name": name, "start_s": start.as_secs_f64(), "end_s": end.as_secs_f64()}));
    json!({
        "name": scenario.name,
        "users": scenario.users(),
        "duration_s": timeline.end.as_secs_f64(),
        "phases": phases.collect::<Vec<_>>(),
        "messages": load.messages.round(),
        "messages_peak_per_s": load.messages_peak_per_s,
        "deliveries": load.deliveries.round(),
        "deliveries_peak_per_s": load.deliveries_peak_per_s,
        "bytes_peak_per_s": load.bytes_peak_per_s.round(),
        "workers": sizes.as_ref().ok().map(|s| s.workers),
        "refused": sizes.as_ref().err(),
    })
}

fn as_text(scenario: &Scenario, load: Load, sizes: &Chosen, room: Room) -> String {
    let timeline = scenario.timeline();
    let span = |d: Duration| format::span(d.as_secs_f64());
    let users = scenario.users();
    let mut rows = vec![
        ("users", format::count(users)),
        ("takes", format!("{}, of which joining {}", span(timeline.end), span(timeline.ramp))),
        (
            "messages",
            format!(
                "{}, at most {}",
                format::count(load.messages as u64),
                format::per_second(load.messages_peak_per_s)
            ),
        ),
        (
            "deliveries",
            format!(
                "{}, at most {}",
                format::count(load.deliveries as u64),
                format::per_second(load.deliveries_peak_per_s)
            ),
        ),
        (
            "traffic",
            format!(
                "about {}/s from the service to its users at the peak",
                format::bytes(load.bytes_peak_per_s as u64)
            ),
        ),
    ];
    match sizes {
        Ok(sizes) => {
            let files = users.div_ceil(u64::from(sizes.workers.max(1))) + room.beside_users();
            let files = format!("{} each", format::counted(files, "open file", "open files"));
            rows.push(("workers", format!("{} here, {files}", sizes.workers)));
            if scenario.target.urls.is_empty() {
                let files = users + room.beside_users_of_server(u64::from(sizes.workers));
                rows.push(("chat server", format!("1 here, {} open files", format::count(files))));
            }
        }
        Err(why) => rows.push(("this machine", format!("is too small: {why}"))),
    }
    let title = format!("{}: {}\n", scenario.name, scenario.description);
    rows.into_iter().fold(title, |text, (name, value)| format!("{text}{name:<14}{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(channels: &str) -> Scenario {
        let text = format!(
            "name: p\nchannels:\n  - {channels}\ncohorts:\n  - name: fans\n    users: 100\n    ramp: {{ rate: 100/s }}\n    \
             actions:\n      - send: {{ channel: room, rate: 5/s, size: 100B }}\nhold: 9s\n"
        );
        let source = scenarios::Source { file_name: "p".into(), bytes: text.into_bytes(), ..Default::default() };
        scenarios::parse(&source).unwrap_or_else(|d| panic!("{d}"))
    }

    #[test]
    fn a_message_reaches_everybody_in_its_room() {
        let load = load_of(&scenario("{ id: room }"));
        assert!((load.messages - 50.0).abs() < 0.1, "{load:?}");
        assert!((load.deliveries - 4_750.0).abs() < 10.0, "{load:?}");
        assert!((load.deliveries_peak_per_s - 500.0).abs() < 0.1, "{load:?}");
    }

    #[test]
    fn many_rooms_share_the_crowd() {
        let even = load_of(&scenario("{ id: room, count: 10 }"));
        assert!((even.deliveries_peak_per_s - 50.0).abs() < 0.1, "{even:?}");
        let skewed = load_of(&scenario("{ id: room, count: 10, popularity: zipf(1.5) }"));
        assert!(skewed.deliveries_peak_per_s > 100.0, "{skewed:?}");
    }
}
