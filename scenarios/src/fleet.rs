//! What a fleet of one kind of host needs for a scenario, and what it costs: `throng plan --host`.
//!
//! Every role has limits: what one host of it holds, by memory, processors, network and files. The smallest decides how many
//! hosts there are; the arithmetic of each is kept, for people who want to see it.

use std::time::Duration;

use measure::grouped;
use serde::Serialize;

use crate::hosts::{Host, Prices};
use crate::model::Scenario;
use crate::plan::{
    BUSY_FRAMES, CANARIES_A_PROBE, DATA_PLANE_BYTES, DATA_PLANE_NANOS_A_WORKER, FILES_KEPT_BACK, FLEET_FILES,
    FLEET_NANOS_A_BUSY_DELIVERY, FLEET_NANOS_A_DELIVERY, HEADROOM_USED, Hints, KERNEL_BYTES_A_CONNECTION,
    MINUTES_AROUND_A_RUN, NANOS_A_CONNECT, NODE_BYTES_A_CONNECTION, PORTS_AN_ADDRESS, Plan, plan, worker_bytes_a_user,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// The kind of host.
    pub host: &'a str,
    /// The bundled chat server is measured, whatever the scenario's target is.
    pub bundled: bool,
    /// So many workers; `None`: as many as are needed.
    pub workers: Option<u32>,
}

/// A fleet for one scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fleet {
    /// The scenario's name.
    pub scenario: String,
    /// The kind of host.
    pub kind: String,
    /// What such a host has.
    pub host: Host,
    /// Where, and when it cost so much.
    pub region: String,
    /// The price table's date.
    pub priced_on: String,
    /// Users, canaries included.
    pub users: u64,
    /// Deliveries a second at the busiest moment.
    pub deliveries_per_second: f64,
    /// Packets a second then, to the users: one frame is one packet or more.
    pub packets_per_second: f64,
    /// Bits a second then, to the users.
    pub bits_per_second: f64,
    /// Frames that one user gets a second.
    pub frames_a_user: f64,
    /// Processor time of a delivery, both ends together, in nanoseconds.
    pub nanos_a_delivery: u64,
    /// The hosts, role by role.
    pub roles: Vec<Role>,
    /// Addresses of the service that connections go to.
    pub target_addresses: u64,
    /// Addresses that each worker's host needs, each with its own ports.
    pub source_addresses: u64,
    /// Hosts in all.
    pub hosts: u64,
    /// What the fleet costs an hour, in US dollars.
    pub usd_per_hour: f64,
    /// From boot to the end.
    pub run: Duration,
    /// What one run costs.
    pub usd_per_run: f64,
}

/// One role's hosts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Role {
    /// `workers`, `edges`, …
    pub role: &'static str,
    /// How many hosts.
    pub hosts: u64,
    /// What each of them does, in words.
    pub each: String,
    /// What one host holds, the tightest first; empty where nothing is near its limit.
    pub limits: Vec<Limit>,
    /// Whether so many hosts suffice.
    pub fits: bool,
}

/// What one host holds, by one of the things that it has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// `memory`, `processors`, …
    pub by: &'static str,
    /// So much.
    pub holds: u64,
    /// Of what.
    pub unit: &'static str,
    /// How that was computed.
    pub arithmetic: String,
}

/// Plans a fleet.
///
/// # Errors
/// When there is no such kind of host: the nearest names.
pub fn fleet(scenario: &Scenario, wishes: Wishes<'_>) -> Result<Fleet, String> {
    let prices = Prices::table();
    let host = prices.host(wishes.host)?;
    let needs = plan(scenario, Hints::default());
    let load = Load::of(scenario, &needs, host);
    let workers = load.workers(wishes.workers);
    let (worker_hosts, mut roles) = (workers.hosts, vec![workers]);
    let bundled = wishes.bundled || scenario.target.urls.is_empty();
    let mut target_addresses = scenario.target.urls.len().max(1) as u64;
    if bundled {
        let edges = load.edges();
        target_addresses = edges.hosts;
        roles.push(edges);
        roles.push(load.origin(target_addresses));
    }
    roles.push(load.data_plane(worker_hosts));
    roles.push(Role::one("control plane", "hands out, and keeps leases".to_owned()));
    let probes = needs.canaries.div_ceil(CANARIES_A_PROBE).max(1);
    roles.push(Role { hosts: probes, ..Role::one("probes", format!("{} canaries in all", grouped(needs.canaries))) });
    let hosts = roles.iter().map(|role| role.hosts).sum();
    let usd_per_hour = hosts as f64 * host.usd_per_hour;
    let run = needs.duration + Duration::from_secs(60 * MINUTES_AROUND_A_RUN);
    let users_a_worker = needs.users.div_ceil(worker_hosts);
    Ok(Fleet {
        scenario: needs.scenario.clone(),
        kind: wishes.host.to_owned(),
        host,
        region: prices.region,
        priced_on: prices.date,
        users: needs.users,
        deliveries_per_second: needs.deliveries_per_second,
        packets_per_second: needs.deliveries_per_second * load.packets_a_frame,
        bits_per_second: needs.bytes_per_second * 8.0,
        frames_a_user: load.frames,
        nanos_a_delivery: load.nanos,
        roles,
        target_addresses,
        source_addresses: users_a_worker.div_ceil(PORTS_AN_ADDRESS * target_addresses).max(1),
        hosts,
        usd_per_hour,
        run,
        usd_per_run: usd_per_hour * run.as_secs_f64() / 3_600.0,
    })
}

