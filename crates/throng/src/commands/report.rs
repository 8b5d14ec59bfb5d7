//! `throng report`: a stored run, rendered again.

use crate::args::ReportArgs;
use crate::browser;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::say;

/// Renders the page again and prints the summary.
///
/// # Errors
/// When there is no such run, or the page can't be written.
pub(crate) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let result = reports::load(&args.run).or_exit(Exit::Usage)?;
    let page = args.out.clone().unwrap_or_else(|| args.run.join("report.html"));
    let html = reports::render::html(&result);
    std::fs::write(&page, html).map_err(|e| {
        Failure::new(
            Exit::Unavailable,
            format!("can't write {}: {e}\nname another file with --out FILE", page.display()),
        )
    })?;
    if args.json {
        let json = serde_json::to_string(&result).or_exit(Exit::Unexpected)?;
        say::result(format_args!("{json}\n"))?;
    } else {
        let summary = reports::render::text::summary(&result);
        say::result(format_args!("{summary}report: {}\n", page.display()))?;
    }
    if args.open {
        browser::open(&page);
    }
    Ok(Exit::Passed)
}
