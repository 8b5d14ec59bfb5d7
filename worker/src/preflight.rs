//! Can this worker hold its share? Asked before the start, answered with the arithmetic.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use client::{CallError, ConnectError, Endpoint, Trust};
use measure::Clock;
use proto::control as pb;
use scenarios::{Scenario, Source};

use crate::load::{WITHIN, caller};
use crate::machine::{Machine, OTHER_FILES, POLLED_BYTES, TLS_BYTES, USER_BYTES, calls_a_thread};
use crate::plan::{Plan, SharedPlan, TakenOver, apis};
use crate::sources;
use crate::tokens::TokenSource;

/// Makes a plan of an order, and checks that it can be carried out.
///
/// # Errors
/// Why not, in words.
pub(crate) async fn prepare(
    order: pb::Prepare,
    machine: &Machine,
    threads: u32,
    clock: &Clock,
) -> Result<SharedPlan, String> {
    let mut plan = plan(order, 0, clock).await?;
    // To each of the endpoints that it speaks to, with files for all.
    plan.calls = calls_a_thread(machine.open_files, u64::from(threads) * plan.spread().reach());
    plan.sources = match machine.sources.as_slice() {
        [] => {
            let (all, users) = (plan.scenario.users(), plan.users());
            sources::on_loopback(&plan.endpoints, machine.ports, all, users, plan.shard.index)
        }
        given => given.to_vec(),
    };
    sources::check(&plan.sources)?;
    fits(&plan, machine, threads)?;
    reach(&plan).await?;
    Ok(Arc::new(plan))
}

/// The scenario of an order.
///
/// # Errors
/// When there is none, or it doesn't validate.
pub(crate) fn scenario_of(given: Option<pb::Scenario>) -> Result<Scenario, String> {
    let given = given.ok_or("the order has no scenario")?;
    let scenario = scenarios::parse(&Source {
        file_name: given.file_name,
        bytes: given.source.to_vec(),
        overrides: given.overrides,
        variables: given.variables.into_iter().collect(),
        base_dir: PathBuf::from(given.base_dir),
    });
    scenario.map_err(|e| format!("the scenario doesn't validate here: {e}"))
}

async fn plan(order: pb::Prepare, calls: u64, clock: &Clock) -> Result<Plan, String> {
    if order.rehearsal_speed > 0.0 {
        return Err("this is a rehearsal, and this worker makes real load: rehearse with throng rehearse".into());
    }
    let scenario = scenario_of(order.scenario)?;
    let shard = scenario.shard(order.shard_index, order.shard_count).map_err(|e| e.to_string())?;
    let target = order.target.unwrap_or_default();
    let urls = if target.urls.is_empty() { &scenario.target.urls } else { &target.urls };
    let trust = Trust::of(&target.ca).map_err(|e| format!("the target's CA can't be used: {e}"))?;
    let mut endpoints = Vec::new();
    for url in urls {
        let endpoint = Endpoint::parse(url).map_err(|e| words(&e))?.trusting(trust.clone());
        endpoints.extend(endpoint.resolved().await.map_err(|e| words(&e))?.apart().await);
    }
    if endpoints.is_empty() {
        return Err("no target: name one in the scenario (target.url) or with --target".into());
    }
    let api_key = match &scenario.target.api_key {
        _ if !target.api_key.is_empty() => target.api_key.clone(),
        own => own.clone().unwrap_or_default(),
    };
    let tokens = TokenSource::open(&scenario, &target.api_secret)?;
    let remembers = !target.bundled;
    Ok(Plan {
        run: order.run,
        scenario,
        shard,
        endpoints,
        api_key,
        remembers,
        tokens,
        calls,
        sources: Vec::new(),
        clock: clock.clone(),
        taken_over: None,
    })
}

fn words(error: &ConnectError) -> String {
    format!("the target can't be used: {error}")
}