/// What every user brings, in numbers.
struct Load<'a> {
    needs: &'a Plan,
    host: Host,
    worker_bytes: u64,
    /// Frames and bytes that a user gets a second, at the busiest moment.
    frames: f64,
    bytes: f64,
    packets_a_frame: f64,
    nanos: u64,
}

/// TCP payload of a packet.
const PACKET_BYTES: f64 = 1_448.0;

impl<'a> Load<'a> {
    fn of(scenario: &Scenario, needs: &'a Plan, host: Host) -> Self {
        let users = needs.users.max(1) as f64;
        let frames = needs.deliveries_per_second / users;
        let nanos = if frames >= BUSY_FRAMES { FLEET_NANOS_A_BUSY_DELIVERY } else { FLEET_NANOS_A_DELIVERY };
        let bytes = needs.bytes_per_second / users;
        let packets_a_frame = if frames > 0.0 { (bytes / frames / PACKET_BYTES).ceil().max(1.0) } else { 1.0 };
        let worker_bytes = worker_bytes_a_user(scenario);
        Self { needs, host, worker_bytes, frames, bytes, packets_a_frame, nanos }
    }

    fn workers(&self, asked: Option<u32>) -> Role {
        let mut limits = self.connections(self.worker_bytes, "a user");
        limits.sort_by_key(|limit| limit.holds);
        let needed = hosts_for(self.needs.users, &limits);
        let hosts = asked.map_or(needed, u64::from).max(1);
        let each = format!("{} users", grouped(self.needs.users.div_ceil(hosts)));
        Role { role: "workers", hosts, each, limits, fits: hosts >= needed }
    }

    fn edges(&self) -> Role {
        let mut limits = self.connections(NODE_BYTES_A_CONNECTION, "a connection");
        limits.sort_by_key(|limit| limit.holds);
        let hosts = hosts_for(self.needs.users, &limits);
        let each = format!("{} connections", grouped(self.needs.users.div_ceil(hosts)));
        Role { role: "edges", hosts, each, limits, fits: true }
    }

    /// What a host holds of one end of the connections.
    fn connections(&self, bytes_each: u64, each: &str) -> Vec<Limit> {
        let Host { vcpu, memory_gib, network_gbps, .. } = self.host;
        let (users, unit) = (self.needs.users.max(1) as f64, "users");
        let used = percent(HEADROOM_USED);
        let kernel = KERNEL_BYTES_A_CONNECTION / 2;
        let memory = memory_gib * HEADROOM_USED * f64::from(1 << 30) / (bytes_each + kernel) as f64;
        let mut limits = vec![
            Limit {
                by: "memory",
                holds: memory as u64,
                unit,
                arithmetic: format!(
                    "{used} of {memory_gib} GiB ÷ ({} B {each} + {} B in the kernel)",
                    grouped(bytes_each),
                    grouped(kernel)
                ),
            },
            Limit {
                by: "files",
                holds: FLEET_FILES - FILES_KEPT_BACK,
                unit,
                arithmetic: format!("{} open files − {FILES_KEPT_BACK} kept back", grouped(FLEET_FILES)),
            },
        ];
        let seconds = f64::from(vcpu) * HEADROOM_USED * 1e9;
        if self.frames > 0.0 {
            let (frames, half) = (number(self.frames), number(self.nanos as f64 / 2_000.0));
            limits.push(Limit {
                by: "processors",
                holds: (seconds / (self.frames * self.nanos as f64 / 2.0)) as u64,
                unit,
                arithmetic: format!("{used} of {vcpu} vCPU ÷ ({frames} frames/s × {half} µs at this end)"),
            });
            let bits = self.bytes * 8.0;
            limits.push(Limit {
                by: "network",
                holds: (network_gbps * 1e9 * HEADROOM_USED / bits) as u64,
                unit,
                arithmetic: format!("{used} of {network_gbps} Gbit/s ÷ {} kbit/s a user", number(bits / 1e3)),
            });
        }
        if self.needs.joins_per_second > 0.0 {
            // A host that takes part in the ramp with its share of the users joins the same share of them a second.
            let joins = seconds / (NANOS_A_CONNECT as f64 / 2.0);
            let micros = number(NANOS_A_CONNECT as f64 / 2_000.0);
            limits.push(Limit {
                by: "joining",
                holds: (joins * users / self.needs.joins_per_second) as u64,
                unit,
                arithmetic: format!(
                    "{used} of {vcpu} vCPU ÷ {micros} µs = {} joins/s, of {}/s for {} users",
                    grouped(joins as u64),
                    number(self.needs.joins_per_second),
                    grouped(self.needs.users)
                ),
            });
        }
        limits
    }

