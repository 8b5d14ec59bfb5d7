//! `cargo xtask test`: all checks, in the order in which they fail fastest.

use anyhow::{Result, ensure};

use crate::{conformance, fleet, infrastructure, packages, repo, steps, tidy};

/// Runs all steps, whatever comes of each, and says at the end what failed.
pub(crate) fn run() -> Result<()> {
    let mut steps = steps::Steps::default();
    steps.step("packages", packages::ensure);
    steps.step("format", || {
        steps::run(repo::cargo().args(["fmt", "--all", "--check"]))?;
        Ok("cargo fmt --check".to_owned())
    });
    steps.step("tidy", tidy::summary);
    steps.step("clippy", || {
        let flags = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        steps::run(repo::cargo().args(flags))?;
        Ok("no warning".to_owned())
    });
    steps.step("tests", tests);
    steps.step("conformance", conformance::run);
    steps.step("fleet", || fleet::run(None));
    steps.step("terraform", infrastructure::terraform);
    steps.step("kubernetes", infrastructure::kubernetes);
    steps.finish()
}

/// Only what is checked of fleets without having one.
pub(crate) fn infrastructure() -> Result<()> {
    let mut steps = steps::Steps::default();
    steps.step("terraform", infrastructure::terraform);
    steps.step("kubernetes", infrastructure::kubernetes);
    steps.finish()
}

/// Unit, property, simulation and system tests of all crates.
fn tests() -> Result<String> {
    let mut tally = Tally::default();
    let mut command = repo::cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    let ran = steps::run_reading(&mut command, |line| tally.read(line));
    let Tally { passed, failed, ignored } = tally;
    ensure!(failed == 0, "{failed} of {} tests failed", passed + failed);
    ran?;
    ensure!(ignored == 0, "{ignored} tests are ignored: mend them or take them out");
    ensure!(passed > 0, "no test ran");
    Ok(format!("{passed} tests passed, none ignored"))
}

/// Sums up libtest's result lines.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let counts = result.split(['.', ';']).filter_map(|part| {
            let (number, word) = part.trim().split_once(' ')?;
            Some((number.parse::<u64>().ok()?, word))
        });
        for (number, word) in counts {
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 5, failed: 4, ignored: 1 });
    }
}
