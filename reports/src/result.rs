//! What a run says: merged, judged, versioned. `result.json` is this type, and the only input of every view.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod events;
mod gaps;
mod rehearsed;

pub use events::{
    ByEvent, EVENTS_VERSION, Example, Examples, FanoutInfo, Lacking, MISSED_MAX, MessageCounts, MissedEvent,
};
pub use gaps::GapInfo;
pub use rehearsed::Rehearsed;

/// The version of the format; readers refuse another.
pub const SCHEMA: &str = "throng.result/1";

/// Everything that a report shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// What was run.
    pub scenario: ScenarioInfo,
    /// Passed, failed, or invalid, and why.
    pub verdict: VerdictInfo,
    /// When the start instant was, RFC 3339.
    pub started_at: String,
    /// From the start instant to the end of the drain, in seconds.
    pub duration_s: f64,
    /// The base URLs under test.
    pub target: String,
    /// Whether that is the bundled chat server.
    pub bundled: bool,
    /// Set if it was a rehearsal: nothing was measured, and all users were simulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Rehearsed>,
    /// throng's version.
    pub version: String,
    /// The throng that the run was started with: version and commit; empty in results of before it was kept.
    pub build: String,
    /// The command that runs it again.
    pub command: String,
    /// Users planned and reached.
    pub users: UserCounts,
    /// Users whose worker was lost, until others took them over.
    pub gaps: Vec<GapInfo>,
    /// Events with a sequence number: what users should have got and what they got.
    pub completeness: Completeness,
    /// The same by cohort.
    pub completeness_by_cohort: BTreeMap<String, Completeness>,
    /// The same by event, and the events that most users missed.
    pub by_event: ByEvent,
    /// The first few events that were lost, duplicated or reordered: user, channel, number.
    pub examples: Examples,
    /// Latencies by metric name, over all cohorts.
    pub metrics: BTreeMap<String, Latency>,
    /// Latencies by cohort name, then metric name.
    pub metrics_by_cohort: BTreeMap<String, BTreeMap<String, Latency>>,
    /// Counters by name, over all cohorts.
    pub counters: BTreeMap<String, u64>,
    /// Errors by kind, most first.
    pub errors: Vec<ErrorCount>,
    /// What was asked, and what was measured.
    pub thresholds: Vec<ThresholdResult>,
    /// The run over time, a value a second.
    pub timeline: Timeline,
    /// Named stretches of time.
    pub phases: Vec<PhaseSpan>,
    /// Things that happened: losses, restarts, stops.
    pub events: Vec<EventInfo>,
    /// Whether the fan-out figures have all receivers, and which they lack.
    pub fanout: FanoutInfo,
    /// The slowest messages by last receiver, slowest first; at most ten.
    pub slowest_messages: Vec<SlowMessage>,
    /// Everything that shipped measurements.
    pub sources: Vec<SourceInfo>,
    /// The machines that they ran on, as far as somebody measured them.
    pub hosts: Vec<HostInfo>,
    /// Both sides of the conservation law.
    pub conservation: Conservation,
    /// What the generator says against itself, in words; empty when nothing.
    pub doubts: Vec<String>,
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// SHA-256 of file and overrides, hexadecimal.
    pub digest: String,
    /// The file's name.
    pub file: String,
    /// The file's text.
    pub source: String,
    /// `--set` overrides.
    pub overrides: Vec<String>,
    /// The seed.
    pub seed: u64,
}

/// The verdict of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerdictInfo {
    /// The word.
    pub outcome: Outcome,
    /// Why, in words; empty when passed.
    pub reasons: Vec<String>,
    /// Whether its user stopped it early.
    pub interrupted: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All thresholds held and the measurement can be trusted.
    Passed,
    /// A threshold did not hold.
    Failed,
    /// The measurement can't be trusted.
    #[default]
    Invalid,
    /// The run goes on: the page of a live run, and never in a `result.json`.
    Running,
}

/// Users planned and reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserCounts {
    /// Of the scenario.
    pub planned: u64,
    /// Most at one instant.
    pub connected_max: u64,
}

/// What users should have got and what they got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Completeness {
    /// Events published while users watched, one for each user.
    pub expected: u64,
    /// Of those, received.
    pub delivered: u64,
    /// Of those, never received.
    pub lost: u64,
    /// Received again.
    pub duplicated: u64,
    /// Received after a later one.
    pub reordered: u64,
}

/// A latency distribution in numbers, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How many samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Least.
    pub min_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// 99.99th percentile.
    pub p9999_us: u64,
    /// Most.
    pub max_us: u64,
    /// The percentile spectrum: (percentile 0 to 100, microseconds), rising; empty when no sample.
    pub spectrum: Vec<(f64, u64)>,
    /// By how much clocks of different hosts may have made any of these wrong, in microseconds; 0 when it was measured by
    /// one clock.
    pub bound_us: f64,
    /// That bound is larger than the median: the numbers say how well the clocks are known, and nothing of the service.
    pub unusable: bool,
}

