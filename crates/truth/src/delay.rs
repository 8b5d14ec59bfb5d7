//! How long a delivery is kept back: distributions with a name.

use std::str::FromStr;
use std::time::Duration;

use measure::SplitMix64;

/// What was written could not be read; says how it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not understood: write {how}")]
pub struct NotUnderstood {
    pub(crate) what: &'static str,
    pub(crate) text: String,
    pub(crate) how: &'static str,
}

/// A distribution of delays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// Always the same.
    Constant(Duration),
    /// One of two.
    Bimodal {
        /// Most of the time.
        low: Duration,
        /// In this share of all cases:
        high: Duration,
        /// The share, 0 to 1.
        share: f64,
    },
    /// A heavy tail: longer than `min · x` with probability `x^-shape`, and never longer than `max`.
    Pareto {
        /// The shortest.
        min: Duration,
        /// How light the tail is; more than 0. Below 2 it has no variance.
        shape: f64,
        /// The longest.
        max: Duration,
    },
    /// A heavy tail: its logarithm is normal; never longer than `max`.
    LogNormal {
        /// Half are shorter.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
        /// The longest.
        max: Duration,
    },
}

impl Default for Delay {
    fn default() -> Self {
        Self::Constant(Duration::ZERO)
    }
}

impl Delay {
    /// Draws a delay.
    pub fn draw(&self, draws: &mut SplitMix64) -> Duration {
        match *self {
            Self::Constant(delay) => delay,
            Self::Bimodal { low, high, share } => {
                if draws.next_unit() < share {
                    high
                } else {
                    low
                }
            }
            // The inverse of the distribution function.
            Self::Pareto { min, shape, max } => scaled(min, (1.0 - draws.next_unit()).powf(-1.0 / shape), max),
            Self::LogNormal { median, sigma, max } => scaled(median, (sigma * normal(draws)).exp(), max),
        }
    }
}

fn scaled(unit: Duration, factor: f64, max: Duration) -> Duration {
    Duration::try_from_secs_f64(unit.as_secs_f64() * factor).map_or(max, |d| d.min(max))
}

/// A standard normal variable (Box and Muller, 1958).
fn normal(draws: &mut SplitMix64) -> f64 {
    let radius = (-2.0 * (1.0 - draws.next_unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * draws.next_unit()).cos()
}

impl FromStr for Delay {
    type Err = NotUnderstood;

    fn from_str(text: &str) -> Result<Self, NotUnderstood> {
        let refuse = || NotUnderstood {
            what: "the delay",
            text: text.to_owned(),
            how: "constant(5ms), bimodal(5ms,200ms,0.1), pareto(5ms,1.5,2s) or lognormal(20ms,0.8,2s)",
        };
        read(text).ok_or_else(refuse)
    }
}

fn read(text: &str) -> Option<Delay> {
    let (name, rest) = text.trim().split_once('(')?;
    let parts: Vec<&str> = rest.strip_suffix(')')?.split(',').map(str::trim).collect();
    let positive = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    Some(match (name.trim(), parts.as_slice()) {
        ("constant", [delay]) => Delay::Constant(duration(delay)?),
        ("bimodal", [low, high, share]) => {
            let share = share.parse::<f64>().ok().filter(|s| (0.0..=1.0).contains(s))?;
            Delay::Bimodal { low: duration(low)?, high: duration(high)?, share }
        }
        ("pareto", [min, shape, max]) => {
            Delay::Pareto { min: duration(min)?, shape: positive(shape)?, max: duration(max)? }
        }
        ("lognormal", [median, sigma, max]) => {
            Delay::LogNormal { median: duration(median)?, sigma: positive(sigma)?, max: duration(max)? }
        }
        _ => return None,
    })
}

/// A number with a unit: `200us`, `5ms`, `1.4s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
    let unit = match &text[at..] {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let number = text[..at].trim().parse::<f64>().ok()?;
    Duration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn distributions_are_read() {
        let read = |text: &str| text.parse::<Delay>();
        assert_eq!(read("constant(1.5ms)"), Ok(Delay::Constant(Duration::from_micros(1_500))));
        assert_eq!(read("bimodal(5ms, 200ms, 0.1)"), Ok(Delay::Bimodal { low: 5 * MS, high: 200 * MS, share: 0.1 }));
        assert_eq!(read("pareto(5ms,1.5,2s)"), Ok(Delay::Pareto { min: 5 * MS, shape: 1.5, max: 2_000 * MS }));
        assert!(read("lognormal(20ms,0.8,2s)").is_ok());
        for bad in ["", "constant", "constant(5)", "constant(-5ms)", "bimodal(1ms,2ms,2)", "pareto(5ms,0,2s)", "x(1s)"]
        {
            assert!(read(bad).unwrap_err().to_string().contains("write constant(5ms)"), "{bad}");
        }
    }

    #[test]
    fn draws_follow_the_distribution() {
        let share_above = |delay: &str, limit: Duration| {
            let delay: Delay = delay.parse().unwrap();
            let mut draws = SplitMix64::of(&[1]);
            (0..100_000).filter(|_| delay.draw(&mut draws) > limit).count() as f64 / 1e5
        };
        // Four standard deviations of a share of 0.1 in 100,000 are 0.004.
        for (delay, limit, share) in [
            ("constant(5ms)", 5 * MS, 0.0),
            ("bimodal(5ms,200ms,0.1)", 100 * MS, 0.1),
            // 10^-1.5
            ("pareto(5ms,1.5,60s)", 50 * MS, 0.0316),
            ("pareto(5ms,1.5,40ms)", 40 * MS, 0.0),
            ("lognormal(20ms,0.8,60s)", 20 * MS, 0.5),
            // One standard deviation above: 20 ms · e^0.8.
            ("lognormal(20ms,0.8,60s)", Duration::from_micros(44_511), 0.1587),
        ] {
            let drawn = share_above(delay, limit);
            assert!((drawn - share).abs() < 0.007, "{delay}: {drawn} of the draws above {limit:?}");
        }
    }
}
