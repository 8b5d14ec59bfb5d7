//! `throng validate` and `throng schema`: what a scenario may say, and whether one does.

use std::path::Path;

use reports::format;
use scenarios::Diagnostics;

use crate::args::ValidateArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::say;
use crate::scenario;

/// Checks all files, and tells everything that is wrong with any of them.
///
/// # Errors
/// When one doesn't validate; told already.
pub(crate) fn validate(args: &ValidateArgs) -> Result<Exit, Failure> {
    let mut wrong = false;
    for path in &args.scenarios {
        match check(path, args) {
            Ok(()) => {}
            Err(Failure { error, .. }) => {
                wrong = true;
                if let Some(error) = error {
                    say::tell(format_args!("error: {error:#}\n"));
                }
            }
        }
    }
    if wrong { Err(Failure::told(Exit::Usage)) } else { Ok(Exit::Passed) }
}

fn check(path: &Path, args: &ValidateArgs) -> Result<(), Failure> {
    let source = scenario::read(path, &args.overrides)?;
    match scenarios::parse(&source) {
        Ok(_) if args.json => Ok(()),
        Ok(scenario) => {
            let (users, end) = (scenario.users(), scenario.timeline().end);
            let users = format::counted(users, "user", "users");
            say::result(format_args!("{}: fine; {users} for {}\n", path.display(), format::span(end.as_secs_f64())))
        }
        Err(diagnostics) => {
            if args.json {
                print_lines(&diagnostics)?;
            } else {
                scenario::tell(&diagnostics);
            }
            Err(Failure::told(Exit::Usage))
        }
    }
}

fn print_lines(diagnostics: &Diagnostics) -> Result<(), Failure> {
    for d in diagnostics {
        let line = serde_json::json!({
            "file": d.file, "line": d.line, "column": d.column, "message": d.message, "hint": d.hint,
        });
        say::result(format_args!("{line}\n"))?;
    }
    Ok(())
}

/// Prints the JSON Schema of scenario files.
///
/// # Errors
/// When stdout can't be written.
pub(crate) fn schema() -> Result<Exit, Failure> {
    let schema = serde_json::to_string_pretty(&scenarios::schema()).or_exit(Exit::Unexpected)?;
    say::result(format_args!("{schema}\n"))?;
    Ok(Exit::Passed)
}
