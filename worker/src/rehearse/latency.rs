//! How long things take in a rehearsal: a seeded model of a healthy service, the same for every shard of a run.
//!
//! All times follow log-logistic distributions, whose quantiles have a closed form, `median × (q ÷ (1 − q))^(1 ÷ shape)`:
//! with shape 6, 99 % are within 2.2 and 99.99 % within 4.7 times the median. What happens to a whole room is drawn in
//! strata instead of user by user: the shape of each message's latencies is the distribution's, and its cost is bounded.

use std::time::Duration;

use measure::{MessageKey, SplitMix64};
use scenarios::model::Scenario;
use scenarios::{ChannelRef, Stay};

/// Different latencies that one message has in one worker, at most: about as many as a histogram tells apart there.
const STRATA: usize = 4_096;
/// So few receivers are drawn one by one.
const ONE_BY_ONE: u64 = 64;
/// Nothing takes longer, in microseconds.
const MOST: f64 = 2_000_000.0;

/// From a message's sending to its receivers, median in microseconds, and the shape of its tail.
const DELIVERY: (f64, f64) = (7_000.0, 5.0);
/// How messages differ from each other, and workers by where they are.
const MESSAGE: (f64, f64) = (1.0, 14.0);
const WORKER: (f64, f64) = (1.0, 20.0);
/// An API call.
const CALL: (f64, f64) = (6_000.0, 5.0);
/// The parts of a connection: TCP, TLS, upgrade, first event; then watching.
const TCP: (f64, f64) = (900.0, 6.0);
const TLS: (f64, f64) = (2_800.0, 6.0);
const UPGRADE: (f64, f64) = (1_700.0, 6.0);
const FIRST_EVENT: (f64, f64) = (1_200.0, 6.0);
const WATCH: (f64, f64) = (5_000.0, 5.0);
/// How late a generator starts what is due, and its event loop wakes up.
const LAG: (f64, f64) = (60.0, 4.0);
const LOOP_DELAY: (f64, f64) = (90.0, 4.0);

/// For what something is drawn, so that no two draws are the same.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Message = 0x5245_0001,
    Worker,
    Receivers,
    Connection,
    Call,
    Lag,
    LoopDelay,
}

/// The parts of making a connection, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connecting {
    /// Started so late.
    pub(super) lag: u64,
    /// The TCP handshake.
    pub(super) tcp: u64,
    /// The TLS handshake, where there is one.
    pub(super) tls: Option<u64>,
    /// The upgrade.
    pub(super) upgrade: u64,
    /// Then the first event.
    pub(super) first_event: u64,
    /// Then the answer to watching.
    pub(super) watch: u64,
}

impl Connecting {
    /// From due to the first event.
    pub(super) fn connected(&self) -> u64 {
        self.lag + self.tcp + self.tls.unwrap_or(0) + self.upgrade + self.first_event
    }

    /// From due to the answer to watching.
    pub(super) fn watching(&self) -> Duration {
        Duration::from_micros(self.connected() + self.watch)
    }
}

/// Where a user is at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Not there, as the scenario has it.
    Away,
    /// On its way: what it should do now is dropped.
    Joining,
    /// Connected, and watching.
    Here,
}

/// The model.
#[derive(Debug)]
pub(super) struct Latency {
    seed: u64,
    tls: bool,
    /// Quantiles of a median of 1, at the edges of the strata.
    edges: Vec<f64>,
}

impl Latency {
    /// The model of a scenario.
    pub(super) fn of(scenario: &Scenario) -> Self {
        let tls = scenario.target.urls.iter().any(|url| url.starts_with("wss://"));
        let edges = (0..=STRATA).map(|i| quantile(edge(i), (1.0, DELIVERY.1))).collect();
        Self { seed: scenario.seed, tls, edges }
    }

    fn draws(&self, purpose: Purpose, a: u64, b: u64) -> SplitMix64 {
        SplitMix64::of(&[self.seed, purpose as u64, a, b])
    }

    /// How a user's `visit`-th connection comes about.
    pub(super) fn connecting(&self, user: u64, visit: u32) -> Connecting {
        let mut draws = self.draws(Purpose::Connection, user, visit.into());
        let mut draw = |of| micros(draws.next_unit(), of);
        let (lag, tcp, tls) = (draw(LAG), draw(TCP), draw(TLS));
        let (upgrade, first_event, watch) = (draw(UPGRADE), draw(FIRST_EVENT), draw(WATCH));
        Connecting { lag, tcp, tls: self.tls.then_some(tls), upgrade, first_event, watch }
    }

    /// How late the `number`-th arrival of an action is started.
    pub(super) fn lag(&self, action: u16, number: u64) -> u64 {
        micros(self.draws(Purpose::Lag, action.into(), number).next_unit(), LAG)
    }

    /// From the start of its call to the answer.
    pub(super) fn call(&self, action: u16, number: u64) -> u64 {
        micros(self.draws(Purpose::Call, action.into(), number).next_unit(), CALL)
    }

