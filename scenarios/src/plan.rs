//! What a scenario needs, before anything is started: the arithmetic of `throng plan`.
//!
//! Every figure follows from the scenario and from the measured constants in `constants`.

use std::time::Duration;

use measure::Cohort;
use serde::Serialize;

use crate::audience::Audience;
use crate::model::{Action, ActionKind, Scenario};

pub use crate::constants::*;

/// What the planner may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// Worker processes; `None`: as many as the files ask for.
    pub workers: Option<u32>,
    /// Chat-server processes; `None`: as many as the files ask for.
    pub nodes: Option<u32>,
    /// Files that a process may have open.
    pub files_per_process: u64,
    /// Local ports of one source address towards one server address.
    pub ports_per_address: u64,
}

impl Default for Hints {
    fn default() -> Self {
        Self { workers: None, nodes: None, files_per_process: 20_000, ports_per_address: PORTS_AN_ADDRESS }
    }
}

/// What a scenario needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// Users of all cohorts, canaries included.
    pub users: u64,
    /// Of which canaries.
    pub canaries: u64,
    /// Users that join in a second, at most.
    pub joins_per_second: f64,
    /// Until the last user has joined.
    pub ramp: Duration,
    /// Until the run ends.
    pub duration: Duration,
    /// Channels of all groups.
    pub channels: u64,
    /// Pairs of a user and a channel that it watches.
    pub memberships: u64,
    /// The actions, in the scenario's order.
    pub actions: Vec<PlannedAction>,
    /// The highest load factor of the phases.
    pub peak_factor: f64,
    /// API calls a second at the peak.
    pub calls_per_second: f64,
    /// Deliveries a second at the peak: each action's rate times its audience.
    pub deliveries_per_second: f64,
    /// Bytes a second from the chat servers to the users at the peak.
    pub bytes_per_second: f64,
    /// Cores for those deliveries, both ends together.
    pub cores: f64,
    /// Worker processes.
    pub workers: u64,
    /// Users of the largest worker.
    pub users_per_worker: u64,
    /// Whether the workers can hold so many, by their files.
    pub workers_fit: bool,
    /// Chat-server processes; 0 if the target is another's.
    pub nodes: u64,
    /// Connections of the largest node.
    pub connections_per_node: u64,
    /// Whether the nodes can hold so many, by their files.
    pub nodes_fit: bool,
    /// Addresses that the target has.
    pub target_addresses: u64,
    /// Source addresses that the connections need, each with its own ports.
    pub source_addresses: u64,
    /// Files that a worker needs.
    pub worker_files: u64,
    /// Files that a process may have.
    pub files_per_process: u64,
    /// Local ports of one source address.
    pub ports_per_address: u64,
    /// Memory of all workers.
    pub worker_bytes: u64,
    /// Memory of all nodes.
    pub node_bytes: u64,
    /// Memory of the kernels, both ends.
    pub kernel_bytes: u64,
}

/// An action in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedAction {
    /// `send`, `react`, `typing` or `read`.
    pub action: &'static str,
    /// The acting cohort.
    pub cohort: String,
    /// The channel, or the stem of many.
    pub channel: String,
    /// A second, at the peak.
    pub rate: f64,
    /// Mean watchers of the channel that it happens in.
    pub audience: f64,
    /// Whether each of them gets an event of it.
    pub broadcast: bool,
    /// Deliveries a second, at the peak.
    pub deliveries_per_second: f64,
    /// Bytes of one delivery on the wire.
    pub bytes: u64,
}

