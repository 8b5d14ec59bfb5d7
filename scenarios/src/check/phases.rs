//! Phases: what happens after everybody has joined.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Check;
use crate::decode::{Field, is_near};
use crate::diagnostic::{Span, quoted};
use crate::language::PhaseEntry;
use crate::leaf::{Factor, Time};
use crate::model::{Phase, Shape};
use crate::timeline::Timeline;
use crate::tree::Kind;
use crate::words::Hold;

/// Steps of one phase.
const MOST_STEPS: u64 = 100;
/// Phases of a run.
const MOST_PHASES: usize = 1_000;
/// Swings of all waves: each is forty straight pieces.
const MOST_SWINGS: u128 = 10_000;
/// The shortest swing: the generator is told of rates, not of single events.
const SHORTEST_SWING: Duration = Duration::from_millis(100);

impl Check<'_> {
    pub(super) fn phases(&mut self) -> Vec<Phase> {
        let (hold, phases) = (&self.file.hold, &self.file.phases);
        if hold.given && phases.given {
            let hint = "`hold: 10m` is short for `phases: [{ hold: 10m }]`: keep one of them";
            self.error(hold.key, "the file has both `hold` and `phases`", hint);
        }
        if !hold.given && !phases.given && !self.root.cut && !self.has_misspelt_phases() {
            let hint = "add `hold: 1m`, or `phases` with several stretches";
            self.error(self.root.span, "nothing says how long the run lasts", hint);
        }
        let mut found = Vec::new();
        if let Some(time) = hold.get() {
            let duration = self.long_enough(hold.span, Some(time));
            self.no_month(hold.span, "this takes", duration);
            found.push(Phase { name: "hold".into(), duration, shape: Shape::Hold(1.0) });
        }
        let Some(list) = phases.get() else { return found };
        if list.items.is_empty() && !list.partial {
            self.error(phases.key, "`phases` is empty", "add at least one, such as `- hold: 1m`");
        }
        if list.items.len() > MOST_PHASES {
            let message = format!("there are {} phases", list.items.len());
            self.error(phases.key, message, format!("{MOST_PHASES} are the most"));
            return found;
        }
        for item in &list.items {
            let before = found.len();
            self.phase(&item.value, &mut found);
            let Some(name) = item.value.name.get() else { continue };
            if found[..before].iter().any(|phase| phase.name == name.0) || name.0 == Timeline::JOIN {
                let hint = "phases are told apart by their names in the report (`join` is the ramp)";
                self.error(item.value.name.span, format!("a second phase is called {}", quoted(&name.0)), hint);
            }
        }
        let length = found.iter().map(|phase| phase.duration).fold(Duration::ZERO, Duration::saturating_add);
        self.no_month(phases.key, "all phases together take", length);
        distinguish(&mut found);
        found
    }

    fn phase(&mut self, entry: &PhaseEntry, found: &mut Vec<Phase>) {
        let named = |kind: &str| entry.name.get().map_or_else(|| kind.to_owned(), |name| name.0.clone());
        let at = |field: &Field<Factor>| field.get().map_or(1.0, |factor| factor.0);
        if let Some(hold) = entry.hold.get() {
            let (duration, factor) = match hold {
                Hold::For(time) => (self.long_enough(entry.hold.span, Some(time)), 1.0),
                Hold::At(spec) => (self.long_enough(spec.duration.span, spec.duration.get()), at(&spec.at)),
            };
            found.push(Phase { name: named("hold"), duration, shape: Shape::Hold(factor) });
        } else if let Some(spike) = entry.spike.get() {
            let duration = self.long_enough(spike.duration.span, spike.duration.get());
            found.push(Phase { name: named("spike"), duration, shape: Shape::Hold(at(&spike.to)) });
        } else if let Some(slope) = entry.slope.get() {
            let duration = self.long_enough(slope.duration.span, slope.duration.get());
            let shape = Shape::Slope { from: at(&slope.from), to: at(&slope.to) };
            found.push(Phase { name: named("slope"), duration, shape });
        } else if let Some(wave) = entry.wave.get() {
            let duration = self.long_enough(wave.duration.span, wave.duration.get());
            let (min, max) = (at(&wave.from), at(&wave.to));
            if min > max {
                self.error(wave.from.span, "the wave's least factor is above its greatest", "swap `from` and `to`");
            }
            let period = wave.period.get().map_or(duration, |period| period.0);
            if period < SHORTEST_SWING {
                self.error(wave.period.span, "a swing takes at least 100ms", "give a longer `period`");
            } else {
                let swings = |phase: &Phase| match phase.shape {
                    Shape::Wave { period, .. } => phase.duration.as_nanos() / period.as_nanos().max(1),
                    Shape::Hold(_) | Shape::Slope { .. } => 0,
                };
                let earlier: u128 = found.iter().map(swings).sum();
                if earlier + duration.as_nanos() / period.as_nanos().max(1) > MOST_SWINGS {
                    self.error(wave.period.span, "the waves have more than 10,000 swings", "give a longer `period`");
                }
            }
            found.push(Phase { name: named("wave"), duration, shape: Shape::Wave { min, max, period } });
        } else if let Some(step) = entry.step.get() {
            let duration = self.long_enough(step.duration.span, step.duration.get());
            let steps = step.steps.get().map_or(2, |steps| steps.0);
            if !(2..=MOST_STEPS).contains(&steps) {
                let hint = "give 2 to 100 steps; a single one is a `hold` with `at`";
                self.error(step.steps.span, format!("{steps} is no number of steps"), hint);
                return;
            }
            let (from, to, name) = (at(&step.from), at(&step.to), named("step"));
            let length = duration / steps as u32;
            found.extend((0..steps).map(|n| {
                let factor = from + (to - from) * n as f64 / (steps - 1) as f64;
                Phase { name: format!("{name}-{}", n + 1), duration: length, shape: Shape::Hold(factor) }
            }));
        }
    }

    /// Whether one of the keys that were reported as unknown was meant for what is missing.
    fn has_misspelt_phases(&self) -> bool {
        let Kind::Map(map) = &self.root.kind else { return false };
        map.entries
            .iter()
            .take(1_000)
            .any(|entry| is_near(&entry.key.name, "hold") || is_near(&entry.key.name, "phases"))
    }

    /// A phase's length; 1 s for one that was refused.
    fn long_enough(&mut self, span: Span, time: Option<&Time>) -> Duration {
        if time.is_some_and(|time| time.0.is_zero()) {
            self.error(span, "a phase of no length", "give a time above 0, such as `30s`");
        }
        time.map_or(Duration::from_secs(1), |time| time.0)
    }
}

/// Numbers phases whose kind gave them the same name.
fn distinguish(phases: &mut [Phase]) {
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for phase in phases {
        let times = taken.entry(phase.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            phase.name = format!("{}-{times}", phase.name);
        }
    }
}
