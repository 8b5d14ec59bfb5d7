//! What goes to stdout and stderr. Whoever reads them may be gone (`throng plan … | head -1`), or their disk full;
//! `println!` and `eprintln!` panic then.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::exit::{Exit, Failure};

/// Writes a result to stdout, as it is.
///
/// # Errors
/// When it can't be written. A reader that is gone has what it wanted, which is no error.
pub(crate) fn result(text: impl Display) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Unexpected, format!("can't write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Tells people something on stderr, as it is; where nobody can hear it, there is nobody to tell that either.
pub(crate) fn tell(text: impl Display) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}
