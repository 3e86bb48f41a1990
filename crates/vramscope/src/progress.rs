//! Progress on stderr, for a person at a terminal and for work that takes over a second.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use vramscope_core::without_controls;

/// Nothing is shown before, and not more often than this after.
const QUIET: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(200);

/// One line that is written over itself.
pub(crate) struct Progress {
    shown: bool,
    next: Option<Instant>,
}

impl Progress {
    /// Shows nothing where stderr is no terminal.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { shown: false, next: terminal.then(|| Instant::now() + QUIET) }
    }

    /// Says how much of a file is behind.
    pub(crate) fn bytes(&mut self, file: &Path, behind: u64) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + STEP);
        self.shown = true;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = without_controls(&name);
        let whole = file.metadata().map_or(0, |m| m.len());
        let share = behind.saturating_mul(100).checked_div(whole).filter(|s| *s <= 100);
        let share = share.map_or(String::new(), |s| format!(" ({s} %)"));
        anstream::eprint!("\r\x1b[Kreading {name}: {} MB{share}", behind / 1_000_000);
    }

    /// Says how many samples of a file are behind.
    pub(crate) fn samples(&mut self, file: &Path, behind: u64) {
        // Looking at the clock takes longer than reading a sample.
        if !behind.is_multiple_of(4096) || self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + STEP);
        self.shown = true;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = without_controls(&name);
        anstream::eprint!("\r\x1b[Kreading {name}: {behind} samples");
    }

    /// Says how many of several like things are done.
    pub(crate) fn step(&mut self, what: &str, done: usize, all: usize) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + STEP);
        self.shown = true;
        anstream::eprint!("\r\x1b[K{what} {done} of {all}");
    }

    /// Says how many requests of a level are answered, and how many failed.
    pub(crate) fn count(&mut self, what: &str, done: u64, all: Option<u64>, failed: u64) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + STEP);
        self.shown = true;
        let all = all.map_or(String::new(), |all| format!(" of {all}"));
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        anstream::eprint!("\r\x1b[K{what}: {done}{all} requests{failed}");
    }

    /// Says for what is waited, and since when.
    pub(crate) fn waiting(&mut self, what: &str, since: Duration) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + STEP);
        self.shown = true;
        anstream::eprint!("\r\x1b[K{what}: {} s", since.as_secs());
    }

    /// Clears the line.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            anstream::eprint!("\r\x1b[K");
        }
    }
}
