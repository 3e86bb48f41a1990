//! Ctrl-C, SIGTERM and a terminal that goes away, from the first step of a command to its last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use vramscope_host::is_signal_ignored;
use vramscope_live::{CancelHandle, CancelToken, cancel};
use vramscope_schema::ExitCode;

use crate::output;

/// What the signals of this process ask for.
#[derive(Clone)]
pub(crate) struct Signals {
    token: CancelToken,
    /// Nothing has been started that must be ended in order.
    at_once: Arc<AtomicBool>,
    /// The last words of a program that leaves on the spot.
    last_words: Arc<Mutex<Option<String>>>,
}

impl Signals {
    /// Listens from now on, within a runtime. `tell` says what a first signal leads to where that takes a while.
    pub(crate) fn listen(tell: impl Fn() + Send + 'static) -> Self {
        let (handle, token) = cancel();
        let at_once = Arc::new(AtomicBool::new(true));
        let signals = Self { token, at_once, last_words: Arc::default() };
        tokio::spawn(heed(handle, signals.clone(), tell));
        signals
    }

    /// What is said if a signal ends the program on the spot.
    pub(crate) fn on_leaving(&self, words: String) {
        *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    fn leave(&self) -> ! {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(words) = words {
            output::say(&words);
        }
        std::process::exit(i32::from(ExitCode::Interrupted.code()))
    }

    /// The wish to stop, for a run.
    pub(crate) fn token(&self) -> CancelToken {
        self.token.clone()
    }

    /// Whether somebody has asked for the end.
    pub(crate) fn stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Work that starts nothing, in which a signal ends the program on the spot: it may block.
    pub(crate) fn at_once<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.at_once.swap(true, Ordering::SeqCst);
        let result = work();
        self.at_once.store(before, Ordering::SeqCst);
        result
    }

    /// Work that a signal ends by dropping it, with all that it has started; then `None`.
    pub(crate) async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let before = self.at_once.swap(false, Ordering::SeqCst);
        let mut token = self.token.clone();
        let result = tokio::select! {
            () = token.cancelled() => None,
            result = work => Some(result),
        };
        self.at_once.store(before, Ordering::SeqCst);
        result
    }

    /// Work that looks at the token itself and ends in order.
    pub(crate) async fn in_order<T>(&self, work: impl Future<Output = T>) -> T {
        let before = self.at_once.swap(false, Ordering::SeqCst);
        let result = work.await;
        self.at_once.store(before, Ordering::SeqCst);
        result
    }
}

/// Who asks twice does not want to wait for the engine; its watchdog ends it.
async fn heed(handle: CancelHandle, signals: Signals, tell: impl Fn()) {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
    // Under nohup nobody wants to hear of it.
    let mut hung_up = if is_signal_ignored(Signal::HUP.as_raw()) { None } else { signal(SignalKind::hangup()).ok() };
    let mut asked = false;
    loop {
        let mut leaves = false;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            // The terminal and its shell may both tell of it, and nobody is there to ask twice.
            () = next_of(&mut hung_up) => leaves = true,
        }
        if signals.at_once.load(Ordering::SeqCst) || (asked && !leaves) {
            signals.leave();
        }
        if !leaves {
            asked = true;
            tell();
        }
        handle.cancel();
    }
}

/// The next signal, if it is listened to.
async fn next_of(listener: &mut Option<tokio::signal::unix::Signal>) {
    match listener {
        Some(listener) => drop(listener.recv().await),
        None => std::future::pending().await,
    }
}
