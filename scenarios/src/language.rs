//! The scenario file, key by key. This is the one description of the language: types, decoder and JSON Schema come
//! from it, and the comments here are what editors show.

use crate::decode::{Decode, List, mapping, nearest, wrong_kind};
use crate::diagnostic::{Diagnostics, Span, quoted};
use crate::leaf::{Bytes, Factor, PerSecond, Spread, Time, TimeRange, Whole};
use crate::tree::{Entry, Kind, Map, Node, Scalar};
use crate::words::{
    Address, CompressionWord, Faults, Hidden, Hold, Loss, Members, Name, Reference, SpreadWord, Switch, TransportWord,
    Words,
};

mapping! {
    /// A load test, as data. All loads are of the whole run, however many workers share it.
    File, "a scenario";
    /// Names the run's files and its report.
    required "name" name: Name = "my-first-test";
    /// What it is for, in a sentence or two.
    optional "description" description: Words;
    /// Decides every random choice, so that a run can be repeated; 1 if left out.
    optional "seed" seed: Whole;
    /// The service under test; the bundled chat server, started beside the run, if left out.
    optional "target" target: Target;
    /// The channels, single ones or many that are alike.
    required "channels" channels: List<Channel> = "[{ id: lobby }]";
    /// The users, in groups that behave alike.
    required "cohorts" cohorts: List<CohortEntry> = "[{ name: fans, users: 100, ramp: { rate: 10/s } }]";
    /// How long the run lasts after everybody has joined: short for a single `hold` phase.
    optional "hold" hold: Time;
    /// What happens after everybody has joined, one after the other: how the rates of all actions move.
    optional "phases" phases: List<PhaseEntry>;
    /// The canaries: a few quiet users that measure apart from the load.
    optional "probes" probes: Probes;
    /// What must hold for the run to pass.
    optional "thresholds" thresholds: List<ThresholdEntry>;
    /// What a lost worker means: `continue` (the default) and `abort` make the run invalid, at its end or at once;
    /// `{ continue: { at_most: 5% } }` allows a loss of so many users, and stops the run when more are lost.
    optional "on_worker_loss" on_worker_loss: Loss;
    /// Faults to inject; must be empty so far.
    optional "faults" faults: Faults;
}

mapping! {
    /// The service under test.
    Target, "a `target`";
    /// Its base address, ws:// or wss://.
    optional "url" url: Address;
    /// Several base addresses, which the users share.
    optional "urls" urls: List<Address>;
    /// The API key.
    optional "api_key" api_key: Hidden;
    /// A PEM file, relative to the scenario, with the CA of its certificate, if that is none of the public ones.
    optional "ca" ca: Words;
    /// Where user tokens come from.
    optional "tokens" tokens: TokenSource;
}

mapping! {
    /// Where user tokens come from.
    TokenSource, "`tokens`", one of ["secret", "csv"];
    /// The API secret to sign tokens with; take it from the environment: `${CHAT_SECRET}`.
    optional "secret" secret: Hidden;
    /// A CSV file with lines of `user_id,token`, relative to the scenario; user i of the run takes line i.
    optional "csv" csv: Words;
}

mapping! {
    /// One channel, or many that are alike.
    Channel, "a channel";
    /// Its id; of many, the stem: `room` makes `room-0`, `room-1`, …
    required "id" id: Name = "lobby";
    /// The channel type, such as `messaging` (the default) or `livestream`.
    optional "type" channel_type: Name;
    /// How many channels; 1 if left out.
    optional "count" count: Whole;
    /// How users spread over them: `uniform` (the default) or `zipf(1.1)`, where few are popular.
    optional "popularity" popularity: Spread;
    /// The cohorts that watch them: `all` (the default) or a list.
    optional "members" members: Members;
    /// How many different channels of the group each of these users watches; 1 if left out.
    optional "per_user" per_user: Whole;
}

mapping! {
    /// Users who behave alike.
    CohortEntry, "a cohort";
    /// Its name, also the stem of its users' ids.
    required "name" name: Name = "fans";
    /// How many users.
    required "users" users: Whole = "1_000";
    /// How they are connected: `websocket` (the default), or `longpoll`, the protocol's fallback.
    optional "transport" transport: TransportWord;
    /// Whether they offer to take compressed messages: `none` (the default) or `deflate`.
    optional "compression" compression: CompressionWord;
    /// How fast they join.
    required "ramp" ramp: Ramp = "{ rate: 100/s }";
    /// How long a user stays before it leaves; until the run ends, if left out.
    optional "lifetime" lifetime: TimeRange;
    /// How long a user that left stays away before it joins again; for good, if left out.
    optional "rejoin" rejoin: TimeRange;
    /// What they do; nothing, if left out.
    optional "actions" actions: List<ActionEntry>;
}

