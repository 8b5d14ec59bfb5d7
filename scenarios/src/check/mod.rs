//! From the file's values to a [`Scenario`]: everything that is wrong only in the light of the rest of the file.
//!
//! Every part is checked even if others were refused, so that all errors come at once; what was refused counts as
//! something harmless, so that no error follows from another.

mod channels;
mod cohorts;
mod expression;
mod extent;
mod measured;
mod phases;
mod target;
mod thresholds;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use measure::grouped;

use crate::decode::{Field, nearest};
use crate::diagnostic::{Diagnostics, Span, quoted};
use crate::language::File;
use crate::model::{ProbeSpec, Scenario, WorkerLoss};
use crate::tree::Node;
use crate::words::{Faults, Loss, LossWord};

/// Cohorts, actions and groups of channels each have a 16-bit number; a few are kept for what belongs to no cohort.
pub const MOST_COHORTS: usize = 65_000;
/// Users of a run: two hundred times the largest that anybody has seen.
pub const MOST_USERS: u64 = 1_000_000_000;
/// The largest message: chat services take 5 KiB.
pub const LARGEST_MESSAGE: u32 = 5 * 1024;
/// Channels of one group that a user may watch.
pub const MOST_PER_USER: u64 = 1_000;
/// The longest run.
pub const LONGEST_RUN: Duration = Duration::from_secs(30 * 86_400);
/// Canaries are few and quiet, or they would be load.
pub const MOST_CANARIES: u64 = 10_000;

/// The seed of a scenario that states none.
const DEFAULT_SEED: u64 = 1;
/// What canaries send, all together, if nothing is stated.
const DEFAULT_PROBE_RATE: f64 = 1.0;

/// Checks a file as a whole. What comes out is a scenario only if no error was found.
pub(crate) fn lower(file: &File, root: &Node, base_dir: &Path, errors: &mut Diagnostics) -> Scenario {
    // Nothing follows from faults: decoding refused all of them.
    let _: Option<&Faults> = file.faults.get();
    let mut check = Check::new(file, root, errors);
    let cohorts = check.cohorts();
    let channels = check.channels();
    let mut scenario = Scenario {
        name: file.name.get().map(|name| name.0.clone()).unwrap_or_default(),
        description: file.description.get().map(|words| words.0.clone()).unwrap_or_default(),
        seed: file.seed.get().map_or(DEFAULT_SEED, |seed| seed.0),
        target: check.target(base_dir),
        channels,
        cohorts,
        phases: check.phases(),
        probes: check.probes(),
        thresholds: Vec::new(),
        on_worker_loss: match file.on_worker_loss.get() {
            Some(Loss::Word(LossWord::Abort)) => WorkerLoss::Abort,
            Some(Loss::Word(LossWord::Redistribute)) => WorkerLoss::Redistribute,
            Some(Loss::Word(LossWord::Continue)) | None => WorkerLoss::Continue,
            Some(Loss::Spec(spec)) => match spec.goes_on.get().and_then(|limit| limit.at_most.get()) {
                Some(at_most) => WorkerLoss::AtMost(at_most.0),
                // It was refused.
                None => WorkerLoss::Continue,
            },
        },
    };
    check.watching(&scenario);
    scenario.thresholds = check.thresholds(&scenario);
    scenario
}

/// The file under check, and what is defined in it.
struct Check<'a> {
    file: &'a File,
    root: &'a Node,
    errors: &'a mut Diagnostics,
    cohort_names: Names<'a>,
    channel_ids: Names<'a>,
    /// Actions, members or canaries were refused: what seems not to be measured may be.
    vague: bool,
}

/// Names and their indices.
struct Names<'a> {
    known: BTreeMap<&'a str, usize>,
    /// Some have no name, or were not read: a name that isn't known may be theirs.
    vague: bool,
}

