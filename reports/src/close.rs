//! Everything that a closed run leaves on disk.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use proto::telemetry::{CloseReply, CloseRequest};

use crate::files;
use crate::hlog;
use crate::junit;
use crate::recover;
use crate::result::{Outcome, RunResult};
use crate::run::RunState;
use crate::store::Refusal;
use crate::summary::summarize;

/// Judges a run and writes its files, `result.json` last.
///
/// # Errors
/// When one can't be written.
pub(crate) fn write(run: &mut RunState, close: &CloseRequest) -> Result<CloseReply, Refusal> {
    run.finish();
    let result = summarize(run, close);
    let dir = run.opened.dir.clone();
    let put = |name: &str, f: &dyn Fn(&mut BufWriter<&mut fs::File>) -> io::Result<()>| {
        let path = dir.join(name);
        let written = files::write_with(&path, |file| {
            let mut out = BufWriter::new(file);
            f(&mut out)?;
            out.flush()
        });
        written.map_err(|e| Refusal::disk(&path, e))
    };
    put(files::HLOG, &|out| hlog::write(run, out))?;
    put(files::EVENTS, &|out| {
        result.events.iter().try_for_each(|event| {
            serde_json::to_writer(&mut *out, event)?;
            out.write_all(b"\n")
        })
    })?;
    put(files::JUNIT, &|out| junit::write(&result, out))?;
    put(files::REPORT, &|out| out.write_all(report(&result).as_bytes()))?;
    put(files::RESULT, &|out| {
        serde_json::to_writer_pretty(&mut *out, &result)?;
        out.write_all(b"\n")
    })?;
    Ok(CloseReply {
        outcome: word(result.verdict.outcome).to_owned(),
        reasons: result.verdict.reasons.clone(),
        dir: dir.to_string_lossy().into_owned(),
        report_path: dir.join(files::REPORT).to_string_lossy().into_owned(),
    })
}

/// The one place where a report is rendered.
fn report(result: &RunResult) -> String {
    crate::render::html(result)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Invalid => "invalid",
        Outcome::Running => "running",
    }
}

/// Reads the result of the run in `run_dir`; of one that was never closed, what its journal holds.
///
/// # Errors
/// When there is none, or one of another version.
pub fn load(run_dir: &Path) -> anyhow::Result<RunResult> {
    let path = run_dir.join(files::RESULT);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && recover::is_unclosed(run_dir) => {
            return recover::result(run_dir);
        }
        read => read.with_context(|| {
            format!("can't read {}: name the directory of a run that has ended, such as runs/<id>", path.display())
        })?,
    };
    RunResult::from_json(&text).with_context(|| format!("{} is no result of a run", path.display()))
}

/// Renders the report of the run in `run_dir` again from its `result.json`, or else its journal; returns where it
/// is.
///
/// # Errors
/// When there is no result, or the report can't be written.
pub fn render_again(run_dir: &Path) -> anyhow::Result<std::path::PathBuf> {
    let result = load(run_dir)?;
    let path = run_dir.join(files::REPORT);
    files::write(&path, report(&result).as_bytes()).with_context(|| format!("can't write {}", path.display()))?;
    Ok(path)
}