/// Computes what a scenario needs.
pub fn plan(scenario: &Scenario, hints: Hints) -> Plan {
    let timeline = scenario.timeline();
    let canaries = u64::from(scenario.probes.canaries);
    let users = scenario.users().saturating_add(canaries);
    let peak_factor = scenario.load_profile(1.0).peak();
    let actions: Vec<_> =
        scenario.actions().map(|(_, cohort, action)| planned(scenario, cohort, action, peak_factor)).collect();
    let deliveries_per_second: f64 = actions.iter().map(|action| action.deliveries_per_second).sum();

    let room = hints.files_per_process.saturating_sub(FILES_KEPT_BACK).max(1);
    let processes = |hint: Option<u32>| hint.map_or_else(|| users.div_ceil(room), u64::from).max(1);
    let workers = processes(hints.workers);
    let nodes = if scenario.target.urls.is_empty() { processes(hints.nodes) } else { 0 };
    let users_per_worker = users.div_ceil(workers);
    let connections_per_node = users.checked_div(nodes).map_or(0, |_| users.div_ceil(nodes));
    let target_addresses = if nodes > 0 { nodes } else { scenario.target.urls.len() as u64 };
    Plan {
        scenario: scenario.name.clone(),
        users,
        canaries,
        joins_per_second: most_joins(scenario),
        ramp: timeline.ramp,
        duration: timeline.end,
        channels: scenario.channels.iter().map(|group| u64::from(group.count)).sum(),
        memberships: memberships(scenario),
        peak_factor,
        calls_per_second: actions.iter().map(|action| action.rate).sum(),
        deliveries_per_second,
        bytes_per_second: actions.iter().map(|action| action.deliveries_per_second * action.bytes as f64).sum(),
        cores: deliveries_per_second * NANOS_A_DELIVERY as f64 / 1e9,
        actions,
        workers,
        users_per_worker,
        workers_fit: users_per_worker <= room,
        nodes,
        connections_per_node,
        nodes_fit: connections_per_node <= room,
        target_addresses,
        source_addresses: users.div_ceil(hints.ports_per_address.max(1) * target_addresses.max(1)).max(1),
        worker_files: users_per_worker + FILES_KEPT_BACK,
        files_per_process: hints.files_per_process,
        ports_per_address: hints.ports_per_address,
        worker_bytes: users * worker_bytes_a_user(scenario),
        node_bytes: if nodes > 0 { users * NODE_BYTES_A_CONNECTION } else { 0 },
        kernel_bytes: users * KERNEL_BYTES_A_CONNECTION,
    }
}

/// Memory of a connected user in a worker, with TLS if the scenario's target is reached through it.
pub(crate) fn worker_bytes_a_user(scenario: &Scenario) -> u64 {
    let over_tls = scenario.target.urls.iter().any(|url| url.starts_with("wss://"));
    WORKER_BYTES_A_USER + if over_tls { TLS_BYTES_A_USER } else { 0 }
}

fn planned(scenario: &Scenario, cohort: Cohort, action: &Action, peak_factor: f64) -> PlannedAction {
    let group = &scenario.channels[action.channel];
    let audience = Audience::of(scenario, group).mean;
    let (name, text, durable) = match action.kind {
        ActionKind::Send { size } => ("send", u64::midpoint(u64::from(size.min), u64::from(size.max)), true),
        ActionKind::React => ("react", 0, true),
        ActionKind::Typing => ("typing", 0, false),
        ActionKind::Read => ("read", 0, false),
    };
    let broadcast = durable || audience <= MOST_WATCHERS_OF_TYPING;
    let rate = action.rate * peak_factor;
    PlannedAction {
        action: name,
        cohort: scenario.cohorts[usize::from(cohort)].name.clone(),
        channel: group.id.clone(),
        rate,
        audience,
        broadcast,
        deliveries_per_second: if broadcast { rate * audience } else { 0.0 },
        bytes: text + BYTES_AROUND_TEXT + BYTES_AROUND_FRAME,
    }
}

fn memberships(scenario: &Scenario) -> u64 {
    scenario.channels.iter().map(|group| Audience::members(scenario, group) as u64 * u64::from(group.per_user)).sum()
}

/// The highest sum of the cohorts' ramp rates: it changes only where one of them begins.
fn most_joins(scenario: &Scenario) -> f64 {
    let begins = |at: Duration| {
        let joining = scenario.cohorts.iter().filter(|cohort| {
            cohort.ramp_delay <= at
                && at.saturating_sub(cohort.ramp_delay).as_secs_f64() < cohort.users as f64 / cohort.ramp_rate
        });
        joining.map(|cohort| cohort.ramp_rate).sum::<f64>()
    };
    // Beyond a thousand cohorts, an upper bound will do.
    if scenario.cohorts.len() > 1_000 {
        return scenario.cohorts.iter().map(|cohort| cohort.ramp_rate).sum();
    }
    scenario.cohorts.iter().map(|cohort| begins(cohort.ramp_delay)).fold(0.0, f64::max)
}