/// Files, memory, ports.
fn fits(plan: &Plan, machine: &Machine, threads: u32) -> Result<(), String> {
    let users = plan.users();
    let targets = plan.endpoints.len() as u64;
    let calls = u64::from(threads) * plan.spread().reach() * plan.calls;
    let files = users + calls + OTHER_FILES;
    if files > machine.open_files {
        return Err(format!(
            "{users} users need {files} open files ({users} connections + {calls} for API calls + {OTHER_FILES} others), \
             and this process may have {}: raise the limit (ulimit -n {files}) or add workers",
            machine.open_files
        ));
    }
    let over_tls = plan.endpoints.iter().any(Endpoint::tls);
    let each = USER_BYTES + if over_tls { TLS_BYTES } else { 0 };
    let polled = plan.polled_users();
    let bytes = users * each + polled * POLLED_BYTES;
    if bytes > machine.available {
        return Err(format!(
            "{users} users need about {} MiB ({} KiB each{}), and {} MiB are available here: add workers on other hosts",
            bytes >> 20,
            each >> 10,
            if polled > 0 {
                format!(", and {} KiB for each of {polled} that poll", POLLED_BYTES >> 10)
            } else {
                String::new()
            },
            machine.available >> 20
        ));
    }
    let (most, sources) = (busiest(plan), plan.sources.len());
    let ports = machine.ports.saturating_sub(if sources == 0 { u64::from(threads) * plan.calls } else { 0 });
    if most > ports {
        let from =
            if sources == 0 { "this host's address".to_owned() } else { format!("each of {sources} source addresses") };
        return Err(format!(
            "{users} users need as many local ports: {most} from one address to one of {targets} target(s), and from \
             {from} there are {ports} left: add source addresses (throng worker --source-address), widen \
             net.ipv4.ip_local_port_range, or add targets or hosts"
        ));
    }
    Ok(())
}

/// A share of a run, and the threads that hold it.
pub(crate) type Held = (SharedPlan, u32);

/// The plan of another shard of the run whose shares are `held`, our own first, if there is room for it beside them.
///
/// # Errors
/// Why not, in words.
pub(crate) fn adopt(order: &pb::Adopt, held: &[Held], machine: &Machine) -> Result<Held, String> {
    let (own, own_threads) = held.first().ok_or("it has no users of its own")?;
    let shard = own.scenario.shard(order.shard_index, order.shard_count).map_err(|e| e.to_string())?;
    let taken_over = Some(TakenOver { of: order.lost_count });
    let mut plan = Plan { shard, taken_over, ..(**own).clone() };
    // As crowded as our own users' threads.
    let threads = (plan.users() * u64::from(*own_threads)).div_ceil(own.users().max(1));
    let threads = threads.clamp(1, u64::from(*own_threads)) as u32;
    let files: u64 =
        held.iter().map(|(p, threads)| p.users() + u64::from(*threads) * p.spread().reach() * p.calls).sum();
    let ports: u64 = held.iter().map(|(p, _)| busiest(p)).sum();
    let left = Machine {
        open_files: machine.open_files.saturating_sub(files),
        ports: machine.ports.saturating_sub(ports),
        ..machine.clone()
    };
    plan.calls = calls_a_thread(left.open_files, u64::from(threads) * plan.spread().reach()).min(own.calls);
    fits(&plan, &left, threads).map_err(|why| format!("beside the users that it has there is no room: {why}"))?;
    Ok((Arc::new(plan), threads))
}

/// The most users that connect from one source address to one target.
fn busiest(plan: &Plan) -> u64 {
    let mut pairs = HashMap::new();
    for n in 0..plan.users() {
        let user = plan.shard.user(n);
        *pairs.entry((plan.endpoint_of(user, 0), plan.source_of(user))).or_insert(0) += 1;
    }
    pairs.into_values().max().unwrap_or(0)
}

