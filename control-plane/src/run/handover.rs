//! Under `on_worker_loss: redistribute` a lost worker's users are handed to the others.
//!
//! Not at once: a worker whose link is cut may still make its load. It ends that by itself ([`crate::limits::Limits::alone_redistributed`]),
//! and only then may others have its users, so that no user is there twice.

use std::collections::BTreeMap;

use measure::{Timestamp, grouped};
use serde::{Deserialize, Serialize};

use super::plan::users_of_shard;
use super::{Effect, Gap, Kind, OnLoss, Order, Run, State, kind};
/// Shards are not split further than into so many: a worker's threads split them again, in 32 bits.
const SHARDS_MAX: u32 = 1 << 24;

/// A shard that lost its worker, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Which shard …
    pub index: u32,
    /// … of how many.
    pub count: u32,
    /// Its users.
    pub users: u64,
}

/// A part of what a worker had, and who is to have it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    piece: Piece,
    /// The shard that it is a part of was one of so many.
    of: u32,
    /// Empty, if nobody has room for it.
    keeper: String,
    /// When that one said that it has it, or was lost itself.
    at: Option<u64>,
    /// Why it does not.
    refused: String,
    /// It was lost itself: these users are in its handover now.
    moved: bool,
    /// When it was told. Whoever is told twice takes it once.
    #[serde(skip)]
    told: Option<Timestamp>,
}

impl Part {
    fn is_settled(&self) -> bool {
        self.at.is_some() || !self.refused.is_empty()
    }
}

/// Users who have lost their worker. Instants are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handover {
    /// What happened to it, in words that name it.
    why: String,
    pieces: Vec<Piece>,
    /// When it was heard last.
    since: u64,
    /// When its load has surely ended.
    due: u64,
    /// Empty before that.
    parts: Vec<Part>,
    /// The worker ended in order, so that all that its users saw is in the account.
    in_order: bool,
    /// That all is settled was told.
    told: bool,
}

/// Shares pieces out over `keepers`, each with the users that it has and those that it can hold. The largest come first, in
/// parts as large as everybody's fair share; each goes to the one with the fewest users that has room for it.
fn share_out(users: u64, pieces: &[Piece], keepers: &mut BTreeMap<String, (u64, u64)>) -> Vec<Part> {
    let all: u64 = pieces.iter().map(|piece| piece.users).sum();
    let fair = all.div_ceil(keepers.len().max(1) as u64).max(1);
    let mut pieces = pieces.to_vec();
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.users));
    let mut parts = Vec::new();
    for whole in pieces {
        let split = u32::try_from(whole.users.div_ceil(fair)).unwrap_or(u32::MAX).max(1);
        let count = whole.count.checked_mul(split).filter(|count| *count <= SHARDS_MAX);
        let (split, count) = count.map_or((1, whole.count), |count| (split, count));
        for j in 0..split {
            let index = whole.index + whole.count * j;
            let piece = Piece { index, count, users: users_of_shard(users, index, count) };
            let fits = |(_, (has, holds)): &(&String, &mut (u64, u64))| *has + piece.users <= *holds;
            let keeper = keepers.iter_mut().filter(fits).min_by_key(|(_, (has, _))| *has);
            let name = keeper.map_or_else(String::new, |(name, (has, _))| {
                *has += piece.users;
                name.clone()
            });
            let refused = if name.is_empty() { "no worker has room for them".to_owned() } else { String::new() };
            parts.push(Part { piece, of: whole.count, keeper: name, at: None, refused, moved: false, told: None });
        }
    }
    parts.retain(|part| part.piece.users > 0);
    parts
}

impl Run {
    /// Whether a worker that is lost now has its users taken over.
    pub(super) fn hands_over(&self) -> bool {
        self.plan.on_worker_loss == OnLoss::Redistribute && self.state == State::Running
    }

    /// A member's users: its own, and those that it took over.
    pub fn users_of(&self, name: &str) -> u64 {
        self.pieces_of(name).iter().map(|piece| piece.users).sum()
    }

    fn pieces_of(&self, name: &str) -> Vec<Piece> {
        let own = self.members.get(name).map(|m| &m.share);
        let own = own.map(|share| Piece { index: share.index, count: share.count, users: share.users });
        let parts = self.handovers.iter().flat_map(|handover| &handover.parts);
        let kept = parts.filter(|part| part.keeper == name && part.refused.is_empty() && !part.moved);
        own.into_iter().chain(kept.map(|part| part.piece)).collect()
    }

