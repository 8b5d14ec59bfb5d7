//! The service of a rehearsal: what its channels' events are, in order. It is a pure function of the scenario, its seed and
//! the workers that are lost, so that every worker has its own and all agree to the last number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use measure::MessageKey;
use scenarios::model::{ActionKind, Scenario};
use scenarios::plan::BYTES_AROUND_TEXT;
use scenarios::{Arrival, ChannelRef, Shard};
use wire::Stamp;

use super::latency::{Latency, Presence};
use super::losses::Losses;

/// The canaries' first message.
const CANARIES_AFTER: Duration = Duration::from_secs(3);
/// Bytes of a canary's text.
const CANARY_TEXT: u64 = 58;

/// An event of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// When it was due.
    pub(super) at: Duration,
    /// How long after that it was sent, in microseconds.
    pub(super) late: u64,
    /// Where.
    pub(super) channel: ChannelRef,
    /// Its number there.
    pub(super) seq: u64,
    /// Which message it is; a reaction is none.
    pub(super) message: Option<MessageKey>,
    /// Bytes of its frame.
    pub(super) bytes: u64,
}

/// What a channel has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    seq: u64,
    /// There is a message to react to.
    said: bool,
}

type Stream<'a> = Box<dyn Iterator<Item = Arrival> + 'a>;

/// See the module.
pub(super) struct Service<'a> {
    scenario: &'a Scenario,
    latency: &'a Latency,
    losses: &'a Losses,
    /// Durable actions: number, kind, what comes. The canaries' messages are the last.
    streams: Vec<(u16, ActionKind, Stream<'a>)>,
    /// The next of each stream, the earliest on top.
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    waiting: Vec<Option<Arrival>>,
    channels: HashMap<ChannelRef, Channel>,
}

