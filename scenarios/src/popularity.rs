//! Which channels of a group a user watches.

use std::collections::HashSet;

use measure::SplitMix64;

use crate::model::Popularity;

/// Channels among which the last resort of [`distinct`] looks: beyond them, a channel of a popularity so steep that
/// rejection fails is chosen next to never.
const CLOSE_LOOK: u32 = 65_536;

/// Draws one of `count` channels (at least 1).
pub(crate) fn draw(popularity: Popularity, count: u32, random: &mut SplitMix64) -> u32 {
    match popularity {
        _ if count <= 1 => 0,
        Popularity::Uniform => random.below(u64::from(count)) as u32,
        Popularity::Zipf(exponent) => Zipf::new(count, exponent).draw(random),
    }
}

/// Draws `wanted` different ones of `count` channels, one after the other, each by its popularity among those that are
/// left (all of them, if `wanted` is not less than `count`).
pub(crate) fn distinct(popularity: Popularity, count: u32, wanted: u32, random: &mut SplitMix64) -> Vec<u32> {
    if wanted >= count {
        return (0..count).collect();
    }
    match popularity {
        Popularity::Uniform => floyd(count, wanted, random),
        Popularity::Zipf(exponent) => {
            let zipf = Zipf::new(count, exponent);
            let mut chosen = Chosen::default();
            let mut tries = 64 + 32 * u64::from(wanted);
            while chosen.order.len() < wanted as usize && tries > 0 {
                chosen.add(zipf.draw(random));
                tries -= 1;
            }
            rest_by_keys(exponent, count, wanted, &mut chosen, random);
            chosen.order
        }
    }
}

/// Numbers in the order in which they were chosen, each once.
#[derive(Default)]
struct Chosen {
    order: Vec<u32>,
    set: HashSet<u32>,
}

impl Chosen {
    fn has(&self, number: u32) -> bool {
        // Most users watch a few channels: looking through them is cheaper than hashing.
        if self.order.len() <= 16 { self.order.contains(&number) } else { self.set.contains(&number) }
    }

    fn add(&mut self, number: u32) -> bool {
        if self.has(number) {
            return false;
        }
        self.order.push(number);
        match self.order.len() {
            0..=16 => {}
            17 => self.set.extend(&self.order),
            _ => {
                self.set.insert(number);
            }
        }
        true
    }
}

/// Floyd's algorithm: a uniform subset without a table of all (Bentley, "Programming pearls", CACM 30(9), 1987).
fn floyd(count: u32, wanted: u32, random: &mut SplitMix64) -> Vec<u32> {
    let mut chosen = Chosen::default();
    for last in count - wanted..count {
        let number = random.below(u64::from(last) + 1) as u32;
        if !chosen.add(number) {
            chosen.add(last);
        }
    }
    chosen.order
}

/// What rejection did not find in time, by exponential keys: the channels with the least `−ln(u) / weight` are a draw
/// without replacement by weight (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", IPL 97, 2006).
fn rest_by_keys(exponent: f64, count: u32, wanted: u32, chosen: &mut Chosen, random: &mut SplitMix64) {
    let missing = wanted as usize - chosen.order.len();
    if missing == 0 {
        return;
    }
    let mut keys: Vec<(f64, u32)> = (0..count.min(CLOSE_LOOK.max(2 * wanted)))
        .filter(|number| !chosen.has(*number))
        .map(|number| (-random.next_unit().ln() * (f64::from(number) + 1.0).powf(exponent), number))
        .collect();
    keys.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (_, number) in keys.into_iter().take(missing) {
        chosen.add(number);
    }
}

/// Draws from Zipf's law over 0 … count − 1 in constant time and memory: rejection-inversion (Hörmann and Derflinger,
/// "Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996).
struct Zipf {
    count: f64,
    exponent: f64,
    /// The integral of the law at 1.5 − 1, at count + 0.5, and the width within which the draw is accepted at once.
    low: f64,
    high: f64,
    shortcut: f64,
}

impl Zipf {
    fn new(count: u32, exponent: f64) -> Self {
        let mut zipf = Self { count: f64::from(count), exponent, low: 0.0, high: 0.0, shortcut: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.count + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - 2_f64.powf(-exponent));
        zipf
    }

    /// The integral of `x^-s`, zero at 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        over((1.0 - self.exponent) * log, f64::exp_m1) * log
    }

    fn inverse(&self, x: f64) -> f64 {
        // At less than −1 the logarithm would not exist; rounding can lead there.
        let t = (x * (1.0 - self.exponent)).max(-1.0);
        (over(t, f64::ln_1p) * x).exp()
    }

    fn draw(&self, random: &mut SplitMix64) -> u32 {
        loop {
            let u = self.high + random.next_unit() * (self.low - self.high);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.count);
            if k - x <= self.shortcut || u >= self.integral(k + 0.5) - k.powf(-self.exponent) {
                return k as u32 - 1;
            }
        }
    }
}

/// `f(x) / x` for the functions that are about `x` near zero.
fn over(x: f64, f: impl Fn(f64) -> f64) -> f64 {
    if x.abs() > 1e-8 { f(x) / x } else { 1.0 + if f(1.0) > 1.0 { x / 2.0 } else { -x / 2.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zipf_follows_its_law() {
        for exponent in [0.5, 1.0, 1.1, 2.0] {
            let (count, draws) = (50_u32, 200_000);
            let mut seen = vec![0_u32; count as usize];
            let mut random = SplitMix64::new(7);
            for _ in 0..draws {
                seen[draw(Popularity::Zipf(exponent), count, &mut random) as usize] += 1;
            }
            let sum: f64 = (1..=count).map(|k| f64::from(k).powf(-exponent)).sum();
            let chi_square: f64 = (1..=count)
                .map(|k| {
                    let expected = f64::from(draws) * f64::from(k).powf(-exponent) / sum;
                    (f64::from(seen[k as usize - 1]) - expected).powi(2) / expected
                })
                .sum();
            // 49 degrees of freedom: above 100 once in 25,000 times.
            assert!(chi_square < 100.0, "exponent {exponent}: {chi_square}");
        }
    }

    #[test]
    fn a_steep_law_still_finds_many_different_channels() {
        let mut random = SplitMix64::new(1);
        let found = distinct(Popularity::Zipf(6.0), 100_000, 900, &mut random);
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), 900);
    }

    proptest! {
        #[test]
        fn draws_are_different_and_in_range(seed: u64, count in 1_u32..300, wanted in 0_u32..300, zipf: bool, exponent in 0.1..4.0_f64) {
            let popularity = if zipf { Popularity::Zipf(exponent) } else { Popularity::Uniform };
            let found = distinct(popularity, count, wanted, &mut SplitMix64::new(seed));
            prop_assert_eq!(found.len() as u32, wanted.min(count));
            prop_assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
            prop_assert!(found.iter().all(|number| *number < count));
            prop_assert!(draw(popularity, count, &mut SplitMix64::new(seed)) < count);
        }
    }
}
