//! Ticks and their words.

use super::scale::{Scale, step_125};
use crate::format;

/// An axis: how it maps, what its words are, and what it is of.
#[derive(Clone, Debug)]
pub struct Axis {
    /// How values map to places.
    pub scale: Scale,
    /// What its ticks say.
    pub kind: Kind,
    /// What it is of, in a word or two: `users`, `deliveries/s`.
    pub title: String,
}

/// What ticks say.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Time of the run.
    Time,
    /// A count, a rate or a number of cores.
    Count,
    /// A duration in microseconds.
    Duration,
    /// Bytes.
    Bytes,
    /// Percentiles.
    Percentile,
    /// A word for each whole number from 0.
    Words(Vec<String>),
}

impl Axis {
    /// An axis.
    pub fn new(scale: Scale, kind: Kind, title: impl Into<String>) -> Self {
        Self { scale, kind, title: title.into() }
    }

    /// Places and words of its ticks, at most `most` where the kind lets it choose.
    pub fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match (&self.kind, self.scale) {
            (Kind::Words(words), _) => words.iter().enumerate().map(|(i, word)| (i as f64, word.clone())).collect(),
            (Kind::Percentile, Scale::Nines { nines }) => percentile_ticks(nines),
            (kind, Scale::Log { low, high }) => {
                log_ticks(low, high, most).into_iter().map(|at| (at, word(kind, at, high))).collect()
            }
            (Kind::Time, Scale::Linear { low, high }) => {
                linear(low, high, time_step(high - low, most)).map(|at| (at, format::run_time(at))).collect()
            }
            (kind @ Kind::Bytes, Scale::Linear { low, high }) => {
                linear(low, high, byte_step(high - low, most)).map(|at| (at, word(kind, at, high))).collect()
            }
            (kind, Scale::Linear { low, high }) => {
                let step = step_125((high - low) / most.max(1) as f64, true);
                linear(low, high, step).map(|at| (at, word(kind, at, high))).collect()
            }
            (_, Scale::Nines { .. }) => Vec::new(),
        }
    }
}

fn word(kind: &Kind, at: f64, high: f64) -> String {
    match kind {
        Kind::Duration => format::tick_us(at),
        Kind::Bytes => format::tick_bytes(at),
        Kind::Time => format::run_time(at),
        _ => format::tick_count(at, high),
    }
}

fn linear(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(move |i| i as f64 * step)
}

/// 1-2-5 ticks where there is room, else decades, else every second or third decade.
fn log_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let inside = |at: &f64| *at >= low * (1.0 - 1e-9) && *at <= high * (1.0 + 1e-9);
    let fine: Vec<f64> =
        (first..=last).flat_map(|p| [1.0, 2.0, 5.0].map(|s| s * 10f64.powi(p))).filter(inside).collect();
    if fine.len() <= most {
        return fine;
    }
    (1..)
        .map(|every| (first..=last).step_by(every).map(|p| 10f64.powi(p)).filter(inside).collect::<Vec<_>>())
        .find(|ticks| ticks.len() <= most.max(2))
        .unwrap_or_default()
}

fn time_step(length: f64, most: usize) -> f64 {
    const STEPS: [f64; 17] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
        43_200.0, 86_400.0,
    ];
    let wanted = length / most.max(1) as f64;
    STEPS.into_iter().find(|step| *step >= wanted).unwrap_or((wanted / 86_400.0).ceil() * 86_400.0)
}

fn byte_step(length: f64, most: usize) -> f64 {
    let wanted = (length / most.max(1) as f64).max(1.0);
    let unit = 1024f64.powf((wanted.ln() / 1024f64.ln()).floor());
    // A step of 500 KiB would make a tick of 1000 KiB, so such a step becomes half of the next unit.
    let steps = step_125(wanted / unit, true);
    if steps >= 500.0 { unit * 512.0 } else { unit * steps }
}

fn percentile_ticks(nines: f64) -> Vec<(f64, String)> {
    let mut ticks = vec![(0.0, "0 %".to_owned())];
    if nines <= 4.0 {
        ticks.push((50.0, "50 %".to_owned()));
    }
    for whole in 1..=(nines + 1e-9).floor() as i32 {
        let decimals = usize::try_from(whole - 2).unwrap_or(0);
        let percentile = 100.0 - 100.0 * 10f64.powi(-whole);
        ticks.push((percentile, format!("{percentile:.decimals$}\u{a0}%")));
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis, most: usize) -> Vec<String> {
        axis.ticks(most).into_iter().map(|(_, word)| word.replace('\u{a0}', " ")).collect()
    }

    #[test]
    fn latency_has_1_2_5_ticks() {
        let axis = Axis::new(Scale::Log { low: 500.0, high: 20_000.0 }, Kind::Duration, "");
        assert_eq!(words(&axis, 8), ["500 µs", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]);
        assert_eq!(words(&axis, 3), ["1 ms", "10 ms"]);
    }

    #[test]
    fn time_has_steps_that_people_count_in() {
        let axis = Axis::new(Scale::Linear { low: 0.0, high: 3_600.0 }, Kind::Time, "");
        assert_eq!(words(&axis, 5), ["0 s", "15:00", "30:00", "45:00", "1:00:00"]);
    }

    #[test]
    fn percentiles_count_nines() {
        let axis = Axis::new(Scale::Nines { nines: 4.0 }, Kind::Percentile, "");
        assert_eq!(words(&axis, 9), ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
