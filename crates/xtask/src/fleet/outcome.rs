//! `throng run` as an operator of the fleet types it, and what came of it.

use std::fs::{self, File};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::boot::Fleet;
use super::eventually;
use super::unit::Unit;

/// How long any run here may take, at the most, on a busy machine.
const RUN_WITHIN: Duration = Duration::from_secs(120);
/// An operator's shell, in the words of a unit.
const SHELL: &str = "[Service]\nExecStart=sh\nWorkingDirectory=/var/lib\nLimitNOFILE=20000\n";

/// A run that goes on.
pub(super) struct Run {
    child: Child,
    users: u64,
}

impl Drop for Run {
    fn drop(&mut self) {
        // Who has ended already can't be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    /// Submits a scenario with so many users, in the words of terraform's output.
    ///
    /// # Errors
    /// When the operator's files can't be written.
    pub(super) fn start(fleet: &Fleet, scenario: &str, users: u64) -> Result<Self> {
        let operator = &fleet.operator;
        operator.write("/var/lib/scenario.yaml", scenario)?;
        let file = |name: &str| File::create(operator.path(&format!("/var/lib/{name}")));
        let domain = fleet.domain();
        let (control_plane, target) = (&fleet.variables["FLEET_CONTROL_PLANE"], format!("ws://edges.{domain}:7800"));
        let words = ["/usr/local/bin/throng", "run", "scenario.yaml", "--json", "--control-plane", control_plane];
        let credentials = ["--api-key", &fleet.variables["FLEET_API_KEY"], "--api-secret-file", "secret"];
        let tls = ["--tls-ca", "ca.pem", "--tls-cert", "operator.pem", "--tls-key", "operator.key"];
        let people = ["--token-file", "token", "--target", &target];
        let words = [&words[..], &credentials, &tls, &people].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let mut command = operator.command(&Unit::parse(SHELL)?, &words);
        let child =
            command.stdout(file("stdout")?).stderr(file("stderr")?).spawn().context("nsenter can't be started")?;
        Ok(Self { child, users })
    }

    /// Waits until all users are connected.
    ///
    /// # Errors
    /// When they aren't in time.
    pub(super) fn under_way(&mut self, fleet: &mut Fleet) -> Result<()> {
        let wanted = format!("users {0} of {0}", self.users);
        eventually("all users are connected", RUN_WITHIN, fleet, |fleet| {
            let said = said(fleet, "stderr");
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "throng run has ended already\n{said}");
            Ok(said.contains(&wanted).then_some(()))
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it doesn't end in time, or has left no result.
    pub(super) fn end(mut self, fleet: &mut Fleet) -> Result<Outcome> {
        let ended = eventually("throng run has ended", RUN_WITHIN, fleet, |_| Ok(self.child.try_wait()?));
        let (stdout, stderr) = (said(fleet, "stdout"), said(fleet, "stderr"));
        let code = ended.and_then(|status| status.code().context("throng run was killed"));
        let code = code.with_context(|| stderr.clone())?;
        let line: Value = serde_json::from_str(&stdout).with_context(|| format!("exit {code}: {stdout}\n{stderr}"))?;
        let report = line["report"].as_str().with_context(|| format!("no report: {stdout}"))?;
        let file = fleet.host("data-plane").path(&report.replace("report.html", "result.json"));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Outcome { code, result: serde_json::from_str(&text)? })
    }
}

fn said(fleet: &Fleet, name: &str) -> String {
    fs::read_to_string(fleet.operator.path(&format!("/var/lib/{name}"))).unwrap_or_default()
}

/// How a run ended, and its `result.json`.
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) result: Value,
}

impl Outcome {
    /// The reasons of the verdict, but for those of a machine that has too little to give: on a busy one throng is honest
    /// about that.
    pub(super) fn reasons(&self) -> Vec<&str> {
        let slow = |reason: &&str| {
            reason.starts_with("The load generator was late")
                || reason.starts_with("The host ") && reason.contains("at its limit")
        };
        let all = self.result["verdict"]["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.filter(|reason| !slow(reason)).collect()
    }

    /// The kinds of the lines of the run's story.
    pub(super) fn kinds(&self) -> Vec<&str> {
        self.result["events"].as_array().into_iter().flatten().filter_map(|event| event["kind"].as_str()).collect()
    }

    /// A number of the result.
    pub(super) fn number(&self, pointer: &str) -> u64 {
        self.result.pointer(pointer).and_then(Value::as_u64).unwrap_or(u64::MAX)
    }

    /// The run ended well: everybody got everything, and nothing counted against it.
    ///
    /// # Errors
    /// What did.
    pub(super) fn is_well(&self) -> Result<()> {
        let (reasons, verdict) = (self.reasons(), &self.result["verdict"]["outcome"]);
        let honest = matches!((self.code, verdict.as_str()), (0, Some("passed")) | (2, Some("invalid")));
        ensure!(honest && reasons.is_empty(), "exit {}, {verdict}: {}", self.code, reasons.join("\n"));
        ensure!(self.code == 0 || self.result["verdict"]["reasons"] != Value::Array(vec![]), "invalid for no reason");
        self.nothing_lost()?;
        self.conserves()
    }

    /// Every user got every event that was his.
    ///
    /// # Errors
    /// When not.
    pub(super) fn nothing_lost(&self) -> Result<()> {
        let account = &self.result["completeness"];
        let (expected, delivered) = (self.number("/completeness/expected"), self.number("/completeness/delivered"));
        ensure!(account["lost"] == 0 && expected == delivered && delivered > 1_000, "completeness: {account}");
        Ok(())
    }

    /// What each source's recorders counted is what the report shows, to the last sample. A source that has not said what it
    /// counted is in what is shown, and on neither side of that.
    ///
    /// # Errors
    /// What is not.
    pub(super) fn conserves(&self) -> Result<()> {
        let conservation = &self.result["conservation"];
        let all = conservation["unaccounted"] == Value::Array(vec![]);
        ensure!(conservation["holds"] == true, "the conservation law is broken: {conservation}");
        for (one, other) in [("recorded_samples", "shown_samples"), ("recorded_counts", "shown_counts")] {
            let (one, other) = (&conservation[one], &conservation[other]);
            ensure!(one == other, "recorders counted {one}, and {other} are shown");
        }
        for (name, sides) in conservation["by_name"].as_object().context("conservation by name")? {
            let (recorded, shown) = (sides["recorded"].as_u64(), sides["shown"].as_u64());
            let result = match self.result["metrics"].get(name) {
                Some(metric) => metric["count"].as_u64(),
                None => self.result["counters"][name].as_u64(),
            };
            let same = recorded.is_some() && recorded == shown && (shown == result || !all && shown < result);
            ensure!(same, "{name}: recorded {recorded:?}, shown {shown:?}, in the result {result:?}");
        }
        let by_name = |name: &str| self.number(&format!("/conservation/by_name/{name}/recorded"));
        ensure!(by_name("delivery") > 0 && by_name("send") > 0, "nothing was counted");
        Ok(())
    }

    /// Every source has said what it counted.
    ///
    /// # Errors
    /// Which has not.
    pub(super) fn all_accounted(&self) -> Result<()> {
        let unaccounted = &self.result["conservation"]["unaccounted"];
        ensure!(*unaccounted == Value::Array(vec![]), "not accounted for: {unaccounted}");
        Ok(())
    }
}