    /// How late an event loop woke up.
    pub(super) fn loop_delay(&self, worker: u32, number: u64) -> u64 {
        micros(self.draws(Purpose::LoopDelay, worker.into(), number).next_unit(), LOOP_DELAY)
    }

    /// When `receivers` users of one cohort and worker have a message, in microseconds from its sending, rising, with how
    /// many have it then.
    pub(super) fn receivers(&self, key: MessageKey, worker: u32, cohort: u16, receivers: u64) -> Vec<(u64, u64)> {
        let far = quantile(self.draws(Purpose::Worker, worker.into(), 0).next_unit(), WORKER);
        let slow = quantile(self.draws(Purpose::Message, key.as_u64(), 0).next_unit(), MESSAGE);
        let median = DELIVERY.0 * far * slow;
        let place = (u64::from(worker) << 16) | u64::from(cohort);
        let mut draws = self.draws(Purpose::Receivers, key.as_u64(), place);
        if receivers <= ONE_BY_ONE {
            let mut each: Vec<_> =
                (0..receivers).map(|_| (micros(draws.next_unit(), (median, DELIVERY.1)), 1)).collect();
            each.sort_unstable();
            return each;
        }
        let strata = receivers.min(STRATA as u64);
        let width = STRATA as u64 / strata;
        let within = draws.next_unit();
        let stratum = |i: u64| {
            let n = (i + 1) * receivers / strata - i * receivers / strata;
            let (from, to) = ((i * width) as usize, ((i + 1) * width) as usize);
            let at = self.edges[from] + within * (self.edges[to] - self.edges[from]);
            ((median * at).min(MOST) as u64, n)
        };
        (0..strata).map(stratum).collect()
    }

    /// Where a user is, as the scenario has it.
    pub(super) fn presence(&self, scenario: &Scenario, user: u64, at: Duration) -> Presence {
        let Some(mut joins) = scenario.joins_at(user) else { return Presence::Away };
        for visit in 0.. {
            if at < joins {
                return Presence::Away;
            }
            let Stay { stays_for, away_for } = scenario.stays(user, visit);
            if stays_for.is_none_or(|stay| at < joins + stay) {
                let ready = joins + self.connecting(user, visit).watching();
                return if at < ready { Presence::Joining } else { Presence::Here };
            }
            match (stays_for, away_for) {
                (Some(stay), Some(away)) => joins += stay + away,
                _ => return Presence::Away,
            }
        }
        Presence::Away
    }
}

/// The share of receivers below an edge; the first and last edges lie half a stratum inside, as the ends are infinite.
fn edge(i: usize) -> f64 {
    (i as f64).clamp(0.5, STRATA as f64 - 0.5) / STRATA as f64
}

fn quantile(q: f64, (median, shape): (f64, f64)) -> f64 {
    let q = q.clamp(1e-9, 1.0 - 1e-9);
    median * (q / (1.0 - q)).powf(1.0 / shape)
}

fn micros(q: f64, of: (f64, f64)) -> u64 {
    quantile(q, of).min(MOST) as u64
}

/// The canaries of a channel: each watches one channel of each group.
pub(super) fn canaries_in(scenario: &Scenario, channel: ChannelRef) -> u64 {
    let count = scenario.channels[usize::from(channel.group)].count.max(1);
    let canaries = scenario.probes.canaries;
    u64::from(canaries / count) + u64::from(channel.number < canaries % count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::testing::scenario;

    #[test]
    fn a_room_has_a_message_as_the_distribution_says() {
        let latency = Latency::of(&scenario(10, ""));
        for receivers in [1_u64, 64, 65, 1_000, 4_097, 50_000] {
            let had = latency.receivers(MessageKey::new(1, 2), 3, 0, receivers);
            assert_eq!(had.iter().map(|(_, n)| n).sum::<u64>(), receivers);
            assert!(had.is_sorted() && had.len() as u64 <= receivers.min(STRATA as u64));
            assert_eq!(had, latency.receivers(MessageKey::new(1, 2), 3, 0, receivers), "seeded");
        }
        let had = latency.receivers(MessageKey::new(1, 2), 3, 0, 50_000);
        let at = |rank: u64| {
            let mut seen = 0;
            had.iter()
                .find(|(_, n)| {
                    seen += n;
                    seen >= rank
                })
                .map_or(0, |(micros, _)| *micros) as f64
        };
        let (p50, p99) = (at(25_000), at(49_500));
        let expected = quantile(0.99, (1.0, DELIVERY.1));
        assert!((p99 / p50 / expected - 1.0).abs() < 0.02, "{p50} {p99} {expected}");
    }

    #[test]
    fn canaries_spread_over_the_channels_of_a_group() {
        let scenario = scenario(10, "probes: {canaries: 7, send: 1/s}\n");
        let channel = |number| ChannelRef { group: 0, number };
        assert_eq!((0..3).map(|n| canaries_in(&scenario, channel(n))).collect::<Vec<_>>(), [3, 2, 2]);
    }
}