    /// A worker is gone, as `why` says, and was heard last at `since`. Its users are handed over at `due`; at once, where it
    /// has ended in order.
    pub(super) fn orphan(&mut self, name: &str, why: String, since: Timestamp, due: Option<Timestamp>) {
        let pieces = self.pieces_of(name);
        if pieces.iter().all(|piece| piece.users == 0) {
            return self.allowed.push(why);
        }
        let (in_order, due) = (due.is_none(), due.unwrap_or(since).as_nanos());
        let since = since.as_nanos();
        let theirs = self.handovers.iter_mut().flat_map(|handover| &mut handover.parts);
        for part in theirs.filter(|part| part.keeper == name && part.refused.is_empty()) {
            part.moved = true;
            part.at = part.at.or(Some(since));
        }
        self.handovers.push(Handover { why, pieces, since, due, parts: Vec::new(), in_order, told: false });
    }

    /// The next instant at which somebody has to be told something.
    pub(super) fn handover_at(&self) -> Option<Timestamp> {
        let lease = self.limits.lease;
        let next = self.handovers.iter().flat_map(|handover| {
            let due = handover.parts.is_empty().then(|| Timestamp::from_nanos(handover.due));
            let open = handover.parts.iter().filter(|part| !part.is_settled());
            due.into_iter().chain(open.map(move |part| part.told.map_or(Timestamp::default(), |told| told + lease)))
        });
        next.min()
    }

    /// Hands over whose worker's load has surely ended, and tells those again who have not answered: orders get lost with
    /// the stream that they are on.
    pub(super) fn hand_over(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let over = self.start.is_none_or(|start| now >= start + self.plan.duration);
        if over || self.state != State::Running || self.handover_at().is_none_or(|at| now < at) {
            return;
        }
        for i in 0..self.handovers.len() {
            if self.handovers[i].parts.is_empty() && now.as_nanos() >= self.handovers[i].due {
                let alive = self.of_kind(Kind::Worker).filter(|(_, m)| !m.state.is_over());
                let room = |(name, m): (&String, &super::Member)| {
                    (name.clone(), (self.users_of(name), m.share.agent.capacity))
                };
                let mut keepers: BTreeMap<_, _> = alive.map(room).collect();
                self.handovers[i].parts = share_out(self.plan.users, &self.handovers[i].pieces, &mut keepers);
                self.tell_handover(now, i, out);
            }
            for part in self.handovers[i].parts.iter_mut().filter(|part| !part.is_settled()) {
                if part.told.is_none_or(|told| now >= told + self.limits.lease) {
                    part.told = Some(now);
                    let Piece { index, count, .. } = part.piece;
                    out.push(Effect::Order(part.keeper.clone(), Order::Adopt { index, count, of: part.of }));
                }
            }
        }
    }

    /// A worker has taken a part of another's users over, or can't.
    pub(super) fn adopted(
        &mut self,
        now: Timestamp,
        name: &str,
        shard: (u32, u32),
        error: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let is_it = |part: &&mut Part| {
            part.keeper == name && (part.piece.index, part.piece.count) == shard && !part.is_settled()
        };
        for i in 0..self.handovers.len() {
            if let Some(part) = self.handovers[i].parts.iter_mut().find(is_it) {
                match error {
                    Some(why) => part.refused = format!("{name} can't: {why}"),
                    None => part.at = Some(now.as_nanos()),
                }
                return self.tell_handover(now, i, out);
            }
        }
    }

    /// Says once how a handover went.
    fn tell_handover(&mut self, now: Timestamp, i: usize, out: &mut Vec<Effect>) {
        let handover = &self.handovers[i];
        if !handover.told && handover.parts.iter().all(Part::is_settled) {
            let (text, _) = self.words(handover);
            self.handovers[i].told = true;
            self.note(now, kind::HANDED_OVER, text, out);
        }
    }

    /// What became of a lost worker's users; and whether others have them all.
    fn words(&self, handover: &Handover) -> (String, bool) {
        let start = self.start.map_or(0, Timestamp::as_nanos);
        let at = |ns: u64| format!("{:.1} s", ns.saturating_sub(start) as f64 / 1e9);
        let users: u64 = handover.pieces.iter().map(|piece| piece.users).sum();
        let mut keepers: BTreeMap<&str, u64> = BTreeMap::new();
        let taken = |part: &&Part| part.at.is_some() && part.refused.is_empty();
        for part in handover.parts.iter().filter(taken) {
            *keepers.entry(&part.keeper).or_default() += part.piece.users;
        }
        let left = users - keepers.values().sum::<u64>();
        let until = handover.parts.iter().filter(taken).filter_map(|part| part.at).max();
        let keepers: Vec<_> = keepers.iter().map(|(name, users)| format!("{name} ({})", grouped(*users))).collect();
        let (why, users) = (&handover.why, grouped(users));
        let since = at(handover.since);
        let until_when = until.map_or_else(|| "the end".to_owned(), at);
        let mut text = if handover.in_order {
            format!("{why}: its {users} users did nothing from {since} to {until_when}")
        } else {
            format!(
                "{why}: it is not known what its {users} users saw and did from {since} to {until_when}, nor what they \
                     had seen and not told before"
            )
        };
        if !keepers.is_empty() {
            text = format!("{text}; since then they are with {}", keepers.join(", "));
        }
        if left > 0 {
            let mut reasons: Vec<&str> = handover.parts.iter().map(|part| part.refused.as_str()).collect();
            reasons.retain(|why| !why.is_empty());
            reasons.sort_unstable();
            reasons.dedup();
            if reasons.is_empty() {
                reasons.push("the load was over before others had them");
            }
            text = format!("{text}; {} of them were taken over by nobody: {}", grouped(left), reasons.join("; "));
        }
        (text, left == 0)
    }

