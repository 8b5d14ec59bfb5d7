//! Files of a run's directory, where the data plane is on the same host.

use std::path::Path;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::view::RunView;

/// The files that a run's directory shows, and what they are. Nothing else is read, whatever is asked for.
const FILES: [(&str, &str); 6] = [
    ("report.html", "text/html; charset=utf-8"),
    ("result.json", "application/json"),
    ("events.jsonl", "text/plain; charset=utf-8"),
    ("intervals.hlog", "text/plain; charset=utf-8"),
    ("junit.xml", "text/xml; charset=utf-8"),
    ("scenario.yaml", "text/plain; charset=utf-8"),
];
/// Larger files are not for a browser.
const BYTES_MAX: u64 = 64 << 20;

/// One of a run's files.
pub(super) async fn serve(run: &RunView, name: &str) -> Result<Response, Problem> {
    let (name, kind) = FILES
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| Problem::NotFound(format!("a run has no file `{name}`")))?;
    if run.dir.is_empty() {
        return Err(Problem::NotFound(format!("run `{}` has no directory (yet)", run.id)));
    }
    let path = Path::new(&run.dir).join(name);
    let not_here = |error: std::io::Error| {
        let path = path.display();
        Problem::NotFound(format!(
            "{path} can't be read here ({error}): if the data plane is on another host, look there"
        ))
    };
    let found = tokio::fs::symlink_metadata(&path).await.map_err(not_here)?;
    if !found.is_file() {
        return Err(Problem::NotFound(format!("{} is no file", path.display())));
    }
    if found.len() > BYTES_MAX {
        let size = measure::grouped(found.len());
        return Err(Problem::File(format!("{} has {size} bytes, too many for a browser", path.display())));
    }
    let bytes = tokio::fs::read(&path).await.map_err(not_here)?;
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// The files that a run has here, for links.
pub(super) fn present(run: &RunView) -> Vec<&'static str> {
    let dir = Path::new(&run.dir);
    let is_there = |name: &&str| !run.dir.is_empty() && dir.join(name).is_file();
    FILES.into_iter().map(|(name, _)| name).filter(is_there).collect()
}
