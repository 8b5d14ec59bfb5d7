//! Values that are text: names, ids, addresses, and references to what is defined elsewhere in the file.

use crate::decode::{Decode, List, mapping, not_another_type, text, words};
use crate::diagnostic::{Diagnostics, quoted};
use crate::leaf::{Leaf, decode, leaf};
use crate::model::{Compression, Transport};
use crate::tree::{Kind, Node};

/// The longest name: ids are made from it, and 64 characters is what chat services take.
const LONGEST: usize = 48;

/// A name that something is defined with. A malformed one is reported, and still known to whoever refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Decode for Name {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        let hint = "letters, digits, `-` and `_`, such as `fans` or `night-shift`";
        let scalar = text(node, "a name", || hint.to_owned(), errors)?;
        not_another_type(node, scalar, errors)?;
        let name = scalar.value.clone();
        let malformed = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if name.is_empty() {
            errors.add(node.span, "the name is empty", Some(hint.into()));
        } else if name.len() > LONGEST {
            errors.add(node.span, format!("{} is longer than {LONGEST} characters", quoted(&scalar.raw)), None);
        } else if name.contains(malformed) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            errors.add(node.span, format!("{} is not a name", quoted(&scalar.raw)), Some(hint.into()));
        } else if name.contains('.') {
            let hint = "dots part a metric from a cohort, and the keys of `--set`";
            errors.add(node.span, format!("the name {} has a dot in it", quoted(&scalar.raw)), Some(hint.into()));
        }
        Some(Self(name))
    }
}

impl schemars::JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        crate::schema::leaf("a name: letters, digits, `-` and `_`", r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$", &["fans"])
    }
}

/// The name of something that is defined elsewhere in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference(pub(crate) String);

/// Any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) String);

/// A ws:// or wss:// address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) String);

/// How users are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransportWord(pub(crate) Transport);

/// Whether messages may be compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompressionWord(pub(crate) Compression);

/// Something that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden(pub(crate) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl Decode for Switch {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        crate::decode::word(node, "`true` or `false`", &["true", "false"], errors).map(|at| Self(at == 0))
    }
}

impl schemars::JsonSchema for Switch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Switch".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "yes or no", "enum": [true, false] })
    }
}

leaf!(Reference, Address, TransportWord, CompressionWord, Hidden);

impl Leaf for Reference {
    const WHAT: &'static str = "a name";
    const PATTERN: &'static str = "^.+$";
    const EXAMPLES: &'static [&'static str] = &["stadium"];

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err(String::new()) } else { Ok(Self(text.to_owned())) }
    }
}

impl Decode for Words {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        let scalar = text(node, "a text", || "put it in quotes if it has special characters".into(), errors)?;
        not_another_type(node, scalar, errors)?;
        Some(Self(scalar.value.clone()))
    }
}

impl schemars::JsonSchema for Words {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "a text" })
    }
}

impl Leaf for TransportWord {
    const WHAT: &'static str = "a transport";
    const PATTERN: &'static str = "^(websocket|longpoll)$";
    const EXAMPLES: &'static [&'static str] = &["websocket", "longpoll"];

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "websocket" => Ok(Self(Transport::WebSocket)),
            "longpoll" => Ok(Self(Transport::LongPoll)),
            _ => Err("it is `websocket` or `longpoll`".into()),
        }
    }
}

impl Leaf for CompressionWord {
    const WHAT: &'static str = "a kind of compression";
    const PATTERN: &'static str = "^(none|deflate)$";
    const EXAMPLES: &'static [&'static str] = &["none", "deflate"];

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(Compression::None)),
            "deflate" => Ok(Self(Compression::Deflate)),
            _ => Err("it is `none` or `deflate`".into()),
        }
    }
}

impl Leaf for Hidden {
    const WHAT: &'static str = "a secret";
    const PATTERN: &'static str = "^.+$";
    const EXAMPLES: &'static [&'static str] = &["${CHAT_SECRET}"];

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("it is empty".into()) } else { Ok(Self(text.to_owned())) }
    }
}

impl Leaf for Address {
    const WHAT: &'static str = "the address of a chat server";
    const PATTERN: &'static str = r"^wss?://[^\s/?#@]+(/[^\s?#]*)?$";
    const EXAMPLES: &'static [&'static str] = &["wss://chat.example.com", "ws://127.0.0.1:8080"];

    fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("wss://").or_else(|| text.strip_prefix("ws://")) else {
            let known = [("http://", "ws://"), ("https://", "wss://")];
            let hint = known.into_iter().find(|(prefix, _)| text.starts_with(prefix));
            return Err(hint.map_or_else(
                || "it has to begin with `ws://` or `wss://`".into(),
                |(prefix, instead)| format!("write `{instead}` instead of `{prefix}`"),
            ));
        };
        let host_and_port = rest.split('/').next().unwrap_or_default();
        let port = match host_and_port.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
                port.parse::<u16>().ok().filter(|port| *port > 0)
            }
            Some(("", _)) => None,
            _ => Some(1),
        };
        if host_and_port.is_empty() {
            Err("it names no host".into())
        } else if rest.contains(['?', '#', '@']) || rest.contains(char::is_whitespace) {
            Err("it is a base address: nothing like `user@`, `?…` or `#…` belongs to it".into())
        } else if port.is_none() {
            Err("its port is not between 1 and 65535".into())
        } else {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        }
    }
}

