//! `throng ctl`: a fleet seen and steered from a terminal or a script.

use proto::control::{Agent, AgentKind, RunState, RunUpdate};
use reports::format;
use serde_json::{Value, json};

use crate::args::{CtlArgs, CtlCommand, FleetArgs};
use crate::exit::{Exit, Failure, OrExit as _};
use crate::run::control::{Control, Refused};
use crate::say;

/// Does what was asked for.
///
/// # Errors
/// When the control plane can't be reached, or knows no such run or agent.
pub(crate) async fn ctl(args: &CtlArgs) -> Result<Exit, Failure> {
    match &args.command {
        CtlCommand::Runs(fleet) => {
            let runs = dial(fleet).await?.runs().await.map_err(failure)?;
            list(fleet, &runs, run_json, &["RUN", "STATE", "USERS", "AGENTS", "SCENARIO", "SUBMITTED"], run_row)?;
        }
        CtlCommand::Agents(fleet) => {
            let agents = dial(fleet).await?.fleet().await.map_err(failure)?;
            list(fleet, &agents, agent_json, &["AGENT", "KIND", "STATE", "HOLDS", "HOST", "RUN"], agent_row)?;
        }
        CtlCommand::Cancel { run, reason, fleet } => {
            let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            let mut control = dial(fleet).await?;
            let was = control.cancel(run, &format!("cancelled by `throng ctl`{reason}")).await.map_err(failure)?;
            let text = match was {
                RunState::Ended => return Err(Failure::new(Exit::Usage, format!("the run `{run}` has ended already"))),
                RunState::Queued | RunState::Preparing => format!("{run} is cancelled; it had not begun"),
                _ => format!("{run} is cancelled; what was measured is reported"),
            };
            tell(fleet, &json!({"run": run, "cancelled": true, "was": state(was)}), &text)?;
        }
        CtlCommand::Drain { agent, fleet } => {
            let run = dial(fleet).await?.drain(agent).await.map_err(failure)?;
            let text = match run.as_str() {
                "" => format!("{agent} has no run and leaves"),
                run => format!("{agent} finishes the run {run} and leaves then"),
            };
            tell(fleet, &json!({"agent": agent, "draining": true, "run": run}), &text)?;
        }
    }
    Ok(Exit::Passed)
}

async fn dial(fleet: &FleetArgs) -> Result<Control, Failure> {
    let (links, token) = (fleet.links.links()?, fleet.people.token()?);
    links.endpoint(&fleet.control_plane).or_exit(Exit::Usage)?;
    Control::connect(&fleet.control_plane, &links, token.as_ref()).await.or_exit(Exit::Unavailable)
}

fn failure(refused: Refused) -> Failure {
    match refused {
        Refused::Wrong(text) => Failure::new(Exit::Usage, text),
        Refused::Unavailable(error) => Failure { exit: Exit::Unavailable, error: Some(error) },
    }
}

fn tell(fleet: &FleetArgs, json: &Value, text: &str) -> Result<(), Failure> {
    if fleet.json { say::result(format_args!("{json}\n")) } else { say::result(format_args!("{text}\n")) }
}

fn list<T, const N: usize>(
    fleet: &FleetArgs,
    rows: &[T],
    json: impl Fn(&T) -> Value,
    head: &[&str; N],
    row: impl Fn(&T) -> [String; N],
) -> Result<(), Failure> {
    if fleet.json {
        return rows.iter().try_for_each(|row| say::result(format_args!("{}\n", json(row))));
    }
    say::result(table(head, &rows.iter().map(row).collect::<Vec<_>>()))
}

/// Columns as wide as their widest value, two spaces between them.
fn table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let width = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |line: &[String; N]| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines().map(line).collect()
}

fn state(state: RunState) -> String {
    state.as_str_name().to_lowercase()
}

/// The verdict's word, or where the run stands.
fn standing(run: &RunUpdate) -> String {
    match &run.verdict {
        Some(verdict) if verdict.interrupted => "interrupted".to_owned(),
        Some(verdict) => verdict.outcome().as_str_name().to_lowercase(),
        None => state(run.state()),
    }
}

fn run_row(run: &RunUpdate) -> [String; 6] {
    let agents = run.workers.len().to_string();
    [run.run.clone(), standing(run), format::count(run.users), agents, run.name.clone(), run.submitted.clone()]
}

fn run_json(run: &RunUpdate) -> Value {
    let verdict = run.verdict.as_ref().map(|verdict| {
        let outcome = verdict.outcome().as_str_name().to_lowercase();
        json!({"outcome": outcome, "reasons": verdict.reasons, "interrupted": verdict.interrupted})
    });
    json!({
        "run": run.run,
        "scenario": run.name,
        "state": state(run.state()),
        "phase": run.phase,
        "users": run.users,
        "submitted": run.submitted,
        "elapsed_s": run.elapsed_s,
        "planned_s": run.planned_s,
        "agents": run.workers.iter().map(|agent| json!({"name": agent.name, "state": agent.state})).collect::<Vec<_>>(),
        "verdict": verdict,
        "report": run.report_path,
    })
}

fn kind(agent: &Agent) -> &'static str {
    match agent.hello.as_ref().map(proto::control::Hello::kind) {
        Some(AgentKind::Worker) => "worker",
        Some(AgentKind::Probe) => "probe",
        Some(AgentKind::Unspecified) | None => "",
    }
}

fn agent_row(agent: &Agent) -> [String; 6] {
    let hello = agent.hello.clone().unwrap_or_default();
    let holds = if hello.capacity > 0 { format::count(hello.capacity) } else { String::new() };
    [agent.id.clone(), kind(agent).to_owned(), agent.state.clone(), holds, hello.host, agent.run.clone()]
}

fn agent_json(agent: &Agent) -> Value {
    let hello = agent.hello.clone().unwrap_or_default();
    json!({
        "agent": agent.id,
        "kind": kind(agent),
        "state": agent.state,
        "run": agent.run,
        "capacity": hello.capacity,
        "host": hello.host,
        "version": hello.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["a".to_owned(), "longer".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X    Y\na    longer\nbcd\n");
    }
}