mapping! {
    /// How fast users join.
    Ramp, "a `ramp`";
    /// Users that join, evenly.
    required "rate" rate: PerSecond = "100/s";
    /// When the first of them joins; at once, if left out.
    optional "delay" delay: Time;
}

mapping! {
    /// Something that the users of a cohort do, again and again.
    ActionEntry, "an action", one of ["send", "react", "typing", "read"];
    /// Send a message.
    optional "send" send: Send;
    /// React to the newest message that the user has seen.
    optional "react" react: Act;
    /// Say that one is typing.
    optional "typing" typing: Act;
    /// Mark the channel as read.
    optional "read" read: Act;
}

mapping! {
    /// Send a message.
    Send, "a `send`";
    /// Into which channel (its `id`); of a group of many, each time into one that the sender watches.
    required "channel" channel: Reference = "lobby";
    /// How often, the whole cohort together.
    required "rate" rate: PerSecond = "5/s";
    /// Bytes of text; `120..400B` if left out.
    optional "size" size: Bytes;
    /// How the instants are spread: `poisson` (the default) or `even`.
    optional "arrivals" arrivals: SpreadWord;
}

mapping! {
    /// Something done in a channel.
    Act, "a `react`, `typing` or `read`";
    /// In which channel (its `id`); of a group of many, each time in one that the user watches.
    required "channel" channel: Reference = "lobby";
    /// How often, the whole cohort together.
    required "rate" rate: PerSecond = "5/s";
    /// How the instants are spread: `poisson` (the default) or `even`.
    optional "arrivals" arrivals: SpreadWord;
}

mapping! {
    /// A stretch of the run in which the rates of all actions follow one shape.
    PhaseEntry, "a phase", one of ["hold", "step", "spike", "wave", "slope"];
    /// Its name in the report; its kind, if left out.
    optional "name" name: Name;
    /// The rates stay as they are: `hold: 1m`, or `hold: { for: 1m, at: 2x }`.
    optional "hold" hold: Hold;
    /// The rates climb (or fall) in steps.
    optional "step" step: Step;
    /// The rates jump, and jump back.
    optional "spike" spike: Spike;
    /// The rates swing as a sine, upwards first.
    optional "wave" wave: Wave;
    /// The rates move evenly from one factor to another.
    optional "slope" slope: Slope;
}

mapping! {
    /// The rates climb (or fall) in steps.
    Step, "a `step`";
    /// How long, all steps together.
    required "for" duration: Time = "4m";
    /// The factor of the first step.
    required "from" from: Factor = "1x";
    /// The factor of the last step.
    required "to" to: Factor = "4x";
    /// How many steps, 2 to 100.
    required "steps" steps: Whole = "4";
}

mapping! {
    /// The rates jump, and jump back.
    Spike, "a `spike`";
    /// How long.
    required "for" duration: Time = "10s";
    /// The factor.
    required "to" to: Factor = "10x";
}

mapping! {
    /// The rates swing as a sine, upwards first.
    Wave, "a `wave`";
    /// How long.
    required "for" duration: Time = "10m";
    /// The least factor.
    required "from" from: Factor = "0.5x";
    /// The greatest factor.
    required "to" to: Factor = "2x";
    /// How long one swing takes.
    required "period" period: Time = "1m";
}

mapping! {
    /// The rates move evenly from one factor to another.
    Slope, "a `slope`";
    /// How long.
    required "for" duration: Time = "2m";
    /// The factor at the start.
    required "from" from: Factor = "1x";
    /// The factor at the end.
    required "to" to: Factor = "3x";
}

mapping! {
    /// The canaries: a few quiet users that measure apart from the load.
    Probes, "`probes`";
    /// How many.
    required "canaries" canaries: Whole = "10";
    /// Messages that they send, all together; `1/s` if left out.
    optional "send" send: PerSecond;
}

/// A condition, as it stands in the file: `delivery.fans: p(99) < 250ms`, and beside it over what it must hold.
#[derive(Debug)]
pub(crate) struct ThresholdEntry {
    pub(crate) subject: String,
    pub(crate) subject_span: Span,
    pub(crate) condition: Scalar,
    pub(crate) condition_span: Span,
    pub(crate) extent: Extent,
}

