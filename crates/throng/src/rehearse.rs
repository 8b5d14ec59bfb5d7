//! `throng rehearse`: a run with the real control plane and the real data plane over real gRPC, whose workers simulate
//! their users. What costs a fleet is rehearsed on one machine.

pub(crate) mod faults;
pub(crate) mod relay;

use crate::args::{Credentials, LinkArgs, PeopleArgs, RehearseArgs, RunArgs, Tolerance};
use crate::exit::{Exit, Failure};
use crate::run;
use faults::{Fault, What};

/// What makes a run a rehearsal.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal {
    /// How many workers are simulated.
    pub(crate) workers: u32,
    /// How many times faster than real time its time goes.
    pub(crate) speed: f64,
    /// What fails, in the order of time.
    pub(crate) faults: Vec<Fault>,
}

impl Rehearsal {
    /// Whether a plane is to be killed and started again.
    pub(crate) fn restarts(&self, plane: &str) -> bool {
        self.faults.iter().any(|fault| matches!(fault.what, What::Restart(name) if name == plane))
    }
}

/// Rehearses a scenario.
///
/// # Errors
/// As a run.
pub(crate) async fn rehearse(args: &RehearseArgs, open_files: u64) -> Result<Exit, Failure> {
    let mut faults = args.faults.clone();
    faults.sort_by_key(|fault| fault.at);
    let rehearsal = Rehearsal { workers: args.workers, speed: args.speed, faults };
    faults::check(&rehearsal.faults, args.workers, args.speed).map_err(|why| Failure::new(Exit::Usage, why))?;
    let args = RunArgs {
        alike: args.alike.clone(),
        target: Vec::new(),
        target_ca: None,
        credentials: Credentials::default(),
        control_plane: None,
        links: LinkArgs::default(),
        people: PeopleArgs::default(),
        baseline: None,
        tolerance: Tolerance { tolerance: 0.0 },
        workers: Some(args.workers),
        otlp_endpoint: None,
    };
    run::run(&args, open_files, Some(rehearsal)).await
}
