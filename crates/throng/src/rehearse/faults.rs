//! What fails in a rehearsal, and when: `kill-worker:17@30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::args::skew;
use crate::local::fleet::{CONTROL_PLANE, DATA_PLANE};

/// Something that fails at an instant of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What.
    pub(crate) what: What,
    /// Since the run's start, in its time.
    pub(crate) at: Duration,
}

/// What fails. Workers have numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A worker is gone, without a goodbye.
    KillWorker(u32),
    /// Nothing passes between a worker and the two planes.
    CutLink {
        /// Which worker.
        worker: u32,
        /// For so long, by the time of leases, which no speed changes; `None`: for good.
        lasts: Option<Duration>,
    },
    /// The clock of a worker's host is another than the control plane's.
    SkewClock {
        /// Which worker.
        worker: u32,
        /// So many nanoseconds ahead.
        ahead: i64,
        /// So many nanoseconds are gained in each second.
        drift: i64,
    },
    /// A plane is killed, and started again; its name in the fleet.
    Restart(&'static str),
}

const HOW: &str = "write what and when: kill-worker@30s, kill-worker:17@1m30s, cut-link:17+2s@30s (for good without +2s), \
                   skew-clock:17+250ms@0s, skew-clock:17-250ms+30us/s@0s, restart-data-plane@60s, \
                   restart-control-plane@60s";

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, when) = text.split_once('@').ok_or(HOW)?;
        let at = duration(when).ok_or_else(|| format!("{when:?} is no time; {HOW}"))?;
        let (name, whose) = match what.split_once(':') {
            Some((name, whose)) => (name, Some(whose)),
            None => what.find('+').map_or((what, None), |sign| (&what[..sign], Some(&what[sign..]))),
        };
        let what = match (name, whose) {
            ("restart-data-plane", None) => What::Restart(DATA_PLANE),
            ("restart-control-plane", None) => What::Restart(CONTROL_PLANE),
            ("kill-worker" | "cut-link" | "skew-clock", whose) if whose != Some("") => {
                of_a_worker(name, whose.unwrap_or_default())?
            }
            _ => return Err(format!("{what:?} is nothing that can fail; {HOW}")),
        };
        if matches!(what, What::SkewClock { .. }) && !at.is_zero() {
            return Err("a host's clock is off from the start on: write @0s".to_owned());
        }
        Ok(Self { what, at })
    }
}

/// What fails of one worker: its number, which is 1 where none stands, and what there is to say beside that.
fn of_a_worker(name: &str, text: &str) -> Result<What, String> {
    let digits = text.find(['+', '-']).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let worker = if number.is_empty() { Some(1) } else { number.parse().ok().filter(|n| *n > 0) };
    let worker = worker.ok_or("a worker's number is 1 or more")?;
    match (name, rest) {
        ("kill-worker", "") => Ok(What::KillWorker(worker)),
        ("cut-link", "") => Ok(What::CutLink { worker, lasts: None }),
        ("cut-link", rest) => {
            let lasts = rest.strip_prefix('+').and_then(duration).filter(|lasts| !lasts.is_zero());
            let lasts = lasts.ok_or_else(|| format!("{rest:?} does not say for how long; {HOW}"))?;
            Ok(What::CutLink { worker, lasts: Some(lasts) })
        }
        ("skew-clock", rest) if !rest.is_empty() => {
            let (mut ahead, mut drift) = (0, 0);
            let second = rest[1..].find(['+', '-']).map_or(rest.len(), |sign| sign + 1);
            let (first, second) = rest.split_at(second);
            for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
                if part.ends_with("/s") {
                    drift = skew::drift(part)?;
                } else {
                    ahead = skew::nanos(part)?;
                }
            }
            Ok(What::SkewClock { worker, ahead, drift })
        }
        _ => Err(format!("{name}:{text} says too much or too little; {HOW}")),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::KillWorker(worker) => write!(f, "kill-worker:{worker}")?,
            What::CutLink { worker, lasts: None } => write!(f, "cut-link:{worker}")?,
            What::CutLink { worker, lasts: Some(lasts) } => write!(f, "cut-link:{worker}+{}ms", lasts.as_millis())?,
            What::SkewClock { worker, ahead, drift } => write!(f, "skew-clock:{worker}{ahead:+}ns{drift:+}ns/s")?,
            What::Restart(plane) => write!(f, "restart-{plane}")?,
        }
        write!(f, "@{}ms", self.at.as_millis())
    }
}

