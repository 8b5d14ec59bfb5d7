//! The end of a run: what there is to report, where it is, and the exit code that it means.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use proto::control::{Outcome, RunUpdate, Verdict};
use serde_json::{Value, json};

use super::Session;
use super::control;
use super::follow::Ending;
use super::progress::Progress;
use crate::browser;
use crate::commands::{self, Compared};
use crate::exit::{Exit, Failure};
use crate::say;

/// How long workers and probe may take to ship what they have, where no control plane tells them to.
const SHIP_WITHIN: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Ends the fleet, prints the summary, and answers the exit code.
    pub(super) async fn conclude(mut self, ending: Ending, progress: &mut Progress) -> Result<Exit, Failure> {
        match ending {
            Ending::Ended(update) => {
                self.stop_fleet().await;
                self.report(&update)
            }
            Ending::GivenUp => {
                progress.say("stopping at once");
                self.stop_fleet().await;
                self.show(None);
                Ok(Exit::Interrupted)
            }
            Ending::ControlPlaneLost(why) => {
                let text = format!("the control plane was lost: {why}");
                let Some(fleet) = self.fleet.as_mut() else {
                    let text = format!("{text}\nthe run {} may still go on in its fleet", self.id);
                    return Err(Failure::new(Exit::Unavailable, text));
                };
                progress.say(&format!("{text}; closing the run"));
                fleet.release_agents();
                let closed = control::close(&fleet.data_plane, &self.id, &text, SHIP_WITHIN).await;
                self.stop_fleet().await;
                match closed {
                    Ok(_) => {
                        self.show(None);
                    }
                    Err(error) => progress.say(&format!("{error:#}")),
                }
                Err(Failure::new(Exit::Unavailable, text))
            }
            Ending::DataPlaneLost(why) => {
                self.stop_fleet().await;
                let text = format!("the data plane was lost: {why}{}", self.salvage());
                Err(Failure::new(Exit::Unavailable, text))
            }
        }
    }

    /// The summary of a run that ended in order.
    fn report(&mut self, update: &RunUpdate) -> Result<Exit, Failure> {
        let verdict = update.verdict.clone().unwrap_or_default();
        let exit = exit_of(&verdict, !update.report_path.is_empty());
        if update.report_path.is_empty() {
            let text = format!("the run was not closed\n{}{}", verdict.reasons.join("\n"), self.salvage());
            return Err(Failure::new(exit, text));
        }
        // The data plane knows best where it is.
        let page = Path::new(&update.report_path);
        self.dir = page.parent().map(Path::to_owned);
        let compared = self.compared();
        if !self.show(compared.as_ref().ok().and_then(Option::as_ref)) {
            // On another host; but its verdict is here.
            let (outcome, reasons) = (outcome_word(&verdict), &verdict.reasons);
            if self.args.alike.json {
                let verdict = json!({"outcome": outcome, "reasons": reasons, "interrupted": verdict.interrupted});
                print(format_args!("{}\n", json_line(&self.id, page, &verdict)));
            } else {
                let (reasons, page) = (reasons.join("\n"), page.display());
                print(format_args!("{outcome}\n{reasons}\nreport, on the data plane's host: {page}\n"));
            }
        }
        // What a threshold said before is not taken back by the better comparison.
        Ok(compared?.filter(|_| exit == Exit::Passed).map_or(exit, |compared| compared.exit()))
    }

    /// Of a run that nobody closed: reports what its data plane had stored, where that is on this machine; and says so.
    fn salvage(&self) -> String {
        let Some(dir) = self.dir.as_deref() else { return String::new() };
        match reports::render_again(dir) {
            Ok(page) => {
                self.show(None);
                let (dir, page) = (dir.display(), page.display());
                format!("\n{page} shows what was stored; all that was measured is kept in {dir}: throng report {dir}")
            }
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "nothing to report");
                String::new()
            }
        }
    }

    /// Compares the run with its baseline, if it has one.
    fn compared(&self) -> Result<Option<Compared>, Failure> {
        let (Some(baseline), Some(dir)) = (&self.baseline, self.dir.as_deref()) else { return Ok(None) };
        commands::against(baseline, dir, self.args.tolerance.tolerance).map(Some)
    }

    /// Prints what stands in the run's directory, and what a comparison found; false if there is nothing.
    fn show(&self, compared: Option<&Compared>) -> bool {
        let Some(dir) = self.dir.as_deref() else { return false };
        let result = match reports::load(dir) {
            Ok(result) => result,
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "no result to show");
                return false;
            }
        };
        let page = dir.join("report.html");
        if self.args.alike.json {
            let mut line = json_line(&result.run, &page, &json!(result.verdict));
            if let Some(compared) = compared {
                (line["comparison"], line["comparison_page"]) = (json!(compared.comparison), json!(compared.page));
            }
            print(format_args!("{line}\n"));
        } else {
            print(format_args!("{}report: {}\n", reports::render::text::summary(&result), page.display()));
            if let Some(compared) = compared {
                print(format_args!("\n{}", compared.text()));
            }
        }
        if self.args.alike.open {
            browser::open(&page);
        }
        true
    }
}

/// Prints the summary; the run is over, and its verdict holds whether or not somebody can read it.
fn print(text: impl Display) {
    if let Err(Failure { error: Some(error), .. }) = say::result(text) {
        say::tell(format_args!("{error:#}\n"));
    }
}

fn json_line(run: &str, page: &Path, verdict: &Value) -> Value {
    let dir = page.parent().unwrap_or(Path::new(""));
    json!({"run": run, "verdict": verdict, "dir": dir, "result": dir.join("result.json"), "report": page})
}

fn exit_of(verdict: &Verdict, reported: bool) -> Exit {
    match verdict.outcome() {
        _ if verdict.interrupted => Exit::Interrupted,
        Outcome::Passed => Exit::Passed,
        Outcome::Failed => Exit::Failed,
        // Without a report nothing was measured: something needed was not there.
        Outcome::Invalid | Outcome::Unspecified if !reported => Exit::Unavailable,
        Outcome::Invalid | Outcome::Unspecified => Exit::Invalid,
    }
}

fn outcome_word(verdict: &Verdict) -> &'static str {
    match verdict.outcome() {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Invalid | Outcome::Unspecified => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_their_exit_codes() {
        let verdict = |outcome: Outcome, interrupted| Verdict { outcome: outcome.into(), reasons: vec![], interrupted };
        for (outcome, interrupted, reported, exit) in [
            (Outcome::Passed, false, true, Exit::Passed),
            (Outcome::Failed, false, true, Exit::Failed),
            (Outcome::Invalid, false, true, Exit::Invalid),
            (Outcome::Invalid, false, false, Exit::Unavailable),
            (Outcome::Invalid, true, true, Exit::Interrupted),
            (Outcome::Passed, true, true, Exit::Interrupted),
        ] {
            assert_eq!(exit_of(&verdict(outcome, interrupted), reported), exit);
        }
    }
}
