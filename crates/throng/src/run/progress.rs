//! What a run looks like while it goes: one refreshed block on a terminal, quiet lines elsewhere, all on stderr.

use std::io::IsTerminal as _;
use std::time::Duration;

use measure::{Clock, Timestamp};
use proto::control::{RunState, RunUpdate};

use super::words;
use crate::say;

/// How often a line is written where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A block that is drawn again and again; with colours, or not.
    Block { colours: bool },
    /// Lines.
    Lines,
    /// Nowhere.
    Nothing,
}

/// Shows the progress of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    clock: Clock,
    /// Lines of the block that stand on the terminal.
    drawn: usize,
    last_line: Option<Timestamp>,
    last_state: RunState,
}

impl Progress {
    /// Progress as stderr can show it.
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let colours = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let style = match (quiet, terminal) {
            (true, _) => Style::Nothing,
            (false, true) => Style::Block { colours },
            (false, false) => Style::Lines,
        };
        Self { style, clock: Clock::System, drawn: 0, last_line: None, last_state: RunState::Unspecified }
    }

    /// Something that a person should know, once, as a line that stays.
    pub(crate) fn say(&mut self, text: &str) {
        if self.style != Style::Nothing {
            self.erase();
            say::tell(format_args!("{text}\n"));
        }
    }

    /// What is the case now.
    pub(crate) fn show(&mut self, update: &RunUpdate) {
        for event in update.events.iter().filter(|e| !words::is_routine(&e.kind)) {
            self.say(&format!("{:>7}  {}", words::clock(event.at_s), event.text));
        }
        let changed = update.state() != self.last_state;
        self.last_state = update.state();
        match self.style {
            Style::Nothing => {}
            Style::Block { colours } => self.draw(&words::block(update, width(), colours)),
            Style::Lines => {
                let now = self.clock.now();
                let due = self.last_line.is_none_or(|last| now.since(last) >= LINE_EVERY);
                if changed || due {
                    self.last_line = Some(now);
                    say::tell(format_args!("{}\n", words::line(update)));
                }
            }
        }
    }

    /// Takes the block away, so that what follows stands by itself.
    pub(crate) fn erase(&mut self) {
        if self.drawn > 0 {
            // Up so many lines, and clear from there.
            say::tell(format_args!("\x1b[{}F\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    fn draw(&mut self, lines: &[String]) {
        let up = if self.drawn > 0 { format!("\x1b[{}F\x1b[J", self.drawn) } else { String::new() };
        // One write, so that the block doesn't flicker.
        say::tell(format!("{up}{}\n", lines.join("\n")));
        self.drawn = lines.len();
    }
}

/// Columns of the terminal; one that doesn't say has as many as they used to.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns.clamp(20, 120) }
}
