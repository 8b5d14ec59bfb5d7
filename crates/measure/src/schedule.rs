//! Pace as a value: a rate over time, and the instants at which its events fall due.
//!
//! A [`Profile`] is a piecewise linear rate. Its integral, the number of events expected until an instant, is a
//! parabola on each piece, so that it is inverted in closed form: the instant by which `x` events are expected. An even
//! schedule asks for `x = 1, 2, 3, …`; a Poisson process of that rate asks for the partial sums of independent
//! exponential variables of mean 1 (the time-rescaling theorem: Lewis and Shedler, "Simulation of nonhomogeneous Poisson
//! processes by thinning", 1979, section 1). Nothing here knows what time it is.

use std::time::Duration;

/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// A rate in events a second, linear on each of its pieces, and zero after the last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// Since the profile's start.
    start: Duration,
    end: Duration,
    /// Seconds; more than zero.
    length: f64,
    /// Events a second, at the start and at the end of the piece.
    from: f64,
    to: f64,
    /// Events expected before the piece, and in it.
    before: f64,
    inside: f64,
}

impl Piece {
    /// Events expected in the first `t` seconds of the piece.
    fn expected(&self, t: f64) -> f64 {
        (self.from + (self.to - self.from) * t / self.length / 2.0) * t
    }

    /// The seconds into the piece by which `x` events are expected: the root of `slope/2 t² + from t − x = 0`, in the
    /// form that loses no digits when the slope is small.
    fn time_of(&self, x: f64) -> f64 {
        let slope = (self.to - self.from) / self.length;
        let discriminant = (self.from * self.from + 2.0 * slope * x).max(0.0);
        let divisor = self.from + discriminant.sqrt();
        if divisor <= 0.0 { self.length } else { (2.0 * x / divisor).min(self.length) }
    }
}

impl Profile {
    /// A rate that stays as it is.
    pub fn constant(rate: f64, duration: Duration) -> Self {
        let mut profile = Self::default();
        profile.push(duration, rate, rate);
        profile
    }

    /// Adds a piece at the end, over which the rate moves from `from` to `to` events a second. A piece of no length is
    /// left out; rates that are negative or no number count as zero.
    pub fn push(&mut self, duration: Duration, from: f64, to: f64) {
        if duration.is_zero() {
            return;
        }
        let (from, to) = (sane(from), sane(to));
        let (start, before) = self.pieces.last().map_or((Duration::ZERO, 0.0), |p| (p.end, p.before + p.inside));
        let end = start.saturating_add(duration);
        let mut piece = Piece { start, end, length: duration.as_secs_f64(), from, to, before, inside: 0.0 };
        piece.inside = piece.expected(piece.length);
        self.pieces.push(piece);
    }

    /// How long the profile is.
    pub fn duration(&self) -> Duration {
        self.pieces.last().map_or(Duration::ZERO, |p| p.end)
    }

    /// Events expected in all.
    pub fn total(&self) -> f64 {
        self.pieces.last().map_or(0.0, |p| p.before + p.inside)
    }

    /// The highest rate, in events a second.
    pub fn peak(&self) -> f64 {
        self.pieces.iter().fold(0.0, |peak, p| peak.max(p.from).max(p.to))
    }

    /// The rate at an instant, in events a second. Where two pieces meet, the later one's.
    pub fn rate_at(&self, at: Duration) -> f64 {
        match self.piece_at(at) {
            Some(p) if at < p.end => p.from + (p.to - p.from) * (at - p.start).as_secs_f64() / p.length,
            _ => 0.0,
        }
    }

    /// Events expected until an instant.
    pub fn expected_until(&self, at: Duration) -> f64 {
        self.piece_at(at).map_or(0.0, |p| p.before + p.expected((at.min(p.end) - p.start).as_secs_f64()))
    }

    /// The instant by which `x` events are expected; `None` if so many never are.
    pub fn time_of(&self, x: f64) -> Option<Duration> {
        let mut cursor = 0;
        self.time_from(x, &mut cursor)
    }

    fn piece_at(&self, at: Duration) -> Option<&Piece> {
        let after = self.pieces.partition_point(|p| p.start <= at);
        after.checked_sub(1).map(|i| &self.pieces[i])
    }

    /// As [`Profile::time_of`], for callers who ask with growing `x`: `cursor` remembers the piece.
    fn time_from(&self, x: f64, cursor: &mut usize) -> Option<Duration> {
        while let Some(p) = self.pieces.get(*cursor) {
            // The sums of many pieces round: the last of a hundred events is due although 99.999… are expected.
            if x <= (p.before + p.inside) * (1.0 + 1e-12) && p.inside > 0.0 {
                let inside = seconds(p.time_of((x - p.before).max(0.0)));
                return Some(p.start.saturating_add(inside).min(p.end));
            }
            *cursor += 1;
        }
        None
    }
}

fn sane(rate: f64) -> f64 {
    if rate.is_finite() && rate > 0.0 { rate } else { 0.0 }
}

fn seconds(s: f64) -> Duration {
    // A float cast saturates, so that no input can panic.
    Duration::from_nanos((s * NANOS).round() as u64)
}

/// The instants at which events fall due, in order: an iterator over time since the profile's start.
#[derive(Clone, Debug)]
pub struct Schedule {
    profile: Profile,
    spread: Spread,
    cursor: usize,
    /// Events expected until the last instant that was given.
    reached: f64,
}