mapping! {
    /// Over what a threshold must hold, and what follows if it doesn't.
    Extent, "a threshold";
    /// Only what is measured in this phase (its name, or `join` for the ramp), by the whole seconds that lie in it; the last
    /// phase has what comes while the run drains, too.
    optional "phase" phase: Reference;
    /// It must hold in every full window of this length, of which one ends each second; windows in which a latency has no
    /// sample are not judged. A lower bound needs a `phase` too, or the first seconds of the ramp fail it.
    optional "window" window: Time;
    /// `true`: the run stops as soon as this fails, and `throng run` exits with 99 as for every failed threshold.
    optional "abort" abort: Switch;
    /// With `abort`: not before so long after the start of the run, or of the phase; at once, if left out.
    optional "after" after: Time;
}

const EXTENT: [&str; 4] = ["phase", "window", "abort", "after"];
const THRESHOLD_HINT: &str = "an item reads `- delivery: p(99) < 250ms` or `- lost: count == 0`";

impl Decode for ThresholdEntry {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        let Kind::Map(map) = &node.kind else {
            let in_quotes = matches!(&node.kind, Kind::Scalar(scalar) if !scalar.plain && scalar.raw.contains(": "));
            let hint =
                if in_quotes { "leave the quotes out: an item is a key and its condition" } else { THRESHOLD_HINT };
            wrong_kind(node, "a threshold (`what: condition`)", Some(hint.into()), errors);
            return None;
        };
        let is_extent = |entry: &&Entry| EXTENT.contains(&entry.key.name.as_str());
        let (extent, mut subjects): (Vec<&Entry>, Vec<&Entry>) = map.entries.iter().partition(is_extent);
        subjects.sort_by_key(|entry| nearest(&entry.key.name, EXTENT.into_iter()).is_some());
        let judged = subjects.first().map(|entry| entry.key.name.clone());
        for other in subjects.drain(1.min(subjects.len())..) {
            let name = &other.key.name;
            match nearest(name, EXTENT.into_iter()) {
                Some(hint) => {
                    errors.add(other.key.span, format!("{} is not a key of a threshold", quoted(name)), Some(hint));
                }
                None if name == "cohort" => {
                    let judged = judged.as_deref().unwrap_or("delivery");
                    let hint = format!("what one cohort feels is written `{judged}.COHORT`");
                    errors.add(other.key.span, "`cohort` is not a key of a threshold".to_owned(), Some(hint));
                }
                None => {
                    let message = format!("{} begins a second threshold in the same item", quoted(name));
                    errors.add(other.key.span, message, Some("begin a new item with `- `".into()));
                }
            }
        }
        let part = Map { entries: extent.into_iter().cloned().collect() };
        let extent = Extent::decode(&Node { span: node.span, kind: Kind::Map(part), cut: node.cut }, errors)?;
        let Some(entry) = subjects.first() else {
            let what = if map.entries.is_empty() { "is empty" } else { "doesn't say what must hold" };
            errors.add(node.span, format!("this threshold {what}"), Some(THRESHOLD_HINT.into()));
            return None;
        };
        let condition = crate::decode::text(&entry.value, "a condition", || THRESHOLD_HINT.to_owned(), errors);
        Some(Self {
            subject: entry.key.name.clone(),
            subject_span: entry.key.span,
            // A refused condition has been reported; its subject is still checked.
            condition: condition.cloned().unwrap_or_default(),
            condition_span: entry.value.span,
            extent,
        })
    }
}

impl schemars::JsonSchema for ThresholdEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Threshold".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let latencies = measure::Metric::ALL.iter().map(|metric| (metric.name(), metric.meaning(), "p(99) < 250ms"));
        let counts = measure::Counter::ALL.iter().map(|counter| (counter.name(), counter.meaning(), "count == 0"));
        let subjects: Vec<_> = latencies.chain(counts).collect();
        let mut properties: serde_json::Map<String, serde_json::Value> = subjects
            .iter()
            .map(|(name, meaning, example)| {
                let value = serde_json::json!({ "type": "string", "description": meaning, "examples": [example] });
                ((*name).to_owned(), value)
            })
            .collect();
        let extent = Extent::json_schema(generator).to_value();
        properties.extend(extent["properties"].as_object().cloned().unwrap_or_default());
        let names: Vec<_> = subjects.iter().map(|(name, ..)| *name).collect();
        let of_a_cohort = format!(r"^({})\.[A-Za-z0-9_-]+$", names.join("|"));
        schemars::json_schema!({
            "type": "object",
            "description": "What must hold: a latency or count, of one cohort if `.cohort` follows, and a condition; over the \
                            whole run, or in a `phase`, or in every `window`. With `abort`, the run stops when it fails.",
            "properties": properties,
            "patternProperties": { of_a_cohort: { "type": "string" } },
            "additionalProperties": false, "minProperties": 1, "maxProperties": 1 + EXTENT.len(),
            "not": { "propertyNames": { "enum": EXTENT } },
        })
    }
}