/// How often one kind of error was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorCount {
    /// The kind, in words.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The second of the run in which it was first seen.
    pub first_at_s: u32,
    /// By second, aligned with [`Timeline::seconds`].
    pub per_second: Vec<u32>,
}

/// What a threshold asked and what was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThresholdResult {
    /// As written.
    pub text: String,
    /// Whether it held; `None` when there was nothing to judge, which counts as failed.
    pub held: Option<bool>,
    /// Measured, in the unit of the limit.
    pub measured: Option<f64>,
    /// The limit.
    pub limit: f64,
    /// `us`, `count`, or `per_s`.
    pub unit: String,
    /// The second of the run in which it first did not hold.
    pub first_failed_at_s: Option<u32>,
    /// Of a threshold that must hold in every window: how many there were, and the worst; that is what was measured.
    pub window: Option<WindowInfo>,
    /// Why nothing was measured, in words; empty otherwise.
    pub unjudged: String,
    /// It was to stop the run when it failed, and did.
    pub stopped_run: bool,
    /// By how much clocks of different hosts may have made `measured` wrong, in microseconds.
    pub bound_us: f64,
    /// It asks for a latency that is smaller than that bound, so that `held` is `None`.
    pub unusable: bool,
}

/// The windows of a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowInfo {
    /// Seconds that each is long.
    pub length_s: u32,
    /// Windows that were judged.
    pub judged: u64,
    /// Of these, windows in which it did not hold.
    pub failed: u64,
    /// Windows without a sample, which were not judged.
    pub empty: u64,
    /// What the worst one measured, in the unit of the limit.
    pub worst: Option<f64>,
    /// The first second of the worst one.
    pub from_s: u32,
    /// The second behind its last.
    pub to_s: u32,
}

/// The run over time. Every vector has one value a second and the length of `seconds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeline {
    /// Seconds since the start instant.
    pub seconds: Vec<u32>,
    /// Users that should be connected.
    pub users_planned: Vec<u64>,
    /// Users that are.
    pub users_connected: Vec<u64>,
    /// Messages that the scenario asks for, on average.
    pub sends_asked: Vec<u64>,
    /// Messages that fell due.
    pub sends_due: Vec<u64>,
    /// Messages accepted.
    pub sends: Vec<u64>,
    /// Deliveries that the scenario asks for, on average, with as many users as it plans.
    pub deliveries_asked: Vec<u64>,
    /// Messages received.
    pub deliveries: Vec<u64>,
    /// Errors of all kinds.
    pub errors: Vec<u64>,
    /// Events found lost.
    pub lost: Vec<u64>,
    /// Bands over time by metric name; at least `delivery`, `send`, `lag`.
    pub latency: BTreeMap<String, Bands>,
    /// Deliveries by latency bucket for the heat map: `heat[i]` counts by second for `heat_edges_us[i]` and below.
    pub heat: Vec<Vec<u32>>,
    /// Upper edges of the heat map's buckets, in microseconds.
    pub heat_edges_us: Vec<u64>,
}

/// Percentiles by second, in microseconds; `None` where there was no sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bands {
    /// How many samples.
    pub count: Vec<u64>,
    /// Arithmetic mean.
    pub mean_us: Vec<Option<f64>>,
    /// Median.
    pub p50_us: Vec<Option<u64>>,
    /// 90th percentile.
    pub p90_us: Vec<Option<u64>>,
    /// 99th percentile.
    pub p99_us: Vec<Option<u64>>,
    /// 99.9th percentile.
    pub p999_us: Vec<Option<u64>>,
    /// Most.
    pub max_us: Vec<Option<u64>>,
}

/// A named stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseSpan {
    /// Its name.
    pub name: String,
    /// Seconds since the start instant.
    pub start_s: f64,
    /// Seconds since the start instant.
    pub end_s: f64,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventInfo {
    /// Seconds since the start instant.
    pub at_s: f64,
    /// `worker_lost`, `edge_lost`, `data_plane_back`, `stopped`, …
    pub kind: String,
    /// In words.
    pub text: String,
}

/// A message that took long to reach everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlowMessage {
    /// Its name in the run: action and number.
    pub message: String,
    /// When it was first received, in seconds since the start instant.
    pub at_s: f64,
    /// Receivers.
    pub receivers: u64,
    /// First receiver.
    pub first_us: u64,
    /// Half of the receivers.
    pub median_us: u64,
    /// 99 % of the receivers.
    pub p99_us: u64,
    /// Last receiver.
    pub last_us: u64,
}