#[derive(Clone, Debug)]
enum Spread {
    Even,
    Poisson(SplitMix64),
}

impl Schedule {
    /// The n-th event (from 1) falls due when n events are expected: equal distances where the rate is constant.
    pub fn even(profile: Profile) -> Self {
        Self { profile, spread: Spread::Even, cursor: 0, reached: 0.0 }
    }

    /// A Poisson process: events are independent of each other. The same seed gives the same instants.
    pub fn poisson(profile: Profile, seed: u64) -> Self {
        Self { profile, spread: Spread::Poisson(SplitMix64::new(seed)), cursor: 0, reached: 0.0 }
    }

    /// The rate that it follows.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.reached += match &mut self.spread {
            Spread::Even => 1.0,
            Spread::Poisson(random) => -random.next_unit().ln(),
        };
        self.profile.time_from(self.reached, &mut self.cursor)
    }
}

/// SplitMix64: a counter put through a mixing function (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014; constants of Stafford's variant 13). Small and fast, its outputs pass BigCrush; not for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The odd number nearest to 2^64 divided by the golden ratio.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Starts from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts from several words, so that each different list has its own numbers.
    pub fn of(words: &[u64]) -> Self {
        Self(words.iter().fold(0, |state, word| Self::mix(state ^ Self::mix(word.wrapping_add(Self::STEP)))))
    }

    /// Scatters the bits of a word; one to one.
    pub const fn mix(word: u64) -> u64 {
        let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        Self::mix(self.0)
    }

    /// The next number below `bound`; 0 if that is 0. Multiply and shift: the bias is at most `bound / 2^64`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// The next number in the open interval (0, 1), from 52 bits.
    pub fn next_unit(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 52) as f64;
        ((self.next_u64() >> 12) as f64 + 0.5) * SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn profile() -> impl Strategy<Value = Profile> {
        proptest::collection::vec((1_u64..100_000, 0.0..500.0_f64, 0.0..500.0_f64), 1..8).prop_map(|pieces| {
            let mut profile = Profile::default();
            for (millis, from, to) in pieces {
                profile.push(Duration::from_millis(millis), from, to);
            }
            profile
        })
    }

    #[test]
    fn an_even_schedule_has_equal_distances() {
        let due: Vec<_> = Schedule::even(Profile::constant(4.0, Duration::from_secs(2))).collect();
        assert_eq!(due, (1..=8).map(|n| Duration::from_millis(250 * n)).collect::<Vec<_>>());
    }

    #[test]
    fn a_slope_from_nothing_is_inverted() {
        let mut profile = Profile::default();
        profile.push(Duration::from_secs(10), 0.0, 20.0);
        assert_eq!(profile.time_of(25.0), Some(Duration::from_secs(5)));
        assert_eq!((profile.total(), profile.peak()), (100.0, 20.0));
        assert_eq!(profile.time_of(100.1), None);
    }

    #[test]
    fn nothing_falls_due_at_rate_zero_and_nonsense_counts_as_zero() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Schedule::poisson(Profile::constant(rate, Duration::from_secs(9)), 1).next(), None);
        }
        assert_eq!(Schedule::even(Profile::default()).next(), None);
    }

    proptest! {
        #[test]
        fn the_inverse_undoes_the_integral(profile in profile(), share in 0.0..1.0_f64) {
            let x = profile.total() * share;
            let at = profile.time_of(x).expect("less than the total");
            // The instant is rounded to a nanosecond.
            prop_assert!((profile.expected_until(at) - x).abs() < 1e-5, "{x} at {at:?}");
        }

        #[test]
        fn an_even_schedule_is_ordered_and_complete(profile in profile()) {
            let due: Vec<_> = Schedule::even(profile.clone()).collect();
            prop_assert!(due.is_sorted());
            prop_assert!((due.len() as f64 - profile.total().floor()).abs() <= 1.0);
            prop_assert!(due.last().is_none_or(|last| *last <= profile.duration()));
        }

        #[test]
        fn a_poisson_process_has_its_mean_and_variance(seed: u64, rate in 50.0..200.0_f64) {
            let seconds = 200;
            let mut counts = vec![0_f64; seconds];
            let due: Vec<_> = Schedule::poisson(Profile::constant(rate, Duration::from_secs(seconds as u64)), seed).collect();
            prop_assert!(due.is_sorted());
            for at in &due {
                counts[(at.as_secs() as usize).min(seconds - 1)] += 1.0;
            }
            let mean = counts.iter().sum::<f64>() / seconds as f64;
            let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (seconds - 1) as f64;
            // Six standard errors: sqrt(rate / n) of the mean, about sqrt(2 / n) of the variance.
            prop_assert!((mean - rate).abs() < 6.0 * (rate / seconds as f64).sqrt(), "seed {seed}: mean {mean} of {rate}");
            prop_assert!((variance / rate - 1.0).abs() < 0.62, "seed {seed}: variance {variance} of {rate}");
            prop_assert_eq!(&due, &Schedule::poisson(Profile::constant(rate, Duration::from_secs(seconds as u64)), seed).collect::<Vec<_>>());
        }

        #[test]
        fn units_are_inside_and_bounds_hold(seed: u64, bound: u64) {
            let mut random = SplitMix64::new(seed);
            for _ in 0..100 {
                let unit = random.next_unit();
                prop_assert!(unit > 0.0 && unit < 1.0);
                prop_assert!(bound == 0 || random.below(bound) < bound);
            }
        }
    }
}
