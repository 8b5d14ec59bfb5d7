//! A scenario that has been validated: what every part of throng works from.

use std::time::Duration;

use measure::{Cohort, Metric};

/// A whole load test, as data. All loads are of the **whole** run, however many workers share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Names the run's files and its report.
    pub name: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// Decides every random choice: who sends when, who watches what, which words.
    pub seed: u64,
    /// Where the load goes.
    pub target: TargetSpec,
    /// The channels, in the order of the file.
    pub channels: Vec<ChannelGroup>,
    /// The cohorts, in the order of the file; [`Cohort`] is an index into them.
    pub cohorts: Vec<CohortSpec>,
    /// What happens after everybody has joined; at least one.
    pub phases: Vec<Phase>,
    /// The canaries.
    pub probes: ProbeSpec,
    /// What must hold for the run to pass.
    pub thresholds: Vec<Threshold>,
    /// What a lost worker means.
    pub on_worker_loss: WorkerLoss,
}

/// The service under test, as the scenario names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetSpec {
    /// ws:// or wss:// base URLs; empty: the bundled chat server, started beside the run.
    pub urls: Vec<String>,
    /// The API key; `None`: the bundled server's.
    pub api_key: Option<String>,
    /// The file of the CA of its certificate; `None`: it is a public one. Whoever submits the scenario reads it.
    pub ca: Option<std::path::PathBuf>,
    /// Where user tokens come from.
    pub tokens: Tokens,
}

/// Where user tokens come from.
#[derive(Clone, Default, PartialEq)]
pub enum Tokens {
    /// Signed with the bundled server's secret.
    #[default]
    Bundled,
    /// Signed by the workers with this secret.
    Secret(String),
    /// Read from a CSV file of `user_id,token` lines; user i of the run takes line i.
    Csv(std::path::PathBuf),
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundled => f.write_str("Bundled"),
            Self::Secret(_) => f.write_str("Secret(…)"),
            Self::Csv(path) => f.debug_tuple("Csv").field(path).finish(),
        }
    }
}

/// One channel, or many that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelGroup {
    /// The channel's id; of a group of many, the stem: `room` makes `room-0`, `room-1`, …
    pub id: String,
    /// The channel type, `messaging` unless told otherwise.
    pub channel_type: String,
    /// How many channels; 1 makes a single one, whose id has no number.
    pub count: u32,
    /// How users spread over them.
    pub popularity: Popularity,
    /// The cohorts whose users watch them.
    pub members: Vec<Cohort>,
    /// How many different channels of the group each of these users watches.
    pub per_user: u32,
}

/// How users spread over the channels of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Popularity {
    /// Evenly.
    #[default]
    Uniform,
    /// By Zipf's law with this exponent: channel k is chosen with weight 1 / (k + 1)^s.
    Zipf(f64),
}

/// Users who behave alike.
#[derive(Clone, Debug, PartialEq)]
pub struct CohortSpec {
    /// Its name, also the stem of its users' ids.
    pub name: String,
    /// How many users.
    pub users: u64,
    /// How they are connected.
    pub transport: Transport,
    /// Whether they offer to take compressed messages.
    pub compression: Compression,
    /// Users that join per second, evenly.
    pub ramp_rate: f64,
    /// When the first of them joins.
    pub ramp_delay: Duration,
    /// How long a user stays before it leaves; `None`: until the run ends.
    pub lifetime: Option<Range<Duration>>,
    /// How long a user that left stays away before it joins again; `None`: for good.
    pub rejoin: Option<Range<Duration>>,
    /// What they do.
    pub actions: Vec<Action>,
}

/// A closed range to draw from, evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range<T> {
    /// Least.
    pub min: T,
    /// Most.
    pub max: T,
}

/// How users are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// RFC 6455.
    #[default]
    WebSocket,
    /// The protocol's fallback: events are fetched with requests that wait for them.
    LongPoll,
}

/// Whether users offer to take compressed messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They don't.
    #[default]
    None,
    /// RFC 7692, permessage-deflate; whether it comes to that is for the service to say.
    Deflate,
}

