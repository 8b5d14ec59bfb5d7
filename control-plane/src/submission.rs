//! From the scenario that somebody submits to the numbers that a run needs.

use scenarios::model::WorkerLoss;

use crate::run::{OnLoss, Phase, Plan};

/// Reads a scenario; all that is wrong with it, rendered for people, if it is no good.
pub type Parse = fn(&proto::control::Scenario) -> Result<Plan, String>;

/// What [`crate::Config::parse`] is unless a test says otherwise: the scenario language.
pub(crate) fn plan_of(submitted: &proto::control::Scenario) -> Result<Plan, String> {
    let source = scenarios::Source {
        file_name: submitted.file_name.clone(),
        bytes: submitted.source.to_vec(),
        overrides: submitted.overrides.clone(),
        variables: submitted.variables.clone().into_iter().collect(),
        base_dir: submitted.base_dir.clone().into(),
    };
    let scenario = scenarios::parse(&source).map_err(|diagnostics| diagnostics.to_string())?;
    let timeline = scenario.timeline();
    Ok(Plan {
        name: scenario.name.clone(),
        users: scenario.users(),
        duration: timeline.end,
        phases: timeline.phases.into_iter().map(|(name, start, _)| Phase { name, start }).collect(),
        on_worker_loss: match scenario.on_worker_loss {
            WorkerLoss::Continue => OnLoss::Continue,
            WorkerLoss::AtMost(share) => OnLoss::AtMost(share),
            WorkerLoss::Abort => OnLoss::Abort,
            WorkerLoss::Redistribute => OnLoss::Redistribute,
        },
        workers: 0,
        // Canaries need somebody who runs them.
        probes: u32::from(scenario.probes.canaries > 0),
    })
}
