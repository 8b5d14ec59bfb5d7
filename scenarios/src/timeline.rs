//! A run's stretches of time, and how the load moves over them.

use std::time::Duration;

use measure::Profile;

use crate::load::joins_at;
use crate::model::{Scenario, Shape};

/// Straight pieces that stand for one swing of a wave: the sine is met to 0.3 % of its height.
const PIECES_A_SWING: u32 = 40;

/// When what happens, since the run's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// How long it takes until the last user has joined.
    pub ramp: Duration,
    /// Name, start and end of each stretch: first `join`, then the scenario's phases, without gaps.
    pub phases: Vec<(String, Duration, Duration)>,
    /// When the run ends.
    pub end: Duration,
}

impl Timeline {
    /// The name of the first stretch.
    pub const JOIN: &'static str = "join";

    /// The stretch that an instant lies in.
    pub fn phase_at(&self, at: Duration) -> Option<&str> {
        self.phases.iter().find(|(_, start, end)| *start <= at && at < *end).map(|(name, _, _)| name.as_str())
    }

    /// The seconds of the run that lie in a stretch as a whole, from the first to the one behind the last; `None` if there
    /// is no such stretch. What is measured each second can be told apart no finer.
    pub fn seconds_of(&self, phase: &str) -> Option<std::ops::Range<u32>> {
        let (_, start, end) = self.phases.iter().find(|(name, ..)| name == phase)?;
        // Seconds of a run fit: it takes at most thirty days.
        let first = start.as_secs_f64().ceil() as u32;
        Some(first..(end.as_secs() as u32).max(first))
    }
}

impl Scenario {
    /// When what happens.
    pub fn timeline(&self) -> Timeline {
        let ramp = self.ramp();
        let mut phases = vec![(Timeline::JOIN.to_owned(), Duration::ZERO, ramp)];
        let mut end = ramp;
        for phase in &self.phases {
            let start = end;
            end += phase.duration;
            phases.push((phase.name.clone(), start, end));
        }
        Timeline { ramp, phases, end }
    }

    /// How long joining takes: each cohort's last user has its whole place in the ramp, so that 1,000 users at 100/s
    /// take 10 s.
    fn ramp(&self) -> Duration {
        self.cohorts.iter().filter(|c| c.users > 0).map(|c| joins_at(c, c.users)).max().unwrap_or_default()
    }

    /// The factor on all action rates at an instant: 1 while users join, then as the phases say, 0 after the end.
    pub fn load_factor(&self, at: Duration) -> f64 {
        self.load_profile(1.0).rate_at(at)
    }

    /// A rate under the load factor, over the whole run.
    pub fn load_profile(&self, rate: f64) -> Profile {
        let mut profile = Profile::default();
        profile.push(self.ramp(), rate, rate);
        for phase in &self.phases {
            match phase.shape {
                Shape::Hold(factor) => profile.push(phase.duration, rate * factor, rate * factor),
                Shape::Slope { from, to } => profile.push(phase.duration, rate * from, rate * to),
                Shape::Wave { min, max, period } => {
                    push_wave(&mut profile, phase.duration, (rate * min, rate * max), period);
                }
            }
        }
        profile
    }
}

fn push_wave(profile: &mut Profile, duration: Duration, (min, max): (f64, f64), period: Duration) {
    let piece = period / PIECES_A_SWING;
    if piece.is_zero() {
        return profile.push(duration, f64::midpoint(min, max), f64::midpoint(min, max));
    }
    let rate_at = |t: Duration| {
        let turn = t.as_secs_f64() / period.as_secs_f64() * std::f64::consts::TAU;
        f64::midpoint(min, max) + (max - min) / 2.0 * turn.sin()
    };
    let mut at = Duration::ZERO;
    while at < duration {
        let next = (at + piece).min(duration);
        profile.push(next - at, rate_at(at), rate_at(next));
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_the_seconds_that_lie_in_it() {
        let ms = Duration::from_millis;
        let phases = vec![
            ("join".to_owned(), ms(0), ms(10_500)),
            ("short".to_owned(), ms(10_500), ms(11_900)),
            ("long".to_owned(), ms(11_900), ms(20_000)),
        ];
        let timeline = Timeline { ramp: ms(10_500), phases, end: ms(20_000) };
        assert_eq!(timeline.seconds_of("join"), Some(0..10));
        assert_eq!(timeline.seconds_of("short"), Some(11..11), "no second is all of it");
        assert_eq!(timeline.seconds_of("long"), Some(12..20));
        assert_eq!(timeline.seconds_of("other"), None);
    }
}