impl<'a> Names<'a> {
    fn of(names: impl Iterator<Item = Option<&'a str>>, vague: bool) -> Self {
        let mut found = Self { known: BTreeMap::new(), vague };
        for (index, name) in names.enumerate() {
            match name {
                Some(name) => {
                    found.known.entry(name).or_insert(index);
                }
                None => found.vague = true,
            }
        }
        found
    }
}

impl<'a> Check<'a> {
    fn new(file: &'a File, root: &'a Node, errors: &'a mut Diagnostics) -> Self {
        let cohorts = file.cohorts.get();
        let channels = file.channels.get();
        let cohort_names = Names::of(
            cohorts.iter().flat_map(|list| &list.items).map(|item| item.value.name.get().map(|name| name.0.as_str())),
            cohorts.is_none_or(|list| list.partial),
        );
        let channel_ids = Names::of(
            channels.iter().flat_map(|list| &list.items).map(|item| item.value.id.get().map(|id| id.0.as_str())),
            channels.is_none_or(|list| list.partial),
        );
        let vague = cohort_names.vague || channel_ids.vague;
        Self { file, root, errors, cohort_names, channel_ids, vague }
    }

    fn error(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.add(span, message, Some(hint.into()));
    }

    /// Finds what a name refers to, or reports that nothing does.
    fn resolve(&mut self, kind: Kind, name: &str, span: Span) -> Option<usize> {
        let (names, what) = match kind {
            Kind::Cohort => (&self.cohort_names, "cohort"),
            Kind::Channel => (&self.channel_ids, "channel"),
        };
        if let Some(index) = names.known.get(name) {
            return Some(*index);
        }
        if names.vague || self.errors.is_full() {
            return None;
        }
        let hint = nearest(name, names.known.keys().copied()).unwrap_or_else(|| match names.known.len() {
            0 => format!("the file defines no {what}"),
            _ => format!("the {what}s are: {}", names.known.keys().take(20).copied().collect::<Vec<_>>().join(", ")),
        });
        self.errors.add(span, format!("there is no {what} {}", quoted(name)), Some(hint));
        None
    }

    fn probes(&mut self) -> ProbeSpec {
        let Some(probes) = self.file.probes.get() else {
            self.vague |= self.file.probes.given;
            return ProbeSpec::default();
        };
        self.vague |= probes.canaries.get().is_none();
        let canaries = probes.canaries.get().map_or(1, |canaries| canaries.0);
        let send_rate = probes.send.get().map(|rate| rate.0);
        if canaries == 0 && send_rate.is_some_and(|rate| rate > 0.0) {
            let hint = "give it some canaries, or remove `probes`";
            self.error(probes.send.span, "without canaries nobody can send this", hint);
        }
        if canaries > MOST_CANARIES {
            let message = format!("more than {} canaries", grouped(MOST_CANARIES));
            self.error(
                probes.canaries.span,
                message,
                "canaries are a few quiet users; the load belongs to the cohorts",
            );
        }
        if canaries > 0 && self.file.channels.get().is_some_and(|list| list.items.is_empty() && !list.partial) {
            self.error(probes.canaries.span, "the canaries have no channel to meet in", "define one under `channels`");
        }
        let canaries = u32::try_from(canaries).unwrap_or(u32::MAX);
        ProbeSpec { canaries, send_rate: if canaries == 0 { 0.0 } else { send_rate.unwrap_or(DEFAULT_PROBE_RATE) } }
    }

    /// A stretch that is too long for any run.
    fn no_month(&mut self, span: Span, what: &str, length: Duration) {
        if length > LONGEST_RUN {
            let message = format!("{what} {} days", grouped(length.as_secs() / 86_400));
            self.error(span, message, format!("a run takes {} days at most", LONGEST_RUN.as_secs() / 86_400));
        }
    }
}

/// What a name may refer to.
#[derive(Clone, Copy)]
enum Kind {
    Cohort,
    Channel,
}

/// Whether a key was given with zero for its value.
fn is_zero<T>(field: &Field<T>, zero: impl Fn(&T) -> bool) -> bool {
    field.get().is_some_and(zero)
}