    /// The origin numbers and keeps; each event goes to every edge once.
    fn origin(&self, edges: u64) -> Role {
        let Host { vcpu, network_gbps, .. } = self.host;
        let used = percent(HEADROOM_USED);
        let calls = f64::from(vcpu) * HEADROOM_USED * 1e9 / (NANOS_A_CONNECT as f64 / 2.0);
        let actions = self.needs.actions.iter().filter(|action| action.broadcast);
        let out: f64 = actions.map(|action| action.rate * action.bytes as f64).sum::<f64>() * edges as f64;
        let asked = self.needs.calls_per_second + self.needs.joins_per_second;
        let mut limits = vec![Limit {
            by: "processors",
            holds: calls as u64,
            unit: "calls/s",
            arithmetic: format!(
                "{used} of {vcpu} vCPU ÷ {} µs a call; asked: {} (joins included)",
                number(NANOS_A_CONNECT as f64 / 2_000.0),
                number(asked)
            ),
        }];
        let mbit = network_gbps * HEADROOM_USED * 1e3;
        limits.push(Limit {
            by: "network",
            holds: mbit as u64,
            unit: "Mbit/s",
            arithmetic: format!(
                "{used} of {network_gbps} Gbit/s; asked: {} Mbit/s, each event once to {} edges",
                number(out * 8.0 / 1e6),
                grouped(edges)
            ),
        });
        let fits = asked <= calls && out * 8.0 / 1e6 <= mbit;
        let each = format!("{} calls/s, {} links", number(asked), grouped(edges));
        Role { role: "origin", hosts: 1, each, limits, fits }
    }

    fn data_plane(&self, workers: u64) -> Role {
        let Host { vcpu, memory_gib, .. } = self.host;
        let used = percent(HEADROOM_USED);
        let holds = f64::from(vcpu) * HEADROOM_USED * 1e9 / DATA_PLANE_NANOS_A_WORKER as f64;
        let processors = Limit {
            by: "processors",
            holds: holds as u64,
            unit: "workers",
            arithmetic: format!(
                "{used} of {vcpu} vCPU ÷ {} ms a worker and second",
                number(DATA_PLANE_NANOS_A_WORKER as f64 / 1e6)
            ),
        };
        let memory = memory_gib * HEADROOM_USED * f64::from(1 << 30);
        let runs = Limit {
            by: "memory",
            holds: (memory / DATA_PLANE_BYTES as f64) as u64,
            unit: "runs",
            arithmetic: format!("{used} of {memory_gib} GiB ÷ {} MiB a run", grouped(DATA_PLANE_BYTES >> 20)),
        };
        let fits = workers <= processors.holds && runs.holds > 0;
        let each = format!("intervals of {} workers", grouped(workers));
        Role { role: "data plane", hosts: 1, each, limits: vec![processors, runs], fits }
    }
}

impl Role {
    fn one(role: &'static str, each: String) -> Self {
        Self { role, hosts: 1, each, limits: Vec::new(), fits: true }
    }
}

fn hosts_for(users: u64, limits: &[Limit]) -> u64 {
    limits.iter().map(|limit| users.div_ceil(limit.holds.max(1))).max().unwrap_or(1).max(1)
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 100.0).round())
}

/// A number with what matters of it.
pub(crate) fn number(value: f64) -> String {
    if value >= 100.0 { grouped(value.round() as u64) } else { format!("{}", (value * 100.0).round() / 100.0) }
}