impl Fault {
    /// What happens, in words.
    pub(crate) fn words(&self) -> String {
        let seconds = |time: Duration| time.as_secs_f64();
        let what = match self.what {
            What::KillWorker(worker) => format!("worker-{worker} is killed"),
            What::CutLink { worker, lasts: None } => format!("the link of worker-{worker} is cut for good"),
            What::CutLink { worker, lasts: Some(lasts) } => {
                format!("the link of worker-{worker} is cut for {} s", seconds(lasts))
            }
            What::SkewClock { worker, ahead, drift } => {
                let (ahead, drift) = (ahead as f64 / 1e6, drift as f64 / 1e3);
                format!("the clock of worker-{worker} is {ahead:+} ms off and gains {drift:+} µs a second")
            }
            What::Restart(plane) => format!("{plane} is killed"),
        };
        format!("{what} at {} s, as the rehearsal's faults have it", seconds(self.at))
    }

    /// The worker that it is a fault of.
    const fn worker(&self) -> Option<u32> {
        match self.what {
            What::KillWorker(worker) | What::CutLink { worker, .. } | What::SkewClock { worker, .. } => Some(worker),
            What::Restart(_) => None,
        }
    }
}

/// Whether there is everything that is to fail.
///
/// # Errors
/// What there isn't.
pub(super) fn check(faults: &[Fault], workers: u32, speed: f64) -> Result<(), String> {
    let skewed = |fault: &Fault| matches!(fault.what, What::SkewClock { .. }).then(|| fault.worker()).flatten();
    for (index, fault) in faults.iter().enumerate() {
        if fault.worker().is_some_and(|n| n > workers) {
            return Err(format!("{fault} can't be: there are {workers} workers, numbered from 1"));
        }
        let Some(worker) = skewed(fault) else { continue };
        if speed > 1.0 {
            return Err(format!("{fault} needs --speed 1: offsets are estimated by exchanges in real time"));
        }
        if faults[..index].iter().any(|other| skewed(other) == Some(worker)) {
            return Err(format!("worker {worker} has one clock: say once how far it is off"));
        }
    }
    Ok(())
}

/// A time such as `1m30s`, `2.5s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        sum += value
            * match &rest[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(sum).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_written() {
        let cut = |worker, ms| What::CutLink { worker, lasts: Some(Duration::from_millis(ms)) };
        let skew = |worker, ahead, drift| What::SkewClock { worker, ahead, drift };
        for (text, what, at_ms) in [
            ("kill-worker@30s", What::KillWorker(1), 30_000),
            ("kill-worker:17@1m30s", What::KillWorker(17), 90_000),
            ("cut-link:3+2s@30s", cut(3, 2_000), 30_000),
            ("cut-link+1m0.5s@30s", cut(1, 60_500), 30_000),
            ("cut-link:2@5s", What::CutLink { worker: 2, lasts: None }, 5_000),
            ("skew-clock:3+250ms@0s", skew(3, 250_000_000, 0), 0),
            ("skew-clock:3-250ms+30us/s@0s", skew(3, -250_000_000, 30_000), 0),
            ("skew-clock:3-30us/s@0s", skew(3, 0, -30_000), 0),
            ("restart-data-plane@2.5s", What::Restart(DATA_PLANE), 2_500),
            ("restart-data-plane@1h1ms", What::Restart(DATA_PLANE), 3_600_001),
            ("restart-control-plane@40s", What::Restart(CONTROL_PLANE), 40_000),
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault, Fault { what, at: Duration::from_millis(at_ms) }, "{text}");
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for text in [
            "",
            "kill-worker",
            "kill-worker@",
            "kill-worker:0@1s",
            "kill-worker:@1s",
            "kill-worker:2+1s@1s",
            "kill-worker@1",
            "fire@1s",
            "kill-worker@-1s",
            "cut-link:1-2s@1s",
            "cut-link:1+0s@1s",
            "cut-link:1+2@1s",
            "skew-clock:3@0s",
            "skew-clock:3+250@0s",
            "skew-clock:3+2s/s@0s",
            "skew-clock:3+250ms@5s",
            "restart-control-plane:1@1s",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_can_not_fail() {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Fault>>();
        for text in ["kill-worker:3@1s", "cut-link:3@1s", "skew-clock:3+1ms@0s"] {
            assert_eq!(check(&all(&[text]), 3, 1.0), Ok(()));
            assert!(check(&all(&[text]), 2, 1.0).unwrap_err().contains("there are 2 workers"), "{text}");
        }
        assert!(check(&all(&["skew-clock:3+1ms@0s"]), 3, 2.0).unwrap_err().contains("--speed 1"));
        let twice = all(&["skew-clock:3+1ms@0s", "skew-clock:2+1ms@0s", "skew-clock:3+2ms@0s"]);
        assert!(check(&twice, 3, 1.0).unwrap_err().contains("worker 3 has one clock"));
    }
}
