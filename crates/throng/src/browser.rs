//! Opening a page for whoever sits at this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::say;

/// Opens a file in the desktop's browser, and says so where that doesn't work. Does not wait for it.
pub(crate) fn open(page: &Path) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(opener).arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        say::tell(format_args!("{opener} can't be started ({error}); open {} yourself\n", page.display()));
    }
}