/// The target is there, speaks HTTP, and takes our users' tokens.
async fn reach(plan: &Plan) -> Result<(), String> {
    let identity = plan.tokens.identity(&plan.scenario, plan.shard.user(0));
    for api in apis(plan, 1, WITHIN) {
        let at = api.http().endpoint().authority();
        match api.app(caller(&identity)).await {
            Ok(_) => {}
            Err(CallError::Status(error)) if matches!(error.status, 401 | 403) => {
                return Err(format!(
                    "the target {at} doesn't take this run's tokens: {error}; check api_key and tokens"
                ));
            }
            // It is a service, if one that has no such endpoint.
            Err(CallError::Status(error)) if error.status < 500 => {}
            Err(error) => return Err(format!("the target {at} is not ready: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use scenarios::Shard;
    use wire::token::TokenKey;

    use super::*;

    fn plan_of(users: u64) -> Plan {
        let yaml = format!(
            "name: t\nchannels: [{{id: den}}]\ncohorts: [{{name: fans, users: {users}, ramp: {{rate: 100/s}}}}]\nhold: 1s\n"
        );
        let source = Source { file_name: "t.yaml".into(), bytes: yaml.into_bytes(), ..Source::default() };
        let scenario: Scenario = scenarios::parse(&source).unwrap_or_else(|e| panic!("{e}"));
        Plan {
            run: "r".into(),
            scenario,
            shard: Shard::WHOLE,
            endpoints: vec![Endpoint::parse("ws://127.0.0.1:1").unwrap()],
            api_key: "k".into(),
            remembers: false,
            tokens: TokenSource::Signed(TokenKey::new("s")),
            calls: calls_a_thread(1_000, 2),
            sources: Vec::new(),
            clock: Clock::System,
            taken_over: None,
        }
    }

    #[tokio::test]
    async fn only_who_may_remember_is_told_the_run_in_message_ids() {
        let yaml =
            "{name: t, seed: 4, channels: [{id: den}], cohorts: [{name: fans, users: 1, ramp: {rate: 1/s}}], hold: 1s}";
        let id = async |run: &str, bundled| {
            let scenario = pb::Scenario { source: yaml.into(), ..pb::Scenario::default() };
            let urls = vec!["ws://127.0.0.1:1".to_owned()];
            let target = pb::Target { urls, api_secret: "s".into(), bundled, ..pb::Target::default() };
            let (scenario, target) = (Some(scenario), Some(target));
            let order = pb::Prepare { run: run.into(), shard_count: 1, scenario, target, ..pb::Prepare::default() };
            plan(order, 4, &Clock::System).await.unwrap().message_id(2, 7)
        };
        assert_eq!(id("run-1", true).await, "t-4-2-7");
        assert_eq!(id("run-1", true).await, id("run-2", true).await, "the same seed: the same ids");
        assert_eq!(id("run-2", false).await, "t-4-2-7-run-2");
    }

    #[test]
    fn refusals_show_their_arithmetic() {
        let machine = Machine { open_files: 1_000, available: 1 << 34, ports: 28_232, ..Machine::default() };
        let refused = fits(&plan_of(1_000), &machine, 2).unwrap_err();
        assert!(refused.contains("need 1104 open files") && refused.contains("ulimit -n 1104"), "{refused}");
        let machine = Machine { open_files: 1 << 20, ..machine };
        assert_eq!(fits(&plan_of(1_000), &machine, 2), Ok(()));
        assert!(fits(&plan_of(28_200), &machine, 2).unwrap_err().contains("local ports"));
        let mut more = plan_of(56_400);
        more.sources = sources::parse("127.0.0.1-127.0.0.2").unwrap();
        assert_eq!(fits(&more, &machine, 2), Ok(()), "28,200 from each");
        more.sources.pop();
        let refused = fits(&more, &machine, 2).unwrap_err();
        assert!(refused.contains("56400 from one address") && refused.contains("--source-address"), "{refused}");
        let small = Machine { available: 2 << 20, ..machine };
        assert!(fits(&plan_of(1_000), &small, 2).unwrap_err().contains("3 MiB (4 KiB each)"));
        let mut secret = plan_of(1_000);
        secret.endpoints = vec![Endpoint::parse("wss://127.0.0.1:1").unwrap()];
        assert!(fits(&secret, &small, 2).unwrap_err().contains("13 MiB (14 KiB each)"));
    }

    #[test]
    fn users_are_taken_over_where_there_is_room_beside_those_that_are_there() {
        let machine = Machine { open_files: 950, available: 1 << 34, ports: 28_232, ..Machine::default() };
        let own = Plan { shard: Shard::new(0, 3).unwrap(), ..plan_of(1_200) };
        let mut held = vec![(Arc::new(own), 2)];
        let order = |shard_index| pb::Adopt { shard_index, shard_count: 6, lost_count: 3, ..pb::Adopt::default() };
        let (first, threads) = adopt(&order(1), &held, &machine).unwrap();
        assert_eq!((first.users(), threads), (200, 1), "half of a third, as crowded as the 400");
        held.push((first, threads));
        let refused = adopt(&order(4), &held, &machine).unwrap_err();
        assert!(refused.contains("no room: 200 users need") && refused.contains("open files"), "{refused}");
        let roomy = Machine { open_files: 10_000, ports: 700, ..machine.clone() };
        assert!(adopt(&order(4), &held, &roomy).unwrap_err().contains("local ports"));
        assert!(adopt(&order(4), &held, &Machine { ports: 1_000, ..roomy }).is_ok());
        assert!(adopt(&pb::Adopt::default(), &held, &machine).is_err(), "no shard");
    }

    #[tokio::test]
    async fn a_target_that_is_not_there_is_named() {
        assert!(reach(&plan_of(1)).await.unwrap_err().contains("127.0.0.1:1 is not ready"));
    }
}
