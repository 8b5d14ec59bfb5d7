//! `throng plan`: what a scenario needs, before anything is started.

use scenarios::Hints;
use scenarios::fleet::{self, Wishes};
use serde_json::json;

use crate::args::PlanArgs;
use crate::exit::{Exit, Failure};
use crate::local::sizes::{self, Room};
use crate::say;
use crate::scenario;

/// Prints what a scenario needs, and whether this machine has it.
///
/// # Errors
/// When it doesn't validate.
pub(crate) fn plan(args: &PlanArgs, open_files: u64) -> Result<Exit, Failure> {
    let loaded = scenario::load(&args.scenario, &args.overrides)?;
    if let Some(kind) = &args.host {
        return fleet(args, kind, &loaded);
    }
    let sizes = sizes::choose(loaded.users(), loaded.bundled(), args.workers, Room::here(open_files));
    let hints = Hints {
        workers: args.workers.or(sizes.as_ref().ok().map(|s| s.workers)),
        files_per_process: open_files,
        ..Hints::default()
    };
    let plan = scenarios::plan::plan(&loaded.scenario, hints);
    if args.json {
        let machine = sizes.err().unwrap_or_else(|| "suffices".to_owned());
        say::result(format_args!("{}\n", json!({"plan": plan, "this_machine": machine})))?;
    } else {
        say::result(&plan)?;
        if let Err(why) = sizes {
            say::result(format_args!("\nthis machine is too small: {why}\n"))?;
        }
    }
    Ok(Exit::Passed)
}

/// Prints the fleet of hosts of one kind that a scenario needs.
fn fleet(args: &PlanArgs, kind: &str, loaded: &scenario::Loaded) -> Result<Exit, Failure> {
    let wishes = Wishes { host: kind, bundled: args.bundled, workers: args.workers };
    let fleet = fleet::fleet(&loaded.scenario, wishes).map_err(|why| Failure::new(Exit::Usage, why))?;
    if args.json {
        say::result(format_args!("{}\n", json!({"fleet": fleet})))?;
    } else {
        say::result(fleet.text(args.explain))?;
    }
    Ok(Exit::Passed)
}
