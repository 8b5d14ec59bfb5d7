//! Cohorts and their actions.

use std::collections::BTreeMap;
use std::time::Duration;

use measure::grouped;

use super::{Check, Kind, LARGEST_MESSAGE, MOST_COHORTS, MOST_USERS, is_zero};
use crate::decode::Field;
use crate::diagnostic::quoted;
use crate::language::{ActionEntry, CohortEntry};
use crate::leaf::{Bytes, PerSecond};
use crate::model::{Action, ActionKind, Arrivals, CohortSpec, Compression, Range, Transport};
use crate::words::{Reference, SpreadWord};

/// Bytes of text of a message whose size is not stated: what people type.
const DEFAULT_SIZE: Range<u32> = Range { min: 120, max: 400 };

/// A rate that stands in for one that was refused.
const HARMLESS_RATE: f64 = 1.0;

impl Check<'_> {
    pub(super) fn cohorts(&mut self) -> Vec<CohortSpec> {
        let field = &self.file.cohorts;
        let Some(list) = field.get() else { return Vec::new() };
        if list.items.is_empty() && !list.partial {
            self.error(
                field.key,
                "there is no cohort: nobody would join",
                "add one: `- { name: fans, users: 100, ramp: { rate: 10/s } }`",
            );
        }
        if list.items.len() > MOST_COHORTS {
            let message = format!("there are {} cohorts", list.items.len());
            self.error(
                field.key,
                message,
                format!("{MOST_COHORTS} are the most; put users who behave alike into one cohort"),
            );
            return Vec::new();
        }
        let mut seen = BTreeMap::new();
        let mut users: u64 = 0;
        let mut cohorts = Vec::with_capacity(list.items.len());
        for item in &list.items {
            if let Some(name) = item.value.name.get()
                && seen.insert(name.0.as_str(), ()).is_some()
            {
                let message = format!("a second cohort is called {}", quoted(&name.0));
                self.error(item.value.name.span, message, "cohorts, and their users, are told apart by their names");
            }
            let cohort = self.cohort(&item.value);
            let before = users;
            users = users.saturating_add(cohort.users);
            if users > MOST_USERS && before <= MOST_USERS {
                let message = format!("with this cohort the run has {} users", grouped(users));
                self.error(item.value.users.span, message, format!("{} are the most", grouped(MOST_USERS)));
            }
            cohorts.push(cohort);
        }
        let actions: usize = cohorts.iter().map(|cohort| cohort.actions.len()).sum();
        if actions > MOST_COHORTS {
            self.error(
                field.key,
                format!("the cohorts have {actions} actions"),
                format!("{MOST_COHORTS} are the most"),
            );
        }
        cohorts
    }

    fn cohort(&mut self, entry: &CohortEntry) -> CohortSpec {
        if is_zero(&entry.users, |users| users.0 == 0) {
            self.error(entry.users.span, "a cohort of no users does nothing", "give it at least 1 user, or remove it");
        }
        let ramp = entry.ramp.get();
        if let Some(ramp) = ramp.filter(|ramp| is_zero(&ramp.rate, |rate| rate.0 <= 0.0)) {
            self.error(ramp.rate.span, "at this rate nobody ever joins", "give a rate above 0, such as `100/s`");
        }
        if is_zero(&entry.lifetime, |range| range.0.max.is_zero()) {
            self.error(
                entry.lifetime.span,
                "users who stay for no time at all can't do anything",
                "give a time above 0, such as `30s..2m`",
            );
        }
        if entry.rejoin.given && !entry.lifetime.given {
            self.error(
                entry.rejoin.key,
                "`rejoin` without `lifetime`: these users never leave",
                "add `lifetime: 1m`, or remove `rejoin`",
            );
        }
        let transport = entry.transport.get().map_or(Transport::WebSocket, |word| word.0);
        let compression = entry.compression.get().map_or(Compression::None, |word| word.0);
        if (transport, compression) == (Transport::LongPoll, Compression::Deflate) {
            self.error(
                entry.compression.span,
                "messages that are fetched by long-polling are not compressed",
                "remove `compression`, or `transport`",
            );
        }
        let rate = ramp.and_then(|ramp| ramp.rate.get()).map_or(HARMLESS_RATE, |rate| rate.0);
        let users = entry.users.get().map_or(1, |users| users.0);
        if let Some(ramp) = ramp.filter(|_| rate > 0.0) {
            self.no_month(
                ramp.rate.span,
                "at this rate joining takes",
                Duration::from_secs((users as f64 / rate) as u64),
            );
            self.no_month(
                ramp.delay.span,
                "nobody joins for",
                ramp.delay.get().map_or(Duration::ZERO, |delay| delay.0),
            );
        }
        self.vague |= entry.actions.given && entry.actions.get().is_none_or(|list| list.partial);
        let actions = entry.actions.get().map(|list| list.items.iter()).into_iter().flatten();
        CohortSpec {
            name: entry.name.get().map(|name| name.0.clone()).unwrap_or_default(),
            users,
            compression,
            transport,
            ramp_rate: if rate > 0.0 { rate } else { HARMLESS_RATE },
            ramp_delay: ramp.and_then(|ramp| ramp.delay.get()).map_or(Duration::ZERO, |delay| delay.0),
            lifetime: entry.lifetime.get().map(|range| range.0),
            rejoin: entry.rejoin.get().map(|range| range.0),
            actions: actions
                .filter_map(|item| {
                    let action = self.action(&item.value);
                    self.vague |= action.is_none();
                    action
                })
                .collect(),
        }
    }

    /// An action; `None` if it names no channel that exists.
    fn action(&mut self, entry: &ActionEntry) -> Option<Action> {
        if let Some(send) = entry.send.get() {
            let size = self.size(&send.size);
            return self.act(ActionKind::Send { size }, &send.channel, &send.rate, &send.arrivals);
        }
        let (kind, act) =
            [(ActionKind::React, &entry.react), (ActionKind::Typing, &entry.typing), (ActionKind::Read, &entry.read)]
                .into_iter()
                .find_map(|(kind, field)| field.get().map(|act| (kind, act)))?;
        self.act(kind, &act.channel, &act.rate, &act.arrivals)
    }

    fn act(
        &mut self,
        kind: ActionKind,
        channel: &Field<Reference>,
        rate: &Field<PerSecond>,
        arrivals: &Field<SpreadWord>,
    ) -> Option<Action> {
        if is_zero(rate, |rate| rate.0 <= 0.0) {
            self.error(rate.span, "at this rate it never happens", "give a rate above 0, or remove the action");
        }
        let channel = self.resolve(Kind::Channel, &channel.get()?.0, channel.span)?;
        let rate = rate.get().map_or(HARMLESS_RATE, |rate| rate.0);
        let arrivals = match arrivals.get() {
            Some(SpreadWord::Even) => Arrivals::Even,
            Some(SpreadWord::Poisson) | None => Arrivals::Poisson,
        };
        Some(Action { kind, channel, rate, arrivals })
    }

    fn size(&mut self, field: &Field<Bytes>) -> Range<u32> {
        let Some(Bytes(size)) = field.get().copied() else { return DEFAULT_SIZE };
        if size.max > LARGEST_MESSAGE {
            let message =
                format!("messages of {} bytes are above the limit of {LARGEST_MESSAGE} bytes (5 KiB)", size.max);
            self.error(field.span, message, "chat services refuse larger ones: give at most `5KiB`");
        }
        if size.min == 0 {
            self.error(field.span, "a message has at least one byte of text", "give at least `1B`");
        }
        size
    }
}
