//! What a data plane must understand of a run that is opened.

use proto::telemetry::OpenRequest;
use scenarios::{Scenario, Source};

/// What stands for a value from the environment: something that is a secret and an address, or a number.
const PLACEHOLDERS: [&str; 2] = ["wss://placeholder.invalid", "1"];

/// Makes a scenario of a request; or says why it can't.
pub(crate) type Parse = fn(&OpenRequest) -> Result<Scenario, String>;

/// Makes a scenario of a request; the values of its secrets are not needed and were not sent.
///
/// # Errors
/// When it doesn't parse: all that is wrong with it.
pub(crate) fn understand(request: &OpenRequest) -> Result<Scenario, String> {
    let parse = |placeholder: &str| {
        // A variable that has a default keeps it: `${NAME:-default}` is seldom a secret.
        let needed = request.variable_names.iter().filter(|name| mentions(request, &format!("${{{name}}}")));
        let variables = needed.map(|name| (name.clone(), placeholder.to_owned()));
        scenarios::parse(&Source {
            file_name: request.file_name.clone(),
            bytes: request.scenario.to_vec(),
            overrides: request.overrides.clone(),
            variables: variables.collect(),
            base_dir: request.base_dir.clone().into(),
        })
    };
    let mut errors = String::new();
    for placeholder in PLACEHOLDERS {
        match parse(placeholder) {
            Ok(scenario) => return Ok(scenario),
            Err(e) => errors = e.to_string(),
        }
    }
    Err(errors)
}

fn mentions(request: &OpenRequest, what: &str) -> bool {
    String::from_utf8_lossy(&request.scenario).contains(what) || request.overrides.iter().any(|o| o.contains(what))
}

/// Whether `run` may name a run, and so a directory.
pub(crate) fn is_name(run: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !run.is_empty() && run.len() <= 100 && !run.starts_with('.') && run.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_a_plain_file_name() {
        assert!(["quickstart-7f3a", "a", "2026-11-24T03.12_x"].iter().all(|n| is_name(n)));
        assert!(
            !["", ".", "..", "../x", "a/b", "a b", "ä", ".hidden", "a\n", &"x".repeat(101)].iter().any(|n| is_name(n))
        );
    }
}
