//! What the runs of one command share: signals, what a person sees, and what engines have said of themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use vramscope_live::{Engines, Finding};
use vramscope_schema::ExitCode;

use super::Args;
use super::view::View;
use crate::exit::OrExit as _;
use crate::output;
use crate::signals::Signals;

/// One `profile`, or one campaign with all its runs.
pub(crate) struct Session {
    runtime: Runtime,
    pub(super) signals: Signals,
    pub(super) view: Arc<View>,
    pub(super) engines: tokio::sync::Mutex<Engines>,
    said: Mutex<BTreeSet<String>>,
}

impl Session {
    /// Signals are heeded from here on.
    pub(crate) fn new(quiet: bool) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.context("could not start the asynchronous runtime")?;
        let view = Arc::new(View::new(quiet));
        let teller = Arc::clone(&view);
        let tell = move || teller.say("stopping the engine and keeping what was recorded; once more to leave at once");
        let signals = runtime.block_on(async { Signals::listen(tell) });
        Ok(Self { runtime, signals, view, engines: tokio::sync::Mutex::default(), said: Mutex::default() })
    }

    /// Carries out one `profile`, whose document goes to `output`, or where it usually does.
    pub(crate) fn run(&self, args: &Args, output: Option<&Path>) -> anyhow::Result<ExitCode> {
        self.runtime.block_on(async {
            // A write past the limit of a file's size is an error of that file, not the end of this process.
            let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
            self.engines.lock().await.forget_failures();
            super::profile(args, output, self).await
        })
    }

    /// Makes every check of one `profile` before its start, and starts nothing but the question to the engine what it
    /// is. An error is what certainly prevents the run.
    pub(crate) fn preflight(&self, args: &Args, output: &Path) -> anyhow::Result<Vec<Finding>> {
        self.runtime.block_on(async { Ok(super::prepare(args, Some(output), self).await?.findings) })
    }

    /// What is said if a signal ends the program on the spot.
    pub(crate) fn on_leaving(&self, words: String) {
        self.signals.on_leaving(words);
    }

    /// Whether somebody has asked for the end.
    pub(crate) fn stopped(&self) -> bool {
        self.signals.stopped()
    }

    /// Says what concerns the machine more than a run, once.
    pub(crate) fn note(&self, text: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(text.to_owned()) {
            output::say(text);
        }
    }

    /// Work of a run before anything of it is started; a signal ends it.
    pub(super) async fn before<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let stopped = || anyhow!("stopped before the engine was started");
        self.signals.until_stopped(work).await.ok_or_else(stopped).or_exit(ExitCode::Interrupted)?
    }
}