/// Something that users of a cohort do, again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What.
    pub kind: ActionKind,
    /// In which group of channels (an index into [`Scenario::channels`]); each time in one that the acting user watches.
    pub channel: usize,
    /// How often a second, the whole cohort together, at load factor 1.
    pub rate: f64,
    /// How the instants are spread.
    pub arrivals: Arrivals,
}

/// What users do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActionKind {
    /// Send a message whose text has so many bytes.
    Send {
        /// Bytes of text.
        size: Range<u32>,
    },
    /// React to the newest message that the user has seen.
    React,
    /// Say that one is typing.
    Typing,
    /// Mark the channel as read.
    Read,
}

/// How instants are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Independently of each other (a Poisson process), as crowds do.
    #[default]
    Poisson,
    /// At equal distances.
    Even,
}

/// A stretch of the run in which the action rates follow one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name in the report.
    pub name: String,
    /// How long.
    pub duration: Duration,
    /// How action rates move: factors of what the actions say.
    pub shape: Shape,
}

/// How a load factor moves over a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Stays at a factor.
    Hold(f64),
    /// Moves evenly from one factor to another.
    Slope {
        /// At the phase's start.
        from: f64,
        /// At its end.
        to: f64,
    },
    /// Swings between two factors as a sine, from the middle upwards.
    Wave {
        /// Least factor.
        min: f64,
        /// Most.
        max: f64,
        /// Of one swing.
        period: Duration,
    },
}

/// The canaries: a few quiet users that measure apart from the load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProbeSpec {
    /// How many.
    pub canaries: u32,
    /// Messages a second that they send, all together.
    pub send_rate: f64,
}

/// What a lost worker means for the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WorkerLoss {
    /// The run goes on with the users that are left, and is invalid.
    #[default]
    Continue,
    /// The run stops at once, and is invalid.
    Abort,
    /// The run goes on, and is as valid as without the loss, while at most this share of its users is lost; with more it
    /// stops, and is invalid.
    AtMost(f64),
    /// The workers that are left take its users over, as soon as its own load has surely ended. The run is as valid as
    /// without the loss, and says what nobody saw and did until then; where they have no room, it is invalid.
    Redistribute,
}

/// A condition that the run must meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// As it was written, for the report: `delivery: p(99) < 250ms`.
    pub text: String,
    /// What is judged.
    pub subject: Subject,
    /// Only this cohort.
    pub cohort: Option<Cohort>,
    /// Which number of it.
    pub aggregate: Aggregate,
    /// How it must stand to `limit`.
    pub comparison: Comparison,
    /// Microseconds for durations, a count for counts, per second for rates.
    pub limit: f64,
    /// Only what is measured in this stretch: `join`, or one of the phases.
    pub phase: Option<String>,
    /// It must hold in every stretch of so many seconds, one of which begins each second; `None`: over all of them.
    pub window: Option<u32>,
    /// It stops the run when it fails, though not before so long after the start of the run, or of its phase.
    pub abort_after: Option<Duration>,
}

impl Threshold {
    /// Whether more of what is judged can only be better: then nothing is known before its end.
    pub fn is_lower_bound(&self) -> bool {
        match self.comparison {
            Comparison::Greater | Comparison::GreaterOrEqual => true,
            Comparison::Equal => self.limit > 0.0,
            Comparison::Less | Comparison::LessOrEqual => false,
        }
    }
}

/// What a threshold judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A latency.
    Metric(Metric),
    /// A count.
    Counter(measure::Counter),
}

/// A number of a metric or counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// A percentile, 0 to 100.
    Percentile(f64),
    /// The arithmetic mean.
    Mean,
    /// The least.
    Min,
    /// The most.
    Max,
    /// How many.
    Count,
    /// How many a second, over all that is judged.
    Rate,
}

/// How two numbers must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

impl Comparison {
    /// Whether `value` stands so to `limit`.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Equal => (value - limit).abs() < f64::EPSILON,
        }
    }
}
