//! What a person sees while a run goes on: one line at a terminal, the phases elsewhere.

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vramscope_core::{Bytes, Phase, without_controls};
use vramscope_live::RunEvent;

use crate::output;

/// The line is drawn anew so often.
const TICK: Duration = Duration::from_millis(200);

/// The line.
pub(super) struct View {
    /// `None` where no line can be written over itself, or nothing is to be said.
    bar: Option<ProgressBar>,
    quiet: bool,
    state: Mutex<State>,
}

/// What the line shows.
#[derive(Default)]
struct State {
    phase: Option<(Phase, Duration)>,
    now: Duration,
    used: Option<Bytes>,
    requests: Option<(u64, u64, u64)>,
    last: RefCell<String>,
}

impl View {
    pub(super) fn new(quiet: bool) -> Self {
        // Hidden where stderr is no terminal, and on one that cannot write over itself (TERM=dumb).
        let can_write_over = !ProgressDrawTarget::stderr().is_hidden();
        let bar = (!quiet && can_write_over).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            // There is nothing to show yet.
            bar.finish_and_clear();
            bar
        });
        Self { bar, quiet, state: Mutex::default() }
    }

    /// Puts this into the line, which comes back if it was taken away.
    fn draw(&self, line: String) {
        let Some(bar) = &self.bar else { return };
        if bar.is_finished() {
            bar.reset();
            // Its thread ends with the line.
            bar.enable_steady_tick(TICK);
        }
        bar.set_message(line);
    }

    /// Says something beside the line.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::say(text)),
            None => output::say(text),
        }
    }

    /// Takes in an event.
    pub(super) fn show(&self, event: RunEvent) {
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            // There is nothing else to show yet.
            RunEvent::Asking(what) => return self.draw(what.to_owned()),
            RunEvent::Phase { phase, at } => {
                if self.bar.is_none() && !self.quiet {
                    output::say(&format!("{:>8.1} s  {phase}", at.as_secs_f64()));
                }
                state.phase = Some((phase, at));
                state.now = at;
                state.requests = None;
            }
            RunEvent::Line(line) => {
                state.last.replace(line);
            }
            RunEvent::Memory { used, at } => {
                state.used = Some(used);
                state.now = at;
            }
            RunEvent::Requests { done, total, failed } => state.requests = Some((done, total, failed)),
            RunEvent::Note(note) => self.note(&note),
            _ => {}
        }
        if self.bar.is_some() {
            self.draw(state.line());
        }
    }

    fn note(&self, note: &str) {
        if !self.quiet {
            self.say(&format!("note: {note}"));
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn line(&self) -> String {
        let mut parts = Vec::new();
        if let Some((phase, since)) = self.phase {
            parts.push(format!("{phase} {:.0} s", self.now.saturating_sub(since).as_secs_f64()));
        }
        parts.extend(self.used.map(|used| used.to_string()));
        if let Some((done, total, failed)) = self.requests {
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            parts.push(format!("{done} of {total} requests{failed}"));
        }
        let last = vramscope_log::message(&self.last.borrow());
        // A terminal must not be steered by what an engine prints.
        let last = without_controls(&last).replace(['\n', '\t'], " ");
        if !last.is_empty() {
            parts.push(last);
        }
        parts.join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_the_run_is_and_nothing_steers_the_terminal() {
        let view = View { bar: None, quiet: true, state: Mutex::default() };
        view.show(RunEvent::Phase { phase: Phase::Measure, at: Duration::from_secs(10) });
        view.show(RunEvent::Memory { used: Bytes::new(3 << 30), at: Duration::from_secs(14) });
        view.show(RunEvent::Requests { done: 3, total: 8, failed: 1 });
        let line = |text: &str| {
            view.show(RunEvent::Line(text.to_owned()));
            view.state.lock().unwrap().line()
        };
        let lead = "measure 4 s · 3.00 GiB · 3 of 8 requests, 1 failed";
        assert_eq!(line("\x1b[31m\x07loading\x1b]0;title\x07"), format!("{lead} · loading]0;title"));
        let logged = "(EngineCore pid=79) INFO 11-26 01:17:41 [core.py:114] Initializing a V1 engine";
        assert_eq!(
            line(logged),
            format!("{lead} · Initializing a V1 engine"),
            "a narrow terminal has no room for more"
        );
    }
}