words! {
    /// What a lost worker means: the run goes on without its users, or stops, and is invalid either way; or others take its
    /// users over, and their gap is stated.
    LossWord, "an answer to a lost worker";
    /// Go on.
    "continue" => Continue;
    /// Hand its users to the other workers.
    "redistribute" => Redistribute;
    /// Stop.
    "abort" => Abort;
}

/// What a lost worker means: a word, or how much may be lost.
#[derive(Debug)]
pub(crate) enum Loss {
    Word(LossWord),
    Spec(LossSpec),
}

mapping! {
    /// How much of the load may be lost.
    LossSpec, "an answer to a lost worker";
    /// The run goes on while no more is lost than this.
    required "continue" goes_on: LossLimit = "{ at_most: 5% }";
}

mapping! {
    /// How many users may be lost with their workers.
    LossLimit, "a `continue`";
    /// Of the run's users. Up to so many, a loss stands among the report's doubts; with one more the run stops, and is
    /// invalid.
    required "at_most" at_most: crate::leaf::Percent = "5%";
}

impl Decode for Loss {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => LossSpec::decode(node, errors).map(Self::Spec),
            _ => LossWord::decode(node, errors).map(Self::Word),
        }
    }
}

impl schemars::JsonSchema for Loss {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Loss".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, spec) = (generator.subschema_for::<LossWord>(), generator.subschema_for::<LossSpec>());
        schemars::json_schema!({ "description": "what a lost worker means", "anyOf": [word, spec] })
    }
}

words! {
    /// How the instants of an action are spread: `poisson` as in a crowd (the default), or `even`, at equal distances.
    SpreadWord, "a way to spread instants";
    /// As in a crowd.
    "poisson" => Poisson;
    /// At equal distances.
    "even" => Even;
}

/// Who watches a channel.
#[derive(Debug)]
pub(crate) enum Members {
    All,
    Some(List<Reference>),
}

impl Decode for Members {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.value == "all" => Some(Self::All),
            Kind::Scalar(scalar) if !scalar.is_null() => {
                let hint = format!(
                    "write `all`, or a list of cohorts: `[{}]`",
                    scalar.raw.chars().take(40).collect::<String>()
                );
                errors.add(node.span, format!("{} is not a list of cohorts", quoted(&scalar.raw)), Some(hint));
                None
            }
            Kind::Scalar(_) | Kind::Map(_) => {
                crate::decode::wrong_kind(
                    node,
                    "`all` or a list of cohorts",
                    Some("such as `[fans, hosts]`".into()),
                    errors,
                );
                None
            }
            _ => List::decode(node, errors).map(Self::Some),
        }
    }
}

impl schemars::JsonSchema for Members {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Members".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let list = generator.subschema_for::<List<Reference>>();
        schemars::json_schema!({ "description": "`all`, or a list of cohorts", "anyOf": [{ "const": "all" }, list] })
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for List<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

/// Faults: reserved, and empty until they exist.
#[derive(Debug)]
pub(crate) struct Faults;

impl Decode for Faults {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::List(items) if items.is_empty() => Some(Self),
            Kind::Refused => None,
            _ => {
                let hint = "write `faults: []`, or leave it out";
                errors.add(node.span, "faults are not supported yet", Some(hint.into()));
                None
            }
        }
    }
}

impl schemars::JsonSchema for Faults {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Faults".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "empty until faults exist", "type": "array", "maxItems": 0 })
    }
}

/// How long a phase holds: a duration, or a mapping that also has a factor.
#[derive(Debug)]
pub(crate) enum Hold {
    For(crate::leaf::Time),
    At(HoldSpec),
}

mapping! {
    /// The load stays as it is.
    HoldSpec, "a `hold`";
    /// How long.
    required "for" duration: crate::leaf::Time = "1m";
    /// The factor on all rates; `1x` if left out.
    optional "at" at: crate::leaf::Factor;
}

impl Decode for Hold {
    fn decode(node: &Node, errors: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => HoldSpec::decode(node, errors).map(Self::At),
            _ => decode(node, errors).map(Self::For),
        }
    }
}

impl schemars::JsonSchema for Hold {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hold".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (time, spec) = (generator.subschema_for::<crate::leaf::Time>(), generator.subschema_for::<HoldSpec>());
        schemars::json_schema!({ "description": "how long the load stays as it is", "anyOf": [time, spec] })
    }
}
