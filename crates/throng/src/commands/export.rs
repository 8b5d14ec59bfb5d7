//! `throng export`: a stored run for other tools.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind};

use crate::args::ExportArgs;
use crate::exit::{Exit, Failure, OrExit as _};

/// Writes a run's numbers to stdout or a file.
///
/// # Errors
/// When there is no such run, or it can't be written. A reader of stdout that is gone has what it wanted.
pub(crate) fn export(args: &ExportArgs) -> Result<Exit, Failure> {
    reports::load(&args.run).or_exit(Exit::Usage)?;
    let Some(path) = &args.out else {
        let written = reports::export::export(&args.run, args.format, &mut BufWriter::new(io::stdout().lock()));
        return match written {
            Err(error) if is_broken_pipe(&error) => Ok(Exit::Passed),
            other => other.map(|()| Exit::Passed).or_exit(Exit::Unexpected),
        };
    };
    let written = File::create(path)
        .map_err(anyhow::Error::from)
        .and_then(|file| reports::export::export(&args.run, args.format, &mut BufWriter::new(file)));
    written.map(|()| Exit::Passed).map_err(|error| {
        let text = format!("can't write {}: {error:#}\nname another file with --out FILE", path.display());
        Failure::new(Exit::Unavailable, text)
    })
}

/// Whatever wrote: JSON's writer has errors of its own around the system's.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let kind =
            kind.or_else(|| cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind));
        kind == Some(ErrorKind::BrokenPipe)
    })
}
