//! Signals that end a recording in good order.

#[cfg(unix)]
pub(super) use unix::Signals;

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caught {
    /// Its number.
    pub(super) number: i32,
    /// Whether the terminal sent it, to every process that runs in it, or a process sent it to this one alone.
    pub(super) from_terminal: bool,
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::origin::WithOrigin;
    use signal_hook::low_level::siginfo::Cause;

    use vramscope_host::is_signal_ignored;

    use super::Caught;

    const ENDING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

    /// Catches the signals that ask a program to end.
    pub(in super::super) struct Signals {
        pending: SignalsInfo<WithOrigin>,
        /// Whether a signal has its usual effect again.
        released: Arc<AtomicBool>,
    }

    impl Signals {
        /// Catches them from now on, but a hang-up that is ignored stays so.
        pub(in super::super) fn catch() -> io::Result<Self> {
            let released = Arc::new(AtomicBool::new(false));
            let ending = ENDING.into_iter().filter(|signal| *signal != SIGHUP || !is_signal_ignored(SIGHUP));
            for signal in ending.clone() {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&released))?;
            }
            Ok(Self { pending: SignalsInfo::<WithOrigin>::new(ending)?, released })
        }

        /// Those that came since the last call.
        pub(in super::super) fn take(&mut self) -> Vec<Caught> {
            let caught = |origin: signal_hook::low_level::siginfo::Origin| Caught {
                number: origin.signal,
                from_terminal: origin.cause == Cause::Kernel,
            };
            self.pending.pending().map(caught).collect()
        }

        /// Lets a further signal end the program, once what matters is safe.
        pub(in super::super) fn release(&self) {
            self.released.store(true, Ordering::Release);
        }
    }
}

/// Elsewhere nothing is caught: what was recorded is in its file, as after a kill.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn take(&mut self) -> Vec<Caught> {
        Vec::new()
    }

    pub(super) fn release(&self) {}
}