    /// The load is over: what is to be said of each handover in the verdict, and the gaps in the account.
    pub(super) fn settle_handovers(&mut self, now: Timestamp) {
        for handover in std::mem::take(&mut self.handovers) {
            let (text, whole) = self.words(&handover);
            if whole { &mut self.allowed } else { &mut self.invalid }.push(text);
            let (users, since) = (handover.pieces.iter().map(|piece| piece.users).sum::<u64>(), handover.since);
            let taken = handover.parts.iter().filter(|part| part.refused.is_empty());
            let taken: Vec<_> = taken.filter_map(|part| Some((part.piece.users, part.at?))).collect();
            let others: u64 = taken.iter().map(|(users, _)| users).sum();
            let until = taken.iter().map(|(_, at)| *at).max().unwrap_or(since);
            let gaps =
                [Gap { users: others, since, until }, Gap { users: users - others, since, until: now.as_nanos() }];
            self.gaps.extend(gaps.into_iter().filter(|gap| gap.users > 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use measure::SplitMix64;

    use super::*;

    fn is_in(piece: Piece, user: u64) -> bool {
        user % u64::from(piece.count) == u64::from(piece.index)
    }

    /// Worker after worker is lost, until one is left; whose every user is must be known at every moment.
    #[test]
    fn every_user_has_one_worker_after_any_number_of_losses() {
        for seed in 0..60 {
            let mut random = SplitMix64::of(&[seed]);
            let (users, workers) = (1 + random.below(3_000), 2 + random.below(9) as u32);
            let own = |index| Piece { index, count: workers, users: users_of_shard(users, index, workers) };
            let mut held: BTreeMap<String, Vec<Piece>> =
                (0..workers).map(|w| (format!("w{w}"), vec![own(w)])).collect();
            while held.len() > 1 {
                let lost = held.keys().nth(random.below(held.len() as u64) as usize).cloned().expect("some are left");
                let pieces = held.remove(&lost).expect("it was there");
                let has = |pieces: &Vec<Piece>| pieces.iter().map(|p| p.users).sum::<u64>();
                let mut keepers = held.iter().map(|(name, has_now)| (name.clone(), (has(has_now), users))).collect();
                for part in share_out(users, &pieces, &mut keepers) {
                    held.get_mut(&part.keeper).expect("a keeper that is there").push(part.piece);
                }
                for user in 0..users {
                    let owners = held.values().flatten().filter(|piece| is_in(**piece, user)).count();
                    assert_eq!(owners, 1, "seed {seed}, user {user} of {users}: {held:?}");
                }
                let loads: Vec<u64> = held.values().map(has).collect();
                assert_eq!(loads.iter().sum::<u64>(), users, "seed {seed}");
                let most = loads.iter().max().copied().unwrap_or(0);
                assert!(most <= 2 * users.div_ceil(loads.len() as u64) + 1, "seed {seed}: {loads:?} is uneven");
                // Pieces must not grow in number as fast as workers fall.
                assert!(held.values().all(|pieces| pieces.len() <= 40), "seed {seed}: {held:?}");
            }
        }
    }

    #[test]
    fn nobody_takes_more_than_it_holds() {
        let piece = Piece { index: 2, count: 3, users: 100 };
        let mut keepers = [("big".to_owned(), (100, 1_000)), ("small".to_owned(), (100, 120))].into();
        let parts = share_out(300, &[piece], &mut keepers);
        assert!(parts.iter().all(|part| part.keeper == "big" && part.piece.users == 50), "{parts:?}");
        assert_eq!(keepers["big"].0, 200);
        let mut full = [("small".to_owned(), (100, 120))].into();
        let parts = share_out(300, &[piece], &mut full);
        assert!(parts.iter().all(|part| part.keeper.is_empty() && part.is_settled()), "{parts:?}");
    }

    #[test]
    fn shards_are_not_split_without_end() {
        let users = 4 * u64::from(SHARDS_MAX);
        let piece = Piece { index: 1, count: SHARDS_MAX, users: users_of_shard(users, 1, SHARDS_MAX) };
        let mut keepers = [("a".to_owned(), (0, 99)), ("b".to_owned(), (0, 99))].into();
        let parts = share_out(users, &[piece], &mut keepers);
        assert!(parts.len() == 1 && parts[0].piece == piece, "{parts:?}");
    }
}
