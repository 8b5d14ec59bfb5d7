//! What fails in a rehearsal, and when: `kill-worker:17@30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Something that fails at an instant of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What.
    pub(crate) what: What,
    /// Since the run's start, in its time.
    pub(crate) at: Duration,
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A worker is gone, without a goodbye; its number, from 1.
    KillWorker(u32),
    /// The data plane is killed, and started again.
    RestartDataPlane,
}

const HOW: &str = "write what and when: kill-worker@30s, kill-worker:17@1m30s, restart-data-plane@60s";

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, when) = text.split_once('@').ok_or(HOW)?;
        let what = match what.split_once(':') {
            None if what == "kill-worker" => What::KillWorker(1),
            None if what == "restart-data-plane" => What::RestartDataPlane,
            Some(("kill-worker", number)) => {
                What::KillWorker(number.parse().ok().filter(|n| *n > 0).ok_or("a worker's number is 1 or more")?)
            }
            _ => return Err(format!("{what:?} is nothing that can fail; {HOW}")),
        };
        let at = duration(when).ok_or_else(|| format!("{when:?} is no time; {HOW}"))?;
        Ok(Self { what, at })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_millis();
        match self.what {
            What::KillWorker(number) => write!(f, "kill-worker:{number}@{at}ms"),
            What::RestartDataPlane => write!(f, "restart-data-plane@{at}ms"),
        }
    }
}

/// Whether there is everything that is to fail.
///
/// # Errors
/// What there isn't.
pub(super) fn check(faults: &[Fault], workers: u32) -> Result<(), String> {
    let missing = faults.iter().find(|fault| matches!(fault.what, What::KillWorker(n) if n > workers));
    missing.map_or(Ok(()), |fault| Err(format!("{fault} can't be: there are {workers} workers, numbered from 1")))
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
        for (text, what, at_ms) in [
            ("kill-worker@30s", What::KillWorker(1), 30_000),
            ("kill-worker:17@1m30s", What::KillWorker(17), 90_000),
            ("restart-data-plane@2.5s", What::RestartDataPlane, 2_500),
            ("restart-data-plane@1h1ms", What::RestartDataPlane, 3_600_001),
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault, Fault { what, at: Duration::from_millis(at_ms) }, "{text}");
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for text in
            ["", "kill-worker", "kill-worker@", "kill-worker:0@1s", "kill-worker@1", "fire@1s", "kill-worker@-1s"]
        {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_worker_that_is_not_there_can_not_be_killed() {
        let faults = ["kill-worker:3@1s".parse().unwrap()];
        assert_eq!(check(&faults, 3), Ok(()));
        assert!(check(&faults, 2).unwrap_err().contains("there are 2 workers"));
    }
}
