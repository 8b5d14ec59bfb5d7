//! Coverage and examples as bytes. Numbers of events rise, so each is written as what it is more than the one before.

use std::collections::BTreeMap;

use super::DecodeError;
use crate::clock::Timestamp;
use crate::coverage::{Coverage, Named, Steps};
use crate::example::{Example, Examples, Mishap};
use crate::receipt::MessageKey;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireCoverage {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(message, optional, tag = "2")]
    watched: Option<WireSteps>,
    #[prost(message, optional, tag = "3")]
    missed: Option<WireSteps>,
    #[prost(message, optional, tag = "4")]
    aside: Option<WireSteps>,
    #[prost(message, repeated, tag = "5")]
    messages: Vec<WireNamed>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireSteps {
    #[prost(uint64, repeated, tag = "1")]
    numbers: Vec<u64>,
    #[prost(sint64, repeated, tag = "2")]
    changes: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireNamed {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    message: u64,
    #[prost(uint64, tag = "3")]
    sent: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireExample {
    #[prost(uint32, tag = "1")]
    mishap: u32,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(uint64, tag = "3")]
    user: u64,
    #[prost(string, tag = "4")]
    channel: String,
    #[prost(uint64, tag = "5")]
    first: u64,
    #[prost(uint64, tag = "6")]
    last: u64,
}

impl WireSteps {
    fn of(steps: &Steps) -> Option<Self> {
        let mut wire = Self::default();
        let mut before = 0;
        for (number, change) in steps.changes() {
            wire.numbers.push(number - before);
            wire.changes.push(change);
            before = number;
        }
        (!wire.numbers.is_empty()).then_some(wire)
    }

    fn read(wire: Option<Self>) -> Steps {
        let mut steps = Steps::default();
        let wire = wire.unwrap_or_default();
        let mut number = 0_u64;
        for (more, change) in wire.numbers.into_iter().zip(wire.changes) {
            number = number.saturating_add(more);
            steps.step(number, change);
        }
        steps
    }
}

impl WireCoverage {
    pub(super) fn of(channel: &str, coverage: &Coverage) -> Self {
        let mut before = 0;
        let messages = coverage.messages.iter().map(|(number, named)| {
            let more = number - before;
            before = *number;
            WireNamed { number: more, message: named.message.as_u64(), sent: named.sent.as_nanos() }
        });
        Self {
            channel: channel.to_owned(),
            messages: messages.collect(),
            watched: WireSteps::of(&coverage.watched),
            missed: WireSteps::of(&coverage.missed),
            aside: WireSteps::of(&coverage.aside),
        }
    }

    pub(super) fn read(self) -> (String, Coverage) {
        let mut number = 0_u64;
        let messages: BTreeMap<u64, Named> = self
            .messages
            .into_iter()
            .map(|wire| {
                number = number.saturating_add(wire.number);
                let (message, sent) = (MessageKey::from_u64(wire.message), Timestamp::from_nanos(wire.sent));
                (number, Named { message, sent })
            })
            .collect();
        let coverage = Coverage {
            watched: WireSteps::read(self.watched),
            missed: WireSteps::read(self.missed),
            aside: WireSteps::read(self.aside),
            messages,
        };
        (self.channel, coverage)
    }
}

impl WireExample {
    pub(super) fn all(examples: &Examples) -> Vec<Self> {
        let wire = |(mishap, e): (Mishap, &Example)| Self {
            mishap: mishap as u32,
            at: e.at.as_nanos(),
            user: e.user,
            channel: e.channel.clone(),
            first: e.first,
            last: e.last,
        };
        Mishap::ALL.iter().flat_map(|m| examples.of(*m).iter().map(|e| (*m, e))).map(wire).collect()
    }

    pub(super) fn read(self) -> Result<(Mishap, Example), DecodeError> {
        let Self { mishap: id, at, user, channel, first, last } = self;
        let known = Mishap::ALL.into_iter().find(|m| *m as u32 == id);
        let mishap = known.ok_or(DecodeError::Unknown { kind: "mishap", id })?;
        Ok((mishap, Example { at: Timestamp::from_nanos(at), user, channel, first, last }))
    }
}