/// A process that shipped measurements, or that a probe looked at: a worker, a probe, a node of the service under test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceInfo {
    /// Its name.
    pub name: String,
    /// `worker`, `probe`, `node`.
    pub kind: String,
    /// Its host's name.
    pub host: String,
    /// Cores of its host.
    pub cores: u32,
    /// Users of its shard.
    pub users_planned: u64,
    /// Most users connected at one instant.
    pub users_connected_max: u64,
    /// Whether it was lost, and when.
    pub lost_at_s: Option<f64>,
    /// Intervals stored.
    pub intervals: u64,
    /// Intervals that never came, by their numbers.
    pub intervals_missing: u64,
    /// Largest CPU use in one second, in cores.
    pub cpu_max: f64,
    /// Mean CPU use, in cores.
    pub cpu_mean: f64,
    /// Largest resident memory, in bytes.
    pub rss_max_bytes: u64,
    /// Most open files.
    pub files_max: u64,
    /// 99th percentile of `lag`, if it generates load.
    pub lag_p99_us: Option<u64>,
    /// 99th percentile of `loop_delay`.
    pub loop_delay_p99_us: Option<u64>,
    /// Its clock against the control plane's, in microseconds, and the error bound.
    pub clock_offset_us: f64,
    /// Largest error bound of the offset at any time, in microseconds; 0 on the same host.
    pub clock_bound_us: f64,
    /// How fast the control plane's clock gains on its own, in microseconds a second.
    pub clock_drift_us_per_s: f64,
    /// Exchanges of time with the control plane; 0 on the same host.
    pub clock_exchanges: u64,
    /// Times at which these contradicted each other: one of the clocks was set, or slewed too fast.
    pub clock_jumps: u64,
    /// CPU by second, in cores, aligned with [`Timeline::seconds`]; `None` where nothing came.
    pub cpu: Vec<Option<f64>>,
    /// Resident memory by second, in bytes.
    pub rss_bytes: Vec<Option<u64>>,
    /// Connections or users held, by second.
    pub connections: Vec<Option<u64>>,
}

/// A machine, apart from the processes on it. Vectors have one value a second, aligned with [`Timeline::seconds`];
/// `None` where nothing came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostInfo {
    /// Its name.
    pub name: String,
    /// What kind of machine it is: its processor and kernel; empty where nobody said.
    pub machine: String,
    /// The sources that ran on it.
    pub sources: Vec<String>,
    /// Its cores.
    pub cores: u32,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// Largest CPU use in one second, in cores; everything on the machine.
    pub cpu_max: f64,
    /// Mean CPU use, in cores.
    pub cpu_mean: f64,
    /// Most memory in use, in bytes: all that is not available to programs.
    pub memory_used_max_bytes: u64,
    /// Largest load average of a minute: tasks that ran or waited to run.
    pub load_max: f64,
    /// Most TCP sockets in use.
    pub sockets_max: u64,
    /// TCP segments sent again during the run; `None` when it isn't known.
    pub retransmits: Option<u64>,
    /// CPU by second, in cores.
    pub cpu: Vec<Option<f64>>,
    /// Memory in use by second, in bytes.
    pub memory_used_bytes: Vec<Option<u64>>,
    /// Load average by second.
    pub load: Vec<Option<f64>>,
    /// TCP sockets in use by second.
    pub sockets: Vec<Option<u64>>,
}

/// What recorders counted of something, and what is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// As the sources say, in their goodbyes.
    pub recorded: u64,
    /// As it was merged, of these sources.
    pub shown: u64,
}

/// The conservation law: what recorders counted against what is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conservation {
    /// Samples that the sources say they recorded, in their goodbyes.
    pub recorded_samples: u64,
    /// Samples of these sources in the merged histograms.
    pub shown_samples: u64,
    /// Counts that the sources say they counted.
    pub recorded_counts: u64,
    /// Counts of these sources in the merged counters.
    pub shown_counts: u64,
    /// Both sides of each metric's samples and each counter's count, by name.
    #[serde(default)]
    pub by_name: BTreeMap<String, Sides>,
    /// Sources that said no goodbye (lost), whose account is therefore open.
    pub unaccounted: Vec<String>,
    /// Whether both sides agree.
    pub holds: bool,
}

impl RunResult {
    /// Reads a `result.json`.
    ///
    /// # Errors
    /// When it isn't one, or is of another version.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        let result: Self = serde_json::from_str(text)?;
        anyhow::ensure!(
            result.schema == SCHEMA,
            "result.json is of schema {:?}; this throng reads {SCHEMA:?}",
            result.schema
        );
        anyhow::ensure!(!result.run.is_empty(), "result.json names no run: it is not one that throng wrote");
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_run_is_no_result() {
        let refused = RunResult::from_json(r#"{"schema": "throng.result/1"}"#).unwrap_err();
        assert!(refused.to_string().contains("names no run"), "{refused}");
        assert!(RunResult::from_json(r#"{"schema": "throng.result/1", "run": "r-1"}"#).is_ok());
        assert!(RunResult::from_json(r#"{"schema": "throng.result/0", "run": "r-1"}"#).is_err());
    }
}