impl<'a> Service<'a> {
    /// A service that nobody has said anything to.
    pub(super) fn new(scenario: &'a Scenario, latency: &'a Latency, losses: &'a Losses) -> Self {
        let durable =
            scenario.actions().filter(|(_, _, action)| !matches!(action.kind, ActionKind::Typing | ActionKind::Read));
        let mut streams: Vec<(u16, ActionKind, Stream<'a>)> = durable
            .map(|(number, _, action)| {
                (number, action.kind, Box::new(scenario.arrivals(number, Shard::WHOLE)) as Stream<'a>)
            })
            .collect();
        let text = scenarios::model::Range { min: CANARY_TEXT as u32, max: CANARY_TEXT as u32 };
        streams.push((Stamp::CANARY, ActionKind::Send { size: text }, Box::new(canary_messages(scenario))));
        let waiting = vec![None; streams.len()];
        let mut service =
            Self { scenario, latency, losses, streams, next: BinaryHeap::new(), waiting, channels: HashMap::new() };
        (0..service.streams.len()).for_each(|stream| service.fetch(stream));
        service
    }

    fn fetch(&mut self, stream: usize) {
        self.waiting[stream] = self.streams[stream].2.next();
        if let Some(arrival) = self.waiting[stream] {
            self.next.push(Reverse((arrival.at, stream)));
        }
    }

    /// When something may be published next.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.next.peek().map(|Reverse((at, _))| *at)
    }

    /// The newest number of a channel.
    pub(super) fn seq(&self, channel: ChannelRef) -> u64 {
        self.channels.get(&channel).map_or(0, |c| c.seq)
    }

    /// Whether there is a message in a channel to react to.
    pub(super) fn has_said(&self, channel: ChannelRef) -> bool {
        self.channels.get(&channel).is_some_and(|c| c.said)
    }

    /// What was to be published next, if it was.
    pub(super) fn pop(&mut self) -> Option<Published> {
        let Reverse((_, stream)) = self.next.pop()?;
        let (action, kind, _) = self.streams[stream];
        let arrival = self.waiting[stream].take()?;
        self.fetch(stream);
        if action != Stamp::CANARY && !self.is_done(arrival.user, arrival.at) {
            return None;
        }
        let channel = self.channels.entry(arrival.channel).or_default();
        let message = match kind {
            ActionKind::React if !channel.said => return None,
            ActionKind::React => None,
            _ => Some(MessageKey::new(action, arrival.number)),
        };
        channel.said = true;
        channel.seq += 1;
        Some(Published {
            at: arrival.at,
            late: self.latency.lag(action, arrival.number),
            channel: arrival.channel,
            seq: channel.seq,
            message,
            bytes: u64::from(arrival.size) + BYTES_AROUND_TEXT,
        })
    }

    fn is_done(&self, user: u64, at: Duration) -> bool {
        self.losses.presence(self.scenario, self.latency, user, at) == Presence::Here
    }
}

/// What the canaries say: in turn, each in its own channels in turn.
pub(super) fn canary_messages(scenario: &Scenario) -> impl Iterator<Item = Arrival> + '_ {
    let (count, rate) = (scenario.probes.canaries, scenario.probes.send_rate);
    let end = scenario.timeline().end;
    let groups: Vec<(u16, u32)> =
        scenario.channels.iter().zip(0_u16..).filter(|(g, _)| g.count > 0).map(|(g, i)| (i, g.count)).collect();
    let any = count > 0 && rate > 0.0 && !groups.is_empty();
    let message = move |k: u64| {
        let (canary, turn) = (k % u64::from(count), k / u64::from(count));
        let (group, channels) = groups[(turn % groups.len() as u64) as usize];
        let number = (canary % u64::from(channels)) as u32;
        let at = CANARIES_AFTER + Duration::from_secs_f64(k as f64 / rate);
        Arrival { at, number: k, user: canary, channel: ChannelRef { group, number }, size: CANARY_TEXT as u32 }
    };
    any.then_some(message)
        .into_iter()
        .flat_map(move |message| (0..).map(message).take_while(move |arrival| arrival.at < end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::losses::Piece;
    use crate::rehearse::testing::scenario;

    fn all(scenario: &Scenario, losses: &Losses) -> Vec<Published> {
        let latency = Latency::of(scenario);
        let mut service = Service::new(scenario, &latency, losses);
        let mut published = Vec::new();
        while service.next_at().is_some() {
            published.extend(service.pop());
        }
        published
    }

    #[test]
    fn numbers_have_no_gap_and_events_are_in_order() {
        let scenario = scenario(300, "probes: {canaries: 2, send: 5/s}\n");
        let published = all(&scenario, &Losses::default());
        assert!(published.is_sorted_by_key(|p| p.at) && published.len() > 100);
        let mut newest: HashMap<ChannelRef, u64> = HashMap::new();
        for event in &published {
            let seq = newest.entry(event.channel).or_default();
            *seq += 1;
            assert_eq!(event.seq, *seq);
        }
        assert!(published.iter().any(|p| p.message.is_some_and(|m| m.action() == Stamp::CANARY)));
        assert!(published.iter().any(|p| p.message.is_none()), "reactions");
        assert_eq!(published, all(&scenario, &Losses::default()), "the same for everybody");
    }

    #[test]
    fn a_lost_shard_says_nothing_more() {
        let scenario = scenario(300, "");
        let losses = Losses::default();
        losses.add(Shard::new(0, 2).unwrap(), Duration::from_secs(6));
        let (whole, less) = (all(&scenario, &Losses::default()), all(&scenario, &losses));
        let before = |events: &[Published]| events.iter().filter(|p| p.at < Duration::from_secs(6)).count();
        assert_eq!(before(&whole), before(&less));
        assert!(less.len() < whole.len());
    }

    #[test]
    fn users_who_are_taken_over_speak_again_once_they_are_back_and_fall_silent_with_their_new_worker() {
        let scenario = scenario(300, "");
        let (lost, latency) = (Shard::new(0, 2).unwrap(), Latency::of(&scenario));
        let parts = [0, 2].map(|index| Shard::new(index, 4).unwrap());
        let losses = Losses::default();
        losses.add(lost, Duration::from_secs(3));
        for shard in parts {
            losses.taken(Piece { shard, of: 2, from: Duration::from_secs(6) });
        }
        losses.add(parts[1], Duration::from_secs(9));
        let there = |user: u64, at: f64| {
            losses.presence(&scenario, &latency, user, Duration::from_secs_f64(at)) == Presence::Here
        };
        let stays = |at: f64| (0..300).filter(|user| there(*user, at)).count();
        assert_eq!((stays(2.5), stays(3.5), stays(5.9)), (300, 150, 150));
        assert!((150..300).contains(&stays(6.2)), "they return as fast as the ramp has it: {}", stays(6.2));
        assert_eq!((stays(8.0), stays(9.5)), (300, 225));
        let of_them = |from: u64, to: u64| {
            let seconds = Duration::from_secs(from)..Duration::from_secs(to);
            all(&scenario, &losses).iter().filter(|p| seconds.contains(&p.at)).count()
        };
        assert!(of_them(7, 9) > of_them(4, 6) && of_them(7, 9) > of_them(9, 11), "who is there is heard");
    }
}
