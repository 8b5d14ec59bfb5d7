//! `throng compare`, and what `throng run --baseline` says at its end.

use std::path::{Path, PathBuf};

use reports::RunResult;
use reports::compare::Judgement;
use reports::render::comparison;

use crate::args::CompareArgs;
use crate::browser;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::say;

/// The page of a comparison, where it is given no other name: beside the run that was compared.
const PAGE: &str = "comparison.html";

/// Compares two stored runs.
///
/// # Errors
/// When one of them is no run, or the page can't be written.
pub(crate) fn compare(args: &CompareArgs) -> Result<Exit, Failure> {
    let a = reports::load(&args.a).or_exit(Exit::Usage)?;
    let b = reports::load(&args.b).or_exit(Exit::Usage)?;
    let page = args.out.clone().unwrap_or_else(|| args.b.join(PAGE));
    let compared = write(&a, &b, args.tolerance.tolerance, page)?;
    if args.json {
        let json = serde_json::to_string(&compared.comparison).or_exit(Exit::Unexpected)?;
        say::result(format_args!("{json}\n"))?;
    } else {
        say::result(compared.text())?;
    }
    if args.open {
        browser::open(&compared.page);
    }
    Ok(compared.exit())
}

/// Two runs that were compared.
pub(crate) struct Compared {
    /// What they say together.
    pub(crate) comparison: reports::Comparison,
    /// The page that shows it.
    pub(crate) page: PathBuf,
}

/// Compares the run in `dir` with the baseline `a` and writes the page into its directory.
///
/// # Errors
/// When it is no run, or the page can't be written.
pub(crate) fn against(a: &RunResult, dir: &Path, tolerance: f64) -> Result<Compared, Failure> {
    let b = reports::load(dir).or_exit(Exit::Unexpected)?;
    write(a, &b, tolerance, dir.join(PAGE))
}

fn write(a: &RunResult, b: &RunResult, tolerance: f64, page: PathBuf) -> Result<Compared, Failure> {
    let comparison = reports::compare(a, b, tolerance);
    std::fs::write(&page, comparison::html(&comparison, a, b)).map_err(|e| {
        let text = format!("can't write {}: {e}\nname another file with --out FILE", page.display());
        Failure::new(Exit::Unavailable, text)
    })?;
    Ok(Compared { comparison, page })
}

impl Compared {
    /// What to print: the summary, and where the page is.
    pub(crate) fn text(&self) -> String {
        format!("{}comparison: {}\n", comparison::text::summary(&self.comparison), self.page.display())
    }

    /// How a process ends that has nothing else to say.
    pub(crate) fn exit(&self) -> Exit {
        match self.comparison.outcome {
            Judgement::NoRegression => Exit::Passed,
            Judgement::Regression => Exit::Failed,
            Judgement::Invalid => Exit::Invalid,
        }
    }
}
